"""A directory that a received tree is written into, and nothing but it.

Every name is used below an open directory's descriptor and never followed if it is a link, so that neither
the names nor the links in a tree, nor somebody who renames things at the same time, can lead outside. A
path is never resolved twice: directories are opened once, remembered by descriptor, and when a descriptor
had to be closed it is opened again from its parent and must be the very same directory.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from pybuildkit.errors import TransferError
from pybuildkit.fsutil.opendirs import DIR_FLAGS, Directory, OpenDirectories
from pybuildkit.fsutil.validate import shown

__all__ = ["Chunk", "Directory", "PartialFile", "Tree"]

Chunk = bytes | memoryview

_NEW_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ALL_PERMISSIONS: Final = 0o7777


class PartialFile:
    """A file that is being written under a temporary name."""

    __slots__ = ("directory", "fd", "temporary")

    def __init__(self, directory: Directory, fd: int, temporary: bytes) -> None:
        self.directory = directory
        self.fd = fd
        self.temporary = temporary


class Tree(OpenDirectories):
    """The destination.

    Entries get the calling process' owner and group, and the mode that came, whatever the umask is.
    Directories are open to their owner alone, until ``release`` gives them their mode and time.

    Args:
        root: descriptor of the destination, which belongs to this object from now on.
        label: the destination's path, for the texts of errors.
        mirror: whether names that did not come will be deleted.
    """

    def __init__(self, root: int, label: str, *, mirror: bool = False) -> None:
        super().__init__(root)
        self.label = label
        if mirror:
            self.root.names = set()
        self.dropped_xattrs = 0
        self._mirror = mirror
        self._gid = os.getgid()
        self._take_over(self.root)
        self._prefix = b".pybuildkit-" + secrets.token_hex(8).encode() + b"-"
        self._counter = 0

    # --- directories ---

    def make_directory(
        self,
        parent: Directory,
        name: bytes,
        path: bytes,
        mode: int,
        mtime_ns: int,
        xattrs: Mapping[str, bytes],
    ) -> Directory:
        """Make a directory, or take the one that is there; anything else of that name is replaced.

        It is held open once (for its entries) and holds its parent; see ``release``.
        """
        made = Directory(parent, name, path)
        parent_fd = parent.fd if parent.fd >= 0 else self.reopen(parent)
        try:
            os.mkdir(name, 0o700, dir_fd=parent_fd)
            made.created = True
        except FileExistsError:
            made.created = self._replace_by_directory(parent_fd, name)
        if not made.created:
            self._take_over(made, self.open_first(made))
            made.names = set() if self._mirror else None
        elif parent.regroup:
            os.fchown(self.open_first(made), -1, self._gid)
        if xattrs:
            self._set_xattrs(made.fd if made.fd >= 0 else self.open_first(made), xattrs)
        made.mode = mode & _ALL_PERMISSIONS
        made.mtime_ns = mtime_ns
        made.holds = 1
        parent.holds += 1
        return made

    def release(self, directory: Directory) -> None:
        """One reason less to keep the directory; the last one gone, it gets its mode and time.

        Reasons are: entries may still come, a file in it is not there yet, a directory in it is not finished.
        """
        at: Directory | None = directory
        while at is not None:
            at.holds -= 1
            if at.holds or at.parent is None:
                return
            fd = at.fd if at.fd >= 0 else self.reopen(at)
            os.fchmod(fd, at.mode)
            os.utime(fd, ns=(at.mtime_ns, at.mtime_ns))
            self.forget(at)
            at = at.parent

    def seal(self, directories: Sequence[Directory]) -> None:
        """Give directories that will not be finished their mode after all, as far as it can be done."""
        unfinished: dict[Directory, int] = {}
        for directory in directories:
            at: Directory | None = directory
            while at is not None and at.parent is not None and at not in unfinished:
                unfinished[at] = at.path.count(b"/")
                at = at.parent
        for directory in sorted(unfinished, key=unfinished.__getitem__, reverse=True):
            with suppress(OSError, TransferError):
                os.fchmod(directory.fd if directory.fd >= 0 else self.reopen(directory), directory.mode)

    def extraneous(self, directory: Directory) -> list[bytes]:
        """The names in a mirrored directory that did not come."""
        if directory.names is None:
            return []
        fd = directory.fd if directory.fd >= 0 else self.reopen(directory)
        there = (os.fsencode(name) for name in os.listdir(fd))  # noqa: PTH208 - by descriptor
        return [n for n in there if n not in directory.names and not n.startswith(self._prefix)]

    def delete(self, directory: Directory, name: bytes) -> None:
        """Delete an entry, with all that is in it."""
        self._remove(directory.fd if directory.fd >= 0 else self.reopen(directory), name)

    # --- files ---

    def write_file(
        self,
        directory: Directory,
        name: bytes,
        chunks: Sequence[Chunk],
        mode: int,
        mtime_ns: int,
        xattrs: Mapping[str, bytes],
    ) -> None:
        """Write a whole small file.

        In a directory that this transfer made it is written under its own name; elsewhere an older file of
        that name stays until this one is complete.
        """
        dir_fd = directory.fd if directory.fd >= 0 else self.reopen(directory)
        written_as = name if directory.created else self._temporary()
        try:
            fd = os.open(written_as, _NEW_FLAGS, 0o600, dir_fd=dir_fd)
        except FileExistsError:
            if written_as is not name:
                raise
            written_as = self._temporary()
            fd = os.open(written_as, _NEW_FLAGS, 0o600, dir_fd=dir_fd)
        try:
            try:
                for chunk in chunks:
                    _write_all(fd, chunk)
                if directory.regroup:
                    os.fchown(fd, -1, self._gid)
                os.fchmod(fd, mode & _ALL_PERMISSIONS)
                if xattrs:
                    self._set_xattrs(fd, xattrs)
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)
            if written_as is not name:
                self._put(dir_fd, written_as, name)
        except BaseException:
            with suppress(OSError):
                os.unlink(written_as, dir_fd=dir_fd)
            raise

    def begin_file(self, directory: Directory) -> PartialFile:
        """Begin a file that comes in pieces."""
        dir_fd = directory.fd if directory.fd >= 0 else self.reopen(directory)
        temporary = self._temporary()
        return PartialFile(directory, os.open(temporary, _NEW_FLAGS, 0o600, dir_fd=dir_fd), temporary)

    def append(self, partial: PartialFile, chunk: Chunk) -> None:
        """Write the next piece."""
        _write_all(partial.fd, chunk)

    def end_file(
        self, partial: PartialFile, name: bytes, mode: int, mtime_ns: int, xattrs: Mapping[str, bytes]
    ) -> None:
        """The file is complete: it gets its attributes and its name."""
        if partial.directory.regroup:
            os.fchown(partial.fd, -1, self._gid)
        os.fchmod(partial.fd, mode & _ALL_PERMISSIONS)
        if xattrs:
            self._set_xattrs(partial.fd, xattrs)
        os.utime(partial.fd, ns=(mtime_ns, mtime_ns))
        fd, partial.fd = partial.fd, -1
        os.close(fd)
        directory = partial.directory
        self._put(directory.fd if directory.fd >= 0 else self.reopen(directory), partial.temporary, name)

    def drop_file(self, partial: PartialFile) -> None:
        """The file will not be complete: what was written is deleted."""
        if partial.fd >= 0:
            fd, partial.fd = partial.fd, -1
            os.close(fd)
        with suppress(OSError, TransferError):
            directory = partial.directory
            os.unlink(partial.temporary, dir_fd=directory.fd if directory.fd >= 0 else self.reopen(directory))

    # --- other entries ---

    def make_symlink(self, directory: Directory, name: bytes, target: bytes, mtime_ns: int) -> None:
        """Make a symbolic link; its target is text and is never looked at."""
        dir_fd = directory.fd if directory.fd >= 0 else self.reopen(directory)
        try:
            os.symlink(target, name, dir_fd=dir_fd)
        except FileExistsError:
            temporary = self._temporary()
            os.symlink(target, temporary, dir_fd=dir_fd)
            self._put(dir_fd, temporary, name)
        if directory.regroup:
            os.chown(name, -1, self._gid, dir_fd=dir_fd, follow_symlinks=False)
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)

    def make_link(self, source: Directory, source_name: bytes, directory: Directory, name: bytes) -> None:
        """Make a hard link to a file of this tree."""
        source_fd = source.fd if source.fd >= 0 else self.reopen(source)
        pinned = self._open.pop(source, self) is None  # opening the other one must not close it
        try:
            dir_fd = directory.fd if directory.fd >= 0 else self.reopen(directory)
        finally:
            if pinned:
                self._open[source] = None
        temporary = self._temporary()
        os.link(source_name, temporary, src_dir_fd=source_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
        found = os.stat(temporary, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode):
            os.unlink(temporary, dir_fd=dir_fd)
            raise TransferError(f"{shown(source_name)} was replaced while files were being received")
        self._put(dir_fd, temporary, name)
        with suppress(FileNotFoundError):  # a rename between two names of one file leaves both
            os.unlink(temporary, dir_fd=dir_fd)

    def make_fifo(self, directory: Directory, name: bytes, mode: int, mtime_ns: int) -> None:
        """Make a named pipe."""
        dir_fd = directory.fd if directory.fd >= 0 else self.reopen(directory)
        temporary = self._temporary()
        os.mkfifo(temporary, 0o600, dir_fd=dir_fd)
        self._finish_node(dir_fd, temporary, name, mode, mtime_ns, regroup=directory.regroup)

    def make_device(
        self, directory: Directory, name: bytes, kind: int, major: int, minor: int, mode: int, mtime_ns: int
    ) -> None:
        """Make a device; only root may."""
        dir_fd = directory.fd if directory.fd >= 0 else self.reopen(directory)
        temporary = self._temporary()
        os.mknod(temporary, kind | 0o600, os.makedev(major, minor), dir_fd=dir_fd)
        self._finish_node(dir_fd, temporary, name, mode, mtime_ns, regroup=directory.regroup)

    # --- inside ---

    def _finish_node(
        self, dir_fd: int, temporary: bytes, name: bytes, mode: int, mtime_ns: int, *, regroup: bool
    ) -> None:
        try:
            # O_PATH names the node without opening what is behind it; its /proc entry takes the attributes.
            fd = os.open(temporary, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
            try:
                if regroup:
                    os.chown(f"/proc/self/fd/{fd}", -1, self._gid)
                os.chmod(f"/proc/self/fd/{fd}", mode & _ALL_PERMISSIONS)  # noqa: PTH101 - by descriptor
                os.utime(f"/proc/self/fd/{fd}", ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)
            self._put(dir_fd, temporary, name)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=dir_fd)
            raise

    def _put(self, dir_fd: int, temporary: bytes, name: bytes) -> None:
        """Give a finished entry its name; what had the name before is gone."""
        try:
            try:
                os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            except IsADirectoryError:
                self._remove(dir_fd, name)
                os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=dir_fd)
            raise

    def _replace_by_directory(self, parent_fd: int, name: bytes) -> bool:
        """Something of that name is there; whether it had to be replaced, as it is no directory."""
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            return False
        os.unlink(name, dir_fd=parent_fd)
        os.mkdir(name, 0o700, dir_fd=parent_fd)
        return True

    def _remove(self, dir_fd: int, name: bytes) -> None:
        try:
            os.unlink(name, dir_fd=dir_fd)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                raise
            try:
                shutil.rmtree(os.fsdecode(name), dir_fd=dir_fd)
            except RecursionError:
                self._remove_deep(dir_fd, name)

    def _remove_deep(self, dir_fd: int, name: bytes) -> None:
        """Remove a directory of any depth: what is nested in it is brought up, one level at a time."""
        waiting = [name]
        while waiting:
            here = waiting.pop()
            fd = os.open(here, DIR_FLAGS, dir_fd=dir_fd)
            try:
                for entry in os.listdir(fd):  # noqa: PTH208 - by descriptor
                    if stat.S_ISDIR(os.stat(entry, dir_fd=fd, follow_symlinks=False).st_mode):
                        waiting.append(self._temporary())
                        os.rename(entry, waiting[-1], src_dir_fd=fd, dst_dir_fd=dir_fd)
                    else:
                        os.unlink(entry, dir_fd=fd)
            finally:
                os.close(fd)
            os.rmdir(here, dir_fd=dir_fd)

    def _take_over(self, directory: Directory, fd: int | None = None) -> None:
        """A directory that was there before: its owner must be able to write, and its group may be inherited."""
        fd = directory.fd if fd is None else fd
        found = os.fstat(fd)
        directory.identity = (found.st_dev, found.st_ino)
        inherits = sys.platform != "linux" or found.st_mode & stat.S_ISGID
        directory.regroup = bool(inherits) and found.st_gid != self._gid
        if directory.parent is not None and found.st_mode & 0o700 != 0o700 and found.st_uid == os.geteuid():
            os.fchmod(fd, stat.S_IMODE(found.st_mode) | 0o700)

    def _temporary(self) -> bytes:
        self._counter += 1
        return self._prefix + str(self._counter).encode()

    def _set_xattrs(self, fd: int, xattrs: Mapping[str, bytes]) -> None:
        """As Go does, one that the file system or the process' rights do not allow is left out."""
        for key, value in xattrs.items():
            try:
                os.setxattr(fd, key.encode("utf-8", "surrogateescape"), value)
            except (OSError, ValueError):
                self.dropped_xattrs += 1


def _write_all(fd: int, chunk: Chunk) -> None:
    written = os.write(fd, chunk)
    if written < len(chunk):
        rest = memoryview(chunk)[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]
