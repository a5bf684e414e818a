"""A tree made of values in memory."""

from __future__ import annotations

import hashlib
import stat as st
from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError
from pybuildkit.fsutil.stat import MODE_DIR, MODE_SYMLINK, Stat, go_mode
from pybuildkit.fsutil.tree import MapFunc
from pybuildkit.fsutil.virtual import DEFAULT_TIME_NS, BytesContent, Node, VirtualTree, add, new_root

__all__ = ["MemoryDirectory", "MemoryEntry", "MemoryFile", "MemorySymlink", "MemoryTree"]


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file of a ``MemoryTree``.

    Attributes:
        data: its content; text becomes UTF-8.
        mode: its permission bits, as ``0o755``; those for setuid, setgid and sticky may be among them.
        mtime: when it was changed: seconds since 1970, or a time with a time zone. The daemon takes a file with the
            same size and time as one it has for unchanged, so by default the time is made from the content: always
            the same for the same one, and some nanosecond of the first second of 1980.
        uid: its owner's number.
        gid: its group's number.
        xattrs: its extended attributes.
    """

    data: bytes | bytearray | memoryview | str
    mode: int = 0o644
    mtime: float | datetime | None = None
    uid: int = 0
    gid: int = 0
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemorySymlink:
    """A symbolic link of a ``MemoryTree``.

    Attributes:
        target: where it leads, as it is to be written.
    """

    target: str


@dataclass(frozen=True, slots=True)
class MemoryDirectory:
    """A directory of a ``MemoryTree``: one that is empty, or is to have other permissions than ``0o755``.

    Attributes:
        mode: its permission bits.
    """

    mode: int = 0o755


MemoryEntry: TypeAlias = bytes | bytearray | memoryview | str | MemoryFile | MemorySymlink | MemoryDirectory


class MemoryTree:
    """A tree that is in no file system.

    ::

        MemoryTree({"Dockerfile": dockerfile, "a/b.txt": b"...", "run.sh": MemoryFile(script, mode=0o755)})

    Args:
        entries: path to content (bytes, or text), or to one of ``MemoryFile``, ``MemorySymlink``, ``MemoryDirectory``.
            Directories on the way need not be named.
        map: changes what is told of its entries, or leaves some out; see ``MapFunc``.

    Raises:
        ConfigError: a path leaves the tree, leads through a file, or stands for two entries; or an entry is of a
            type that is not known.
    """

    def __init__(self, entries: Mapping[str, MemoryEntry], *, map: MapFunc | None = None) -> None:  # noqa: A002
        root = new_root()
        for path, entry in entries.items():
            add(root, path, _node(path, entry), replace=False)
        self._tree = VirtualTree(root, "memory", map)

    def check(self) -> None:
        """See ``FS.check``; it always can be used."""

    def identity(self) -> str:
        """See ``FS.identity``. Times come from the contents, so all such trees can share what the daemon has."""
        return "memory"

    def open(self) -> VirtualTree:
        """See ``FS.open``."""
        return self._tree


def _node(path: str, entry: MemoryEntry) -> Node:
    if isinstance(entry, MemorySymlink):
        size = len(entry.target.encode(errors="surrogateescape"))
        if not entry.target:
            raise ConfigError(f"the symbolic link {path!r} has no target")
        return Node(
            "", Stat("", MODE_SYMLINK | 0o777, size=size, mtime_ns=DEFAULT_TIME_NS, linkname=entry.target)
        )
    if isinstance(entry, MemoryDirectory):
        return Node("", Stat("", MODE_DIR | _mode(path, entry.mode), mtime_ns=DEFAULT_TIME_NS), children={})
    file = entry if isinstance(entry, MemoryFile) else MemoryFile(entry)
    data = file.data
    if isinstance(data, str):
        data = data.encode()
    elif not isinstance(data, bytes | bytearray | memoryview):
        raise ConfigError(
            f"the content of {path!r} is a {type(data).__name__}: give bytes, text, or a MemoryFile"
        )
    content = bytes(data)
    stat = Stat(
        "",
        _mode(path, file.mode),
        file.uid,
        file.gid,
        len(content),
        _content_time(content) if file.mtime is None else _nanoseconds(path, file.mtime),
        xattrs=dict(file.xattrs),
    )
    return Node("", stat, BytesContent(content))


def _mode(path: str, mode: int) -> int:
    if mode & ~0o7777:
        raise ConfigError(f"the mode {mode:#o} of {path!r} is more than permission bits (0o7777)")
    return go_mode(st.S_IFREG | mode)


def _content_time(data: bytes) -> int:
    fraction = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") % 10**9
    return DEFAULT_TIME_NS + fraction


def _nanoseconds(path: str, mtime: float | datetime) -> int:
    if not isinstance(mtime, datetime):
        return round(mtime * 10**9) if isinstance(mtime, float) else mtime * 10**9
    if mtime.tzinfo is None:
        raise ConfigError(f"the time of {path!r} has no time zone; give one, as datetime.UTC")
    return round(mtime.timestamp() * 10**6) * 1000
