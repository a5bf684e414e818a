"""The receiving side of a tree transfer: messages in, messages out, files on disk (S44 to S58, T9).

Sans network: ``Receiver.feed`` takes a message and returns the answers. What arrives is not trusted: order,
names, sizes and amounts are checked here, and ``disk`` lets nothing out of the destination.

Go asks for every regular file of a local export, whether the destination has it already or not (its merge
mode compares with an empty tree, its mirror mode compares nothing, S62 and S63); so does this.
"""

from __future__ import annotations

import os
import stat as st
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from pybuildkit.errors import BuildKitError, ProtocolError, TransferError
from pybuildkit.fsutil import stat as wire
from pybuildkit.fsutil.disk import Chunk, Directory, Tree
from pybuildkit.fsutil.incoming import IncomingFile, Limits, split_data
from pybuildkit.fsutil.validate import PathOrder, shown

__all__ = ["Devices", "Limits", "Receiver", "open_destination"]

Devices: TypeAlias = Literal["refuse", "skip", "create"]

_CHUNK_COST = 256  # what a chunk costs beside its bytes
_MAX_CHUNKS = 64


class Receiver:
    """Receives one tree.

    Args:
        tree: where it goes; closed when the transfer is over.
        devices: what to do about device nodes. One that a daemon made up gives whoever can open it the
            machine's disk, so the default refuses them; fifos are harmless and always made.
        limits: see there.

    Attributes:
        error: why the transfer failed, None while it did not.
        complete: all files are there, and our FIN is on its way: from here on a cancel is no failure (T9).
        finished: the sender has confirmed it.
        received_bytes: content received.
        entries: entries received.
        skipped: device nodes that were left out.
    """

    def __init__(self, tree: Tree, *, devices: Devices = "refuse", limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self.error: BuildKitError | None = None
        self.complete = False
        self.finished = False
        self.received_bytes = 0
        self.entries = 0
        self.skipped: list[str] = []
        self._tree = tree
        self._devices = devices
        self._limits = limits
        self._order: PathOrder[Directory] = PathOrder(tree.root)
        self._list_ended = False
        self._asked: dict[int, IncomingFile] = {}
        self._to_ask: deque[tuple[int, IncomingFile]] = deque()
        # What a hard link may name (S55): the file while it is on its way, then where it is; None: left out.
        self._linkable: dict[bytes, Directory | IncomingFile | None] = {}
        self._partial: set[IncomingFile] = set()
        self._held = 0
        self._held_xattrs = 0
        self._extraneous: list[tuple[Directory, list[bytes]]] = []
        self._at = b""  # what is being worked on, for the texts of errors
        self._over = False

    def feed(self, message: bytes) -> list[bytes]:
        """Take a message; the answers, in order. Does not raise for what arrives: see ``error``."""
        if self._over:
            return self._after_the_end(message)
        try:
            # Most messages are DATA; theirs is the one layout that is read here, fast.
            if message[:2] == b"\x08\x02" and (data := split_data(message)) is not None:
                return self._data(*data)
            packet = wire.decode_packet(message)
            match packet.type:
                case wire.PacketType.STAT:
                    return self._end_of_list() if packet.stat is None else self._entry(packet.stat)
                case wire.PacketType.DATA:
                    return self._data(packet.id, bytes(packet.data))
                case wire.PacketType.ERR:
                    raise TransferError(f"error from sender: {packet.text}", path=self._tree.label)
                case kind:
                    raise ProtocolError(f"the daemon sent a packet of type {kind} where none can be")
        except BuildKitError as exc:
            return self._fail(exc)
        except (OSError, RecursionError) as exc:
            return self._fail(self._as_transfer_error(exc))

    def abort(self) -> None:
        """The transfer broke: half-written files are deleted. Nothing happens when it was over already."""
        if self._over:
            return
        self._over = True
        label = self._tree.label
        self.error = self.error or TransferError(f"the transfer into {label} broke off", path=label)
        for file in self._partial:
            if file.partial is not None:
                self._tree.drop_file(file.partial)
        unfinished = {file.directory for file in self._asked.values()}
        unfinished.update(file.directory for _, file in self._to_ask)
        unfinished.update(directory for directory, _ in self._extraneous)
        self._tree.seal([*self._order.end(), *unfinished])
        self._tree.close()
        for held in (self._asked, self._to_ask, self._linkable, self._partial, self._extraneous):
            held.clear()

    # --- what arrives ---

    def _entry(self, stat: wire.Stat) -> list[bytes]:
        self._at = path = stat.path.encode("utf-8", "surrogateescape")
        if self._list_ended:
            raise ProtocolError(f"the daemon sent {shown(path)} after the end of its list")
        if self.entries >= self._limits.entries:
            raise TransferError(
                f"the tree has more than {self.entries} entries, which is the limit", path=stat.path
            )
        file_id = self.entries
        self.entries += 1
        directory, name, closed = self._order.place(path)
        for over in closed:
            self._leave(over)
        if directory.names is not None:
            directory.names.add(name)
        if stat.mode & wire.MODE_TYPE == 0:
            if stat.linkname:
                return self._hard_link(directory, name, path, stat)
            return self._regular(file_id, directory, name, path, stat)
        self._special(directory, name, path, stat)
        return []

    def _regular(
        self, file_id: int, directory: Directory, name: bytes, path: bytes, stat: wire.Stat
    ) -> list[bytes]:
        file = IncomingFile(directory, name, path, stat)
        if file.size < 0:
            raise ProtocolError(f"the daemon sent {shown(path)} with a size of {file.size} bytes")
        if file.xattrs:
            file.xattr_bytes = self._check_xattrs(path, stat.xattrs)
            self._held_xattrs += file.xattr_bytes
            if self._held_xattrs > 4 * self._limits.held_bytes:
                raise TransferError("extended attributes take too much memory", path=stat.path)
        directory.holds += 1
        self._linkable[path] = file
        if not file.size:  # nothing to ask for
            self._complete(file)
            return []
        if len(self._asked) >= self._limits.requests:
            self._to_ask.append((file_id, file))
            return []
        self._asked[file_id] = file
        return [wire.encode_request(file_id)]

    def _hard_link(self, directory: Directory, name: bytes, path: bytes, stat: wire.Stat) -> list[bytes]:
        source = stat.linkname.encode("utf-8", "surrogateescape")
        if source not in self._linkable:
            raise ProtocolError(
                f"the daemon sent {shown(path)} as a link to {shown(source)}, which it did not send before"
            )
        target = self._linkable[source]
        if isinstance(target, IncomingFile):
            directory.holds += 1
            target.links = target.links or []
            target.links.append((directory, name))
        elif target is not None:
            self._tree.make_link(target, source[source.rfind(b"/") + 1 :], directory, name)
        else:
            self.skipped.append(stat.path)
        return []

    def _special(self, directory: Directory, name: bytes, path: bytes, stat: wire.Stat) -> None:
        mode, tree = wire.unix_mode(stat.mode), self._tree
        match stat.mode & wire.MODE_TYPE:
            case wire.MODE_DIR:
                if stat.xattrs:
                    self._check_xattrs(path, stat.xattrs)
                made = tree.make_directory(directory, name, path, mode, stat.mtime_ns, stat.xattrs)
                self._order.enter(path, made)
            case wire.MODE_SYMLINK:
                target = stat.linkname.encode("utf-8", "surrogateescape")
                if not target or b"\0" in target:
                    raise ProtocolError(f"the daemon sent {shown(path)} as a link to {shown(target)}")
                tree.make_symlink(directory, name, target, stat.mtime_ns)
            case wire.MODE_FIFO:
                tree.make_fifo(directory, name, mode, stat.mtime_ns)
                self._linkable[path] = directory
            case wire.MODE_DEVICE:
                self._device(directory, name, path, stat, st.S_IFBLK)
            case kind if kind == wire.MODE_DEVICE | wire.MODE_CHAR_DEVICE:
                self._device(directory, name, path, stat, st.S_IFCHR)
            case _:
                raise ProtocolError(
                    f"the daemon sent {shown(path)} with the mode {stat.mode:#o}, which is no file's"
                )

    def _device(self, directory: Directory, name: bytes, path: bytes, stat: wire.Stat, kind: int) -> None:
        if self._devices == "skip":
            self.skipped.append(stat.path)
            self._linkable[path] = None
            if directory.names is not None:
                directory.names.discard(name)
            return
        if self._devices == "refuse":
            raise TransferError(
                f"{shown(path)} is a device node, and those are not made by default; leave it out of the build's"
                " result, or ask for devices to be skipped or created",
                path=stat.path,
            )
        major, minor = stat.devmajor, stat.devminor
        if not (0 <= major < 1 << 32 and 0 <= minor < 1 << 32):
            raise ProtocolError(f"the daemon sent {shown(path)} as the device {major}:{minor}")
        self._tree.make_device(
            directory, name, kind, major, minor, wire.unix_mode(stat.mode) & 0o7777, stat.mtime_ns
        )
        self._linkable[path] = directory

    def _data(self, file_id: int, data: Chunk) -> list[bytes]:
        file = self._asked.get(file_id)
        if file is None:
            raise ProtocolError(f"the daemon sent data for the file {file_id}, which was not asked for")
        self._at = file.path
        if not data:
            self._complete(file)
            del self._asked[file_id]
            return self._ask_or_finish()
        size = len(data)
        file.received += size
        self.received_bytes += size
        if file.received > file.size:
            raise ProtocolError(
                f"the daemon sent more than the {file.size} bytes that {shown(file.path)} has"
            )
        if file.partial is not None:
            self._tree.append(file.partial, data)
            return []
        file.chunks.append(data)
        file.held += size + _CHUNK_COST
        self._held += size + _CHUNK_COST
        if file.size > self._limits.whole_file or self._held > self._limits.held_bytes:
            self._to_disk(file)
        elif len(file.chunks) >= _MAX_CHUNKS:
            file.chunks = [b"".join(file.chunks)]
        return []

    def _end_of_list(self) -> list[bytes]:
        if self._list_ended:
            raise ProtocolError("the daemon ended its list twice")
        self._list_ended = True
        for over in self._order.end():
            self._leave(over)
        return self._finish_if_done()

    def _after_the_end(self, message: bytes) -> list[bytes]:
        if self.complete and not self.finished:
            try:
                self.finished = wire.decode_packet(message).type == wire.PacketType.FIN
            except ProtocolError as exc:
                self.error = exc
        return []

    # --- what follows from it ---

    def _to_disk(self, file: IncomingFile) -> None:
        if len(self._partial) >= self._limits.partial_files:
            raise TransferError(
                f"the daemon sends more than {len(self._partial)} files at once", path=self._tree.label
            )
        file.partial = self._tree.begin_file(file.directory)
        self._partial.add(file)
        for chunk in file.chunks:
            self._tree.append(file.partial, chunk)
        self._let_go(file)

    def _complete(self, file: IncomingFile) -> None:
        if file.received != file.size:
            # T22: a sender in Go that can not open a file sends it empty, and says nothing.
            why = "" if file.received else "; it could not open the file"
            raise TransferError(
                f"the daemon sent {file.received} of the {file.size} bytes of {shown(file.path)}{why}",
                path=os.fsdecode(file.path),
            )
        directory, tree = file.directory, self._tree
        if file.partial is None:
            tree.write_file(directory, file.name, file.chunks, file.mode, file.mtime_ns, file.xattrs)
            self._let_go(file)
        else:
            tree.end_file(file.partial, file.name, file.mode, file.mtime_ns, file.xattrs)
            self._partial.discard(file)
        self._held_xattrs -= file.xattr_bytes
        for link_directory, link_name in file.links or ():
            tree.make_link(directory, file.name, link_directory, link_name)
            tree.release(link_directory)
        self._linkable[file.path] = directory
        tree.release(directory)

    def _let_go(self, file: IncomingFile) -> None:
        self._held -= file.held
        file.held = 0
        file.chunks = []

    def _ask_or_finish(self) -> list[bytes]:
        if self._to_ask:
            file_id, file = self._to_ask.popleft()
            self._asked[file_id] = file
            return [wire.encode_request(file_id)]
        return self._finish_if_done()

    def _finish_if_done(self) -> list[bytes]:
        if self._asked or self._to_ask or not self._list_ended:
            return []
        for directory, names in self._extraneous:
            for name in names:
                self._at = directory.path + b"/" + name if directory.path else name
                self._tree.delete(directory, name)
            self._tree.release(directory)
        self._tree.close()
        self._over = self.complete = True
        self._linkable.clear()
        return [wire.FIN]

    def _leave(self, directory: Directory) -> None:
        """No entry of it comes any more. What a mirror must delete stays until all else is there."""
        if names := self._tree.extraneous(directory):
            self._extraneous.append((directory, names))
        else:
            self._tree.release(directory)

    def _check_xattrs(self, path: bytes, xattrs: Mapping[str, bytes]) -> int:
        size = sum(len(key) + len(value) for key, value in xattrs.items())
        if size > self._limits.xattr_bytes:
            raise TransferError(
                f"{shown(path)} has {size} bytes of extended attributes", path=os.fsdecode(path)
            )
        return size

    def _fail(self, error: BuildKitError) -> list[bytes]:
        self.error = error
        self.abort()
        return [wire.encode_error(str(error))]

    def _as_transfer_error(self, exc: OSError | RecursionError) -> TransferError:
        why = exc.strerror or str(exc) if isinstance(exc, OSError) else "directories are nested too deeply"
        path = f"{self._tree.label}/{os.fsdecode(self._at)}" if self._at else self._tree.label
        error = TransferError(f"can not write {path!a}: {why}", path=path)
        error.__cause__ = exc
        return error


def open_destination(path: str | os.PathLike[str], *, mirror: bool = False) -> Tree:
    """Open a directory to receive into; it and its parents are made, for their owner alone (S62).

    Raises:
        TransferError: it can not be made, or is no directory.
    """
    label = os.fspath(path)
    try:
        missing = []
        at = Path(path)
        while not at.exists() and not at.is_symlink():
            missing.append(at)
            at = at.parent
        for directory in reversed(missing):
            directory.mkdir(mode=0o700, exist_ok=True)
        return Tree(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), label, mirror=mirror)
    except OSError as exc:
        raise TransferError(f"can not write into {label!r}: {exc.strerror or exc}", path=label) from exc
