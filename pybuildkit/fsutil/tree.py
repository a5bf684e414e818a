"""What a tree of files must offer to be sent, wherever it is: on disk, in memory, in a tar.

An ``FS`` is what users give, and lives as long as they like. For each transfer it opens a ``Tree``, which holds
file descriptors and belongs to one thread; whoever opened it closes it. The walk reads a tree by ``Folder``s.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from pybuildkit.errors import TransferError
from pybuildkit.fsutil.stat import Stat

__all__ = ["FS", "Files", "Folder", "Found", "LinkKey", "MapFunc", "Source", "Tree", "failed", "vanished"]

LinkKey: TypeAlias = tuple[int, int] | None
"""What the names of one file have in common; None for what can have one name only."""

Found: TypeAlias = tuple[Stat, LinkKey]

MapFunc: TypeAlias = Callable[[Stat], Stat | None]
"""Changes what is told of an entry: its permission bits, owner, time or attributes. None leaves it out, with all
that is in it. Called in the session's thread, for what the patterns let through."""


class Files:
    """Regular files in a row, each root's, with one name and no extended attributes: most entries of most trees.

    Attributes:
        paths: the paths in the tree.
        sizes: bytes of each.
        stats: each one's encoded ``Stat``.
    """

    __slots__ = ("paths", "sizes", "stats")

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.sizes: list[int] = []
        self.stats: list[bytes] = []


class Folder(Protocol):
    """One directory of a tree, being read.

    Its entries are whatever the tree likes, as ``os.DirEntry``; others know only their ``name``.
    """

    def items(self) -> Sequence[Any]:
        """What is in it, sorted by the names' bytes (S29).

        Raises:
            OSError: it can not be read.
        """
        ...

    def is_dir(self, item: Any) -> bool:
        """Whether an entry is a directory; a link to one is not.

        Raises:
            TransferError: it can not be told.
        """
        ...

    def stat(self, item: Any, path: str) -> Found | None:
        """All that is told of an entry, the path being the one in the tree; None when it is gone (S30).

        Raises:
            TransferError: it can not be read.
        """
        ...

    def enter(self, item: Any) -> Folder | None:
        """Go into a directory; None when it is gone, or is none any more.

        Raises:
            OSError: it can not be opened.
        """
        ...

    def close(self) -> None:
        """Leave it. Folders are left in the reverse order of going into them."""
        ...


class Source(Protocol):
    """The content of one file, being read from its begin."""

    def read(self, size: int) -> bytes | memoryview:
        """The next bytes, up to that many; empty at the end."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Tree(Protocol):
    """A tree, open for one transfer. Not thread-safe."""

    @property
    def map(self) -> MapFunc | None:
        """What changes the entries, None when nothing does."""
        ...

    def root(self) -> Folder:
        """Its root, whose entries have no ``/`` in their path.

        Raises:
            TransferError: it can not be read.
        """
        ...

    def show(self, path: str) -> str:
        """A path in the tree as messages should name it."""
        ...

    def readlink(self, path: str) -> str | None:
        """A symlink's target; None when nothing, or something else, is there. No link on the way is followed.

        Raises:
            TransferError: it can not be read.
        """
        ...

    def list(self, path: str) -> Sequence[str]:
        """The names in a directory, sorted by their bytes; empty when there is none. Follows no link.

        Raises:
            TransferError: it can not be read.
        """
        ...

    def read(self, path: str, size: int) -> bytes | memoryview:
        """The first bytes of a file, that many if it has them. Follows no link.

        Raises:
            TransferError: it can not be read.
        """
        ...

    def open(self, path: str) -> Source:
        """Open a file. Follows no link.

        Raises:
            TransferError: it can not be opened.
        """
        ...

    def close(self) -> None:
        """Close whatever is open."""
        ...


class FS(Protocol):
    """A tree of files that can be given to a build."""

    def check(self) -> None:
        """See whether it can be used. Blocking.

        Raises:
            ConfigError: it can not; the text says why and what to do.
        """
        ...

    def identity(self) -> str:
        """What tells it from other trees. Blocking.

        It becomes a part of the session's shared key, by which the daemon finds what it already has of a tree, and
        then compares sizes and times only (T19): trees with the same identity must not differ but in these.
        """
        ...

    def open(self) -> Tree:
        """Open it for a transfer. Blocking.

        Raises:
            TransferError: it can not be opened.
        """
        ...


_ADVICE = {
    errno.EACCES: "make it readable, or leave it out by .dockerignore",
    errno.EPERM: "make it readable, or leave it out by .dockerignore",
    errno.ENOENT: "it vanished during the build: build again, or leave it out by .dockerignore",
    errno.ELOOP: "it became a symbolic link during the build: build again",
    errno.ENOTDIR: "a directory on the way was replaced during the build: build again",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the system has too many open files",
}


def failed(action: str, path: str, exc: OSError) -> TransferError:
    """An error of the system as one of ours, with the path and what to do."""
    reason = (os.strerror(exc.errno) if exc.errno else str(exc)).lower()
    advice = _ADVICE.get(exc.errno or 0, "see to the file system it is on")
    error = TransferError(f"can not {action} {_printable(path)}: {reason}; {advice}", path=path)
    error.__cause__ = exc
    return error


def vanished(exc: OSError) -> bool:
    """Whether the error says that something is not there, or not what it was (S30)."""
    return exc.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def _printable(path: str) -> str:
    """The path, quoted when it has characters that do not print."""
    return path if path.isprintable() else ascii(path)
