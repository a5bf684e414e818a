"""Directories of a tree, opened once and held by descriptor, a bounded number at a time."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Final

from pybuildkit.errors import TransferError
from pybuildkit.fsutil.validate import shown

__all__ = ["DIR_FLAGS", "Directory", "OpenDirectories"]

DIR_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_MOST: Final = 64


class Directory:
    """A directory of the tree while entries may still come into it.

    Attributes:
        path: relative to the root.
        created: it was made by this transfer, so nothing of anybody else's is in it.
        names: in a mirror, the names that came; None where nothing will be deleted.
    """

    __slots__ = (
        "created",
        "fd",
        "holds",
        "identity",
        "mode",
        "mtime_ns",
        "name",
        "names",
        "parent",
        "path",
        "regroup",
    )

    def __init__(self, parent: Directory | None, name: bytes, path: bytes) -> None:
        self.parent = parent
        self.name = name
        self.path = path
        self.fd = -1
        self.identity: tuple[int, int] = (0, 0)
        self.created = False
        self.regroup = False
        self.holds = 0
        self.mode = -1
        self.mtime_ns = 0
        self.names: set[bytes] | None = None


class OpenDirectories:
    """Opens directories below a root, each from its parent, and never through a link.

    When too many are open the oldest is closed; opened again, it must be the very same directory.

    Args:
        root: descriptor of the root, which belongs to this object from now on.
    """

    def __init__(self, root: int) -> None:
        self.root = Directory(None, b"", b"")
        self.root.fd = root
        self.root.holds = 1
        self._open: dict[Directory, None] = {}
        self._unlocked: list[Directory] = []  # finished ones that had to be opened against their mode

    def open_first(self, directory: Directory) -> int:
        """Open a directory for the first time."""
        fd = self._open_below_parent(directory)
        found = os.fstat(fd)
        directory.identity = (found.st_dev, found.st_ino)
        return fd

    def reopen(self, directory: Directory) -> int:
        """Open a directory (again), and those above it as needed: parents first, without recursion."""
        chain = [directory]
        while chain[-1].parent is not None and chain[-1].parent.fd < 0:
            chain.append(chain[-1].parent)
        for at in reversed(chain):
            if at.fd >= 0:
                continue
            known = at.identity
            if known == (0, 0):
                self.open_first(at)
                continue
            fd = self._open_below_parent(at)
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) != known:
                self.forget(at)
                raise TransferError(
                    f"the directory {shown(at.path)} was replaced while files were being received"
                )
        return directory.fd

    def _open_below_parent(self, directory: Directory) -> int:
        parent = directory.parent
        if parent is None or parent.fd < 0:
            raise TransferError(f"the directory {shown(directory.path)} is closed already")
        try:
            fd = os.open(directory.name, DIR_FLAGS, dir_fd=parent.fd)
        except PermissionError:
            fd = _open_unreadable(directory.name, parent.fd)
            if not directory.holds:
                self._unlocked.append(directory)
        directory.fd = fd
        self._open[directory] = None
        while len(self._open) > _MOST:
            oldest = next(iter(self._open))
            if oldest is directory:
                break
            self.forget(oldest)
        return fd

    def forget(self, directory: Directory) -> None:
        """Close a directory; it can be opened again."""
        if directory.fd >= 0:
            os.close(directory.fd)
            directory.fd = -1
        self._open.pop(directory, None)

    def close(self) -> None:
        """Close all descriptors."""
        for directory in reversed(self._unlocked):
            with suppress(OSError, TransferError):
                os.fchmod(directory.fd if directory.fd >= 0 else self.reopen(directory), directory.mode)
        self._unlocked.clear()
        for directory in (*self._open, self.root):
            if directory.fd >= 0:
                os.close(directory.fd)
                directory.fd = -1
        self._open.clear()


def _open_unreadable(name: bytes, parent_fd: int) -> int:
    """Open a directory of ours that its own mode keeps us out of."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        found = os.fstat(handle)
        os.chmod(f"/proc/self/fd/{handle}", stat.S_IMODE(found.st_mode) | 0o700)  # noqa: PTH101 - by descriptor
        return os.open(".", DIR_FLAGS, dir_fd=handle)
    finally:
        os.close(handle)
