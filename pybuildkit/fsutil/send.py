"""The sending side of a transfer, as a machine without I/O of the network (S47 to S52).

The daemon's packets go in by ``feed``; ``pull`` gives buffers of length-prefixed gRPC messages. Both, and all file
I/O, happen in the caller's thread; nothing is read ahead of what was pulled.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Generator
from time import monotonic
from typing import TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit._wire import ProtoDecodeError, read_varint, varint
from pybuildkit.errors import BuildKitError, ProtocolError, TransferError
from pybuildkit.fsutil.filter import Filter
from pybuildkit.fsutil.stat import (
    FIN,
    MODE_TYPE,
    Packet,
    PacketType,
    Stat,
    decode_packet,
    encode_data,
    encode_error,
    encode_request,
    encode_stat_packet,
    stat_head,
)
from pybuildkit.fsutil.tree import Files, Source, Tree
from pybuildkit.fsutil.walk import walk_in_runs

__all__ = ["SendProgress", "Sender"]

Buffer: TypeAlias = bytes | bytearray | memoryview

STAT_BATCH = 8 << 10
"""Bytes of STATs between two looks at what is asked for."""

STAT_SHARE = 2 << 10
"""Bytes of STATs beside each ``SMALL`` of files: about as many entries as files, when they are small."""

AHEAD = 400
"""Entries that the daemon may have been told beyond the last one it has asked for; with more it is behind."""

CATCH_UP = 256 << 10
"""Bytes of files beside each ``STAT_SHARE`` while the daemon is behind."""

SMALL = 64 << 10
"""Files up to this size are read at once, and several of them go into one buffer."""

CHUNK = 256 << 10
"""Bytes of one DATA of a bigger file: more per message saves the daemon nothing that can be measured."""

PATIENCE = 0.05
"""Seconds after which ``pull`` returns with what it has: a slow disk must not keep the thread from other calls."""

_PREFIX = tuple([b"\0" + size.to_bytes(4, "big") for size in range(512)])
_PREFIX_SIZE = len(_PREFIX[0])
_LONG = 500
_REQUEST = encode_request(1)[:-1]


@dataclass(slots=True)
class SendProgress:
    """What was sent so far.

    Attributes:
        entries: files, directories and others told of.
        files: files whose content was asked for and sent whole.
        content: bytes of such content, of the file under way too.
        bytes: bytes of all packets.
        listed: all entries have been told.
        done: the daemon has all it wants.
    """

    entries: int = 0
    files: int = 0
    content: int = 0
    bytes: int = 0
    listed: bool = False
    done: bool = False


class Sender:
    """Sends a tree.

    STATs and the files asked for take turns; while the daemon is behind with the STATs, files go first. Files are sent one
    after the other, in the order they were asked for.

    A file is sent as it was told: with the size of its STAT. If it has grown since, its first part is sent; if it
    has become shorter, or vanished, or can not be opened, the transfer fails and names it (T22). An empty one is not
    opened at all.

    Args:
        tree: an open tree; the sender closes it.
        filter: what of it is sent.

    Attributes:
        progress: what was sent so far.
        error: why the transfer failed on our side, or by a packet that is not allowed; None while it has not.
        refusal: what the daemon said when it gave the transfer up; None while it has not.
        done: FIN was answered, or the transfer failed. ``pull`` still has the last packet then.
    """

    def __init__(self, tree: Tree, filter: Filter | None = None) -> None:  # noqa: A002
        self._tree = tree
        self._walk: Generator[Stat | Files | None, None, None] | None = walk_in_runs(tree, filter)
        self._paths: list[
            str | None
        ] = []  # by file id; None for what has no content, or was asked for before
        self._sizes = array("Q")
        self._asked: deque[tuple[int, str]] = deque()
        self._last_asked = 0
        self._sent_untold = 0
        self._file: _File | None = None
        self._out = _Output()
        self._closed = False
        self.progress = SendProgress()
        self.error: BuildKitError | None = None
        self.refusal: str | None = None
        self.done = False

    @property
    def pending(self) -> bool:
        """``pull`` would have something, even if nothing more is fed."""
        return bool(self._out.parts or self._walk or self._asked or self._file)

    def feed(self, message: bytes) -> None:
        """Take a packet from the daemon. What is wrong with it fails the transfer; then more are ignored."""
        if self.done:
            return
        try:
            if message.startswith(_REQUEST):  # by far the most
                self._request(read_varint(message, 3, len(message))[0])
            else:
                self._packet(decode_packet(message))
        except ProtoDecodeError as exc:
            self._fail(ProtocolError(f"the daemon sent a packet that can not be read: {exc}"))
        except ProtocolError as exc:
            self._fail(exc)

    def pull(self, limit: int = CHUNK) -> list[Buffer]:
        """Give the next messages, each behind its gRPC prefix, cut into buffers anywhere.

        Reads files and directories for it.

        Args:
            limit: stop at about that many bytes; at most ``CHUNK`` more are given.
        """
        started = monotonic()
        out = self._out
        try:
            while out.size < limit and not self.done:
                if self._walk is not None and self._entries_due() and not self._tell():
                    break
                before = out.size
                more = self._send_files()
                self._sent_untold += out.size - before
                if not more:
                    # Nothing is asked for: what is told must not wait, since the daemon has more to do with it than we.
                    break
                if monotonic() - started > PATIENCE:
                    break
        except BuildKitError as exc:
            self._fail(exc)
        self.progress.bytes += out.size
        self._out = _Output()
        return out.buffers()

    def close(self) -> None:
        """Close all files; to be called however the transfer ends. A second time it does nothing."""
        if self._closed:
            return
        self._closed = True
        self._asked.clear()
        if self._file is not None:
            self._file.source.close()
            self._file = None
        if self._walk is not None:
            self._walk.close()
            self._walk = None
        self._tree.close()

    # --- what the daemon says ---

    def _packet(self, packet: Packet) -> None:
        if packet.type == PacketType.REQ:
            self._request(packet.id)
        elif packet.type == PacketType.FIN:
            if self._walk or self._asked or self._file:
                raise ProtocolError("the daemon finished a transfer before it had all that it asked for")
            self.progress.done = True
            self._end(FIN)
        elif packet.type == PacketType.ERR:
            self.refusal = packet.text
            self.done = True
            self.close()
        else:
            raise ProtocolError(f"the daemon sent a packet of type {packet.type}, which only a sender may")

    def _request(self, file_id: int) -> None:
        path = self._paths[file_id] if file_id < len(self._paths) else None
        if path is None:
            raise ProtocolError(f"invalid file id {file_id}")  # S49: not told, no content, or asked for twice
        self._paths[file_id] = None
        self._last_asked = file_id
        self._asked.append((file_id, path))

    def _fail(self, error: BuildKitError) -> None:
        """End the transfer with an ERR packet (S52)."""
        self.error = error
        self._end(encode_error(str(error)))

    def _end(self, packet: bytes) -> None:
        self.done = True
        self._out.add(packet)
        self.close()

    # --- what we say ---

    def _entries_due(self) -> bool:
        """Whether more of the list is to be told now.

        The daemon reads entries and files with one hand, and rests it while it has more entries than it gets done: files
        that it could have written meanwhile wait behind them.
        """
        if not (self._asked or self._file):
            return True
        behind = len(self._paths) - self._last_asked > AHEAD
        return not behind or self._sent_untold >= CATCH_UP

    def _tell(self) -> bool:
        """Add a batch of STATs; False when the walk wants a pause."""
        assert self._walk is not None
        add = self._out.parts.append
        told = self._paths.append
        size_told = self._sizes.append
        batch = count = 0
        resting = False
        share = STAT_SHARE if self._asked or self._file else STAT_BATCH
        self._sent_untold = 0
        for stat in self._walk:
            if stat is None:
                resting = True
                break
            if isinstance(stat, Files):
                batch += self._tell_files(stat)
                count += len(stat.paths)
                if batch >= share:
                    break
                continue
            packet = encode_stat_packet(stat)
            size = len(packet)
            add(_PREFIX[size] if size < 512 else _prefix(size))
            add(packet)
            told(None if stat.mode & MODE_TYPE else stat.path)
            size_told(stat.size)
            count += 1
            batch += size
            if batch >= share:
                break
        else:
            self._walk = None
            add(_PREFIX[0])  # S48: an empty packet
            self.progress.listed = True
        self._out.size += batch
        self.progress.entries += count
        return not resting

    def _tell_files(self, files: Files) -> int:
        """Add the STATs of files in a row; the bytes of their packets."""
        self._paths += files.paths
        self._sizes.extend(files.sizes)
        add = self._out.parts.append
        total = 0
        for stat in files.stats:
            size = len(stat)
            head = _STAT_HEADS[size] if size < _LONG else _stat_head(size)
            add(head)
            add(stat)
            total += len(head) + size
        return total - _PREFIX_SIZE * len(files.stats)

    def _send_files(self) -> bool:
        """Add about a buffer of what was asked for; False when nothing is."""
        limit = self._out.size + SMALL
        while self._out.size < limit:
            if self._file is not None:
                self._send_chunk(self._file)
            elif self._asked:
                self._start(*self._asked.popleft())
            else:
                return False
        return True

    def _start(self, file_id: int, path: str) -> None:
        """Send a small file, or begin a big one."""
        size = self._sizes[file_id]
        tag = encode_data(file_id, 0)
        if size > SMALL:
            self._file = _File(path, tag, size, self._tree.open(path))
            return
        if size:
            data = self._tree.read(path, size)
            if len(data) != size:
                raise self._shrunk(path, size, len(data))
            self._out.add(tag + b"\x22" + varint(size), data)
        self._finish_file(tag, size)

    def _send_chunk(self, file: _File) -> None:
        data = file.source.read(min(CHUNK, file.left))
        if not data:
            size = file.size
            raise self._shrunk(file.path, size, size - file.left)
        file.left -= len(data)
        self._out.add_big(file.tag + b"\x22" + varint(len(data)), data)
        if not file.left:
            file.source.close()
            self._file = None
            self._finish_file(file.tag, file.size)

    def _finish_file(self, tag: bytes, size: int) -> None:
        self._out.add(tag)  # S50: a DATA without data is the file's end
        self.progress.files += 1
        self.progress.content += size

    def _shrunk(self, path: str, told: int, found: int) -> TransferError:
        shown = self._tree.show(path)
        return TransferError(
            f"{shown} changed while it was sent: it had {told} bytes, and then only {found}; build again when nothing "
            "writes to it, or leave it out by .dockerignore",
            path=shown,
        )


@dataclass(slots=True)
class _File:
    """A big file under way."""

    path: str
    tag: bytes  # the packet's head up to its data
    size: int
    source: Source
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.size


class _Output:
    """Messages to be sent: small ones are joined, big payloads are passed on as they are.

    Attributes:
        parts: what is not in a buffer yet.
        size: bytes of all packets.
    """

    __slots__ = ("_buffers", "parts", "size")

    def __init__(self) -> None:
        self._buffers: list[Buffer] = []
        self.parts: list[Buffer] = []
        self.size = 0

    def add(self, head: bytes, data: Buffer = b"") -> None:
        """Add a packet, given in two parts."""
        size = len(head) + len(data)
        self.size += size
        self.parts += (_PREFIX[size] if size < 512 else _prefix(size), head, data)

    def add_big(self, head: bytes, data: Buffer) -> None:
        """Add a packet whose data is not worth a copy."""
        size = len(head) + len(data)
        self.size += size
        self.parts += (_prefix(size), head)
        self._buffers += (b"".join(self.parts), data)
        self.parts = []

    def buffers(self) -> list[Buffer]:
        """All of it."""
        if self.parts:
            self._buffers.append(b"".join(self.parts))
        return self._buffers


def _prefix(size: int) -> bytes:
    """What stands before a gRPC message."""
    return b"\0" + size.to_bytes(4, "big")


def _stat_head(size: int) -> bytes:
    """What stands before an encoded ``Stat`` of ``size`` bytes."""
    head = stat_head(size)
    return _prefix(len(head) + size) + head


_STAT_HEADS = tuple([_stat_head(size) for size in range(_LONG)])
