"""A destination that changes only when all has come: trees are received beside it and moved in (X17)."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from pybuildkit.errors import TransferError
from pybuildkit.fsutil.disk import Tree
from pybuildkit.fsutil.receive import open_destination

__all__ = ["Staging"]

_DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Staging:
    """A directory beside the destination, on the same file system, so that moving is renaming.

    Args:
        path: the destination.
        mirror: whether what is there and did not come is to be removed.
    """

    def __init__(self, path: Path, *, mirror: bool = False) -> None:
        self._target = Path(os.path.realpath(path))
        self._mirror = mirror
        self._beside = self._target.with_name(f".pybuildkit-{secrets.token_hex(8)}")
        self._begun = False

    def open(self) -> Tree:
        """Where a stream's tree is received into; several streams share it.

        Raises:
            TransferError: it can not be made.
        """
        self._begun = True
        return open_destination(self._beside)

    def commit(self) -> None:
        """Move what has come into the destination.

        Raises:
            TransferError: something can not be moved; what was moved stays.
        """
        if not self._begun:
            return
        self._begun = False
        try:
            if not os.path.lexists(self._target):
                self._beside.rename(self._target)
            elif self._mirror:
                self._exchange()
            else:
                self._merge()
        except OSError as exc:
            raise TransferError(
                f"can not move what was received into {str(self._target)!r}: {exc.strerror or exc}",
                path=str(self._target),
            ) from exc
        finally:
            _remove(self._beside)

    def abort(self) -> None:
        """Throw away what has come."""
        if self._begun:
            self._begun = False
            _remove(self._beside)

    def _exchange(self) -> None:
        """The new directory takes the place, mode and owner of the old one."""
        old = self._target.stat()
        self._beside.chmod(stat.S_IMODE(old.st_mode))
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(self._beside, old.st_uid, old.st_gid)
        aside = self._target.with_name(f".pybuildkit-{secrets.token_hex(8)}")
        self._target.rename(aside)
        try:
            self._beside.rename(self._target)
        except OSError:
            aside.rename(self._target)
            raise
        _remove(aside)

    def _merge(self) -> None:
        source = os.open(self._beside, _DIR_FLAGS)
        try:
            target = os.open(self._target, _DIR_FLAGS)
            try:
                _move_entries(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)


def _move_entries(source: int, target: int) -> None:
    """Move all entries of one directory into another; directories that both have are merged."""
    for name in os.listdir(source):
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        try:
            if stat.S_ISDIR(found.st_mode):
                _move_directory(source, target, name, found)
            else:
                _move_file(source, target, name)
        except OSError as exc:
            exc.filename = exc.filename or name
            raise


def _move_file(source: int, target: int, name: str) -> None:
    try:
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=target)
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)


def _move_directory(source: int, target: int, name: str, found: os.stat_result) -> None:
    below = os.open(name, _DIR_FLAGS, dir_fd=source)
    try:
        if found.st_mode & 0o700 != 0o700:  # moving a directory means writing to it
            os.fchmod(below, 0o700)
        try:
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        except NotADirectoryError:
            os.unlink(name, dir_fd=target)
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            _merge_directory(below, target, name, found)
            return
        os.fchmod(below, stat.S_IMODE(found.st_mode))
    finally:
        os.close(below)


def _merge_directory(below: int, target: int, name: str, found: os.stat_result) -> None:
    into = os.open(name, _DIR_FLAGS, dir_fd=target)
    try:
        with suppress(PermissionError):  # someone else's: writing will tell
            os.fchmod(into, stat.S_IMODE(os.fstat(into).st_mode) | 0o700)
        _move_entries(below, into)
        with suppress(OSError):  # the file system may have none
            for key in os.listxattr(below):
                os.setxattr(into, key, os.getxattr(below, key))
        os.fchmod(into, stat.S_IMODE(found.st_mode))
        os.utime(into, ns=(found.st_mtime_ns, found.st_mtime_ns))
    finally:
        os.close(into)


def _remove(path: Path) -> None:
    """Remove a tree of ours. Nobody else can be at work in it: its root is open to its owner alone."""
    if not os.path.lexists(path):
        return
    for base, directories, _ in os.walk(path):
        for name in directories:
            directory = Path(base, name)
            if not directory.is_symlink():  # one without write permission could not be emptied, but by root
                with suppress(OSError):
                    directory.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
