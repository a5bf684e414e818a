"""What a receiver keeps of files on their way, how much of it, and how their data is read off a message."""

from __future__ import annotations

from collections.abc import Mapping

from pybuildkit._values import dataclass
from pybuildkit.fsutil import stat as wire
from pybuildkit.fsutil.disk import Chunk, Directory, PartialFile

__all__ = ["IncomingFile", "Limits", "split_data"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sender may make a receiver hold; more of it ends the transfer with an error.

    Attributes:
        entries: how many entries a tree may have.
        whole_file: files up to so many bytes are held in memory until they are complete.
        held_bytes: how much of such files is held at once; beyond it they go to disk early. Extended
            attributes that wait for their file may take four times as much.
        partial_files: how many files may be begun on disk and not complete at once. Go's sender has 4.
        xattr_bytes: names and values of one entry's extended attributes.
        requests: how many files are asked for ahead.
    """

    entries: int = 4_000_000
    whole_file: int = 128 << 10
    held_bytes: int = 16 << 20
    partial_files: int = 128
    xattr_bytes: int = 1 << 20
    requests: int = 4096


class IncomingFile:
    """A regular file that was announced and is not complete."""

    __slots__ = (
        "chunks",
        "directory",
        "held",
        "links",
        "mode",
        "mtime_ns",
        "name",
        "partial",
        "path",
        "received",
        "size",
        "xattr_bytes",
        "xattrs",
    )

    def __init__(self, directory: Directory, name: bytes, path: bytes, stat: wire.Stat) -> None:
        self.directory = directory
        self.name = name
        self.path = path
        self.mode = wire.unix_mode(stat.mode)
        self.mtime_ns = stat.mtime_ns
        self.size = stat.size
        self.xattrs: Mapping[str, bytes] = stat.xattrs
        self.xattr_bytes = 0
        self.received = 0
        self.held = 0
        self.chunks: list[Chunk] = []
        self.partial: PartialFile | None = None
        self.links: list[tuple[Directory, bytes]] | None = None


def split_data(message: bytes) -> tuple[int, Chunk] | None:
    """The id and the bytes of a DATA packet, if it is laid out as Go does; None else."""
    end = len(message)
    if end == 2:
        return 0, b""
    pos, file_id = 2, 0
    if message[2] == 0x18:
        pos, shift = 3, 0
        while True:
            if pos >= end or shift > 28:
                return None
            byte = message[pos]
            pos += 1
            file_id |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if pos == end:
            return file_id, b""
    if message[pos] != 0x22:
        return None
    size = shift = 0
    pos += 1
    while True:
        if pos >= end or shift > 28:
            return None
        byte = message[pos]
        pos += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    # A view keeps the message; here that is the data and a few bytes.
    return (file_id, memoryview(message)[pos:]) if pos + size == end else None
