"""A directory of this machine as a tree to send.

Everything is opened relative to an open directory and without following links, so that whoever swaps a directory
for a link while we walk can not make us send files from elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat as st
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError
from pybuildkit.fsutil.openfile import OpenFile
from pybuildkit.fsutil.stat import (
    MODE_DEVICE,
    MODE_DIR,
    MODE_SOCKET,
    MODE_SYMLINK,
    MODE_TYPE,
    Stat,
    encode_file,
    go_mode,
)
from pybuildkit.fsutil.tree import Files, Found, MapFunc, failed, vanished

__all__ = ["Directory"]

_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to wait for the other end of a fifo that took the file's place, nor to adopt a terminal.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_KEEP_OPEN = 64
"""How many of the directories being walked stay open; those above are opened again when their turn comes."""

_RECENT = 16
"""How many directories that files were read from stay open."""

_NO_XATTRS: Mapping[str, bytes] = MappingProxyType({})
_by_name = attrgetter("name")
_go_mode = lru_cache(maxsize=1024)(go_mode)
_new_tuple = tuple.__new__


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of this machine.

    Attributes:
        path: where it is; a symbolic link to a directory will do (S28).
        map: changes what is told of its entries, or leaves some out; see ``MapFunc``.
        keep_owner: send the files' owners. By default all belong to root, as with buildctl (S26).
        xattrs: send extended attributes (S33).
    """

    path: str | os.PathLike[str]
    map: MapFunc | None = None
    keep_owner: bool = False
    xattrs: bool = True

    def check(self) -> None:
        """See ``FS.check``."""
        path = os.fspath(self.path)
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - the errno is wanted
        except OSError as exc:
            reason = os.strerror(exc.errno or 0).lower()
            raise ConfigError(f"can not use the directory {path!r}: {reason}; give one that exists") from exc
        if not st.S_ISDIR(mode):
            raise ConfigError(f"{path!r} is not a directory; give the directory that it is in")

    def identity(self) -> str:
        """See ``FS.identity``: the real path."""
        return os.path.realpath(self.path)

    def open(self) -> _OpenDirectory:
        """See ``FS.open``."""
        return _OpenDirectory(self)


class _OpenDirectory:
    """See ``Tree``."""

    def __init__(self, fs: Directory) -> None:
        self.map = fs.map
        self.keep_owner = fs.keep_owner
        self.in_runs = not fs.keep_owner
        """Its folders have ``plain_files``."""
        self.path = os.path.realpath(fs.path)
        try:
            self._root = os.open(self.path, _OPEN_DIR)
        except OSError as exc:
            raise failed("open", self.path, exc) from exc
        self._recent: OrderedDict[str, int] = OrderedDict()
        self._last = ("", self._root)
        self.chain: list[_OpenFolder] = []
        self.no_xattrs: set[int] = set()
        """Devices that have no extended attributes: asking each file would cost as much as its lstat."""
        self.xattrs = fs.xattrs and hasattr(os, "listxattr")
        self.by_proc = self.xattrs and os.path.isdir(f"/proc/self/fd/{self._root}")  # noqa: PTH112

    def root(self) -> _OpenFolder:
        """See ``Tree.root``."""
        try:
            return _OpenFolder(self, os.dup(self._root), "")
        except OSError as exc:
            raise failed("open", self.path, exc) from exc

    def show(self, path: str) -> str:
        """See ``Tree.show``."""
        return f"{self.path}/{path}" if path else self.path

    def readlink(self, path: str) -> str | None:
        """See ``Tree.readlink``."""
        parent, _, name = path.rpartition("/")
        try:
            return os.readlink(name, dir_fd=self.directory(parent))
        except OSError as exc:
            if vanished(exc) or exc.errno == errno.EINVAL:  # the latter: not a link
                return None
            raise failed("read", self.show(path), exc) from exc

    def list(self, path: str) -> Sequence[str]:
        """See ``Tree.list``."""
        try:
            return sorted(os.listdir(self.directory(path)), key=os.fsencode)  # noqa: PTH208 - of a descriptor
        except OSError as exc:
            if vanished(exc):
                return ()
            raise failed("read", self.show(path), exc) from exc

    def read(self, path: str, size: int) -> bytes:
        """See ``Tree.read``."""
        fd = self._open_file(path)
        try:
            data = os.read(fd, size)
            while len(data) < size:
                more = os.read(fd, size - len(data))
                if not more:
                    break
                data += more
        except OSError as exc:
            raise failed("read", self.show(path), exc) from exc
        finally:
            os.close(fd)
        return data

    def open(self, path: str) -> OpenFile:
        """See ``Tree.open``."""
        return OpenFile(self._open_file(path), self.show(path))

    def close(self) -> None:
        """See ``Tree.close``."""
        for folder in self.chain:
            folder.release()
        self.chain.clear()
        for fd in (*self._recent.values(), self._root):
            os.close(fd)
        self._recent.clear()
        self._root = -1

    def _open_file(self, path: str) -> int:
        parent, _, name = path.rpartition("/")
        try:
            last, fd = self._last
            return os.open(name, _OPEN_FILE, dir_fd=fd if last == parent else self.directory(parent))
        except OSError as exc:
            raise failed("open", self.show(path), exc) from exc

    def directory(self, path: str) -> int:
        """A descriptor of a directory, which stays ours.

        Raises:
            OSError: it can not be opened, or a link is on the way.
        """
        if not path:
            return self._root
        recent = self._recent
        fd = recent.get(path)
        if fd is None:
            fd = self.descend(path)
            recent[path] = fd
            if len(recent) > _RECENT:
                os.close(recent.popitem(last=False)[1])
        else:
            recent.move_to_end(path)
        self._last = (path, fd)
        return fd

    def descend(self, path: str) -> int:
        """Open a directory anew, part by part, so that a link anywhere on the way is refused.

        Raises:
            OSError: it can not be opened.
        """
        if not path:
            return os.dup(self._root)
        fd = self._root
        for name in path.split("/"):
            try:
                child = os.open(name, _OPEN_DIR, dir_fd=fd)
            finally:
                if fd != self._root:
                    os.close(fd)
            fd = child
        return fd


class _OpenFolder:
    """See ``Folder``."""

    __slots__ = ("_depth", "_fd", "_path", "_prefix", "_stale", "_tree")

    def __init__(self, tree: _OpenDirectory, fd: int, path: str) -> None:
        self._tree = tree
        self._path = path
        self._fd = fd
        self._prefix = f"{tree.show(path)}/"
        self._stale = False  # the entries hold a descriptor that is closed
        chain = tree.chain
        self._depth = len(chain)
        chain.append(self)
        if len(chain) > _KEEP_OPEN:
            chain[-_KEEP_OPEN - 1].release()

    def items(self) -> list[os.DirEntry[str]]:
        """See ``Folder.items``. Text sorts as its UTF-8 does; names that are not UTF-8 can not be sent anyway."""
        with os.scandir(self._fd) as entries:
            return sorted(entries, key=_by_name)

    def is_dir(self, item: os.DirEntry[str]) -> bool:
        """See ``Folder.is_dir``."""
        try:
            if not self._stale:
                return item.is_dir(follow_symlinks=False)
            return st.S_ISDIR(self._lstat(item.name).st_mode)
        except OSError as exc:
            if vanished(exc):
                return False
            raise failed("read", self._prefix + item.name, exc) from exc

    def stat(self, item: os.DirEntry[str], path: str) -> Found | None:
        """See ``Folder.stat``."""
        try:
            if self._stale:
                return self._told_late(item, path)
            return self._told(item, path, item.stat(follow_symlinks=False))
        except OSError as exc:
            if vanished(exc):
                return None
            raise failed("read", self._tree.show(path), exc) from exc

    def plain_files(
        self,
        rest: Iterator[os.DirEntry[str]],
        prefix: str,
        limit: int,
        judge: Callable[[str, os.DirEntry[str]], bool] | None,
    ) -> tuple[Files, os.DirEntry[str] | None]:
        """Take the next entries, as long as they are plain files that are sent.

        It is what ``stat`` does, for most of all entries in a third less time.

        Args:
            rest: the entries that are left.
            prefix: the folder's path in the tree, and a slash.
            limit: bytes of encoded ``Stat``s after which it stops.
            judge: whether an entry, of that path, is sent; all are when None.

        Returns:
            The files, and the entry that is something else, or what can not be read: whoever asks ``stat`` learns what.
        """
        files, tree = Files(), self._tree
        if self._stale:
            return files, next(rest, None)
        paths, sizes, stats = files.paths.append, files.sizes.append, files.stats.append
        no_xattrs, listxattr = tree.no_xattrs, os.listxattr if tree.xattrs else None
        told = 0
        for item in rest:
            path = prefix + item.name
            if judge is not None and not judge(path, item):
                return files, item
            try:
                known = item.stat(follow_symlinks=False)
                mode = _go_mode(known.st_mode)
                if mode & MODE_TYPE or known.st_nlink > 1:
                    return files, item
                if (
                    listxattr is not None
                    and known.st_dev not in no_xattrs
                    and listxattr(self._prefix + item.name, follow_symlinks=False)
                ):
                    return files, item
                size = known.st_size
                stat = encode_file(path, mode, size, known.st_mtime_ns)
            except (OSError, UnicodeEncodeError):
                return files, item
            paths(path)
            sizes(size)
            stats(stat)
            told += len(stat)
            if told >= limit:
                break
        else:
            return files, None
        return files, next(rest, None)

    def _told_late(self, item: os.DirEntry[str], path: str) -> Found:
        """The same when the entry can not be asked any more, its descriptor being closed."""
        try:
            return self._told(item, path, self._lstat(item.name))
        finally:
            if self._depth < len(self._tree.chain) - _KEEP_OPEN:  # one far above where the walk is
                self.release()

    def _told(self, item: os.DirEntry[str], path: str, known: os.stat_result) -> Found:
        tree = self._tree
        unix = known.st_mode
        device = known.st_dev
        xattrs = _NO_XATTRS
        if tree.xattrs and device not in tree.no_xattrs:
            xattrs = self._xattrs(item.name, device)
        size, mtime = known.st_size, known.st_mtime_ns
        uid, gid = (known.st_uid, known.st_gid) if tree.keep_owner else (0, 0)
        mode = _go_mode(unix)
        if mode & MODE_TYPE:
            return self._told_special(item, Stat(path, mode, uid, gid, size, mtime, xattrs=xattrs), known)
        # Not ``Stat(...)``, which does the same in Python: nothing costs as much as what is done for each file.
        stat = _new_tuple(Stat, (path, mode, uid, gid, size, mtime, "", 0, 0, xattrs))
        return stat, ((device, known.st_ino) if known.st_nlink > 1 else None)

    def _told_special(self, item: os.DirEntry[str], stat: Stat, known: os.stat_result) -> Found:
        """What is no regular file."""
        mode = stat.mode
        if mode & MODE_DIR:
            return stat._replace(size=0), None
        if mode & MODE_SYMLINK:
            return stat._replace(linkname=os.readlink(item.name, dir_fd=self._descriptor())), None
        stat = stat._replace(mode=mode & ~MODE_SOCKET)  # S34: a socket travels as an empty file
        if mode & MODE_DEVICE:
            stat = stat._replace(devmajor=os.major(known.st_rdev), devminor=os.minor(known.st_rdev))
        return stat, ((known.st_dev, known.st_ino) if known.st_nlink > 1 else None)

    def enter(self, item: os.DirEntry[str]) -> _OpenFolder | None:
        """See ``Folder.enter``."""
        try:
            fd = os.open(item.name, _OPEN_DIR, dir_fd=self._descriptor())
        except OSError as exc:
            if vanished(exc):
                return None
            raise
        return _OpenFolder(self._tree, fd, f"{self._path}/{item.name}" if self._path else item.name)

    def close(self) -> None:
        """See ``Folder.close``."""
        self._tree.chain.pop()
        self.release()

    def release(self) -> None:
        """Give the descriptor back; it is opened again when it is needed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._stale = True

    def _descriptor(self) -> int:
        if self._fd < 0:
            self._fd = self._tree.descend(self._path)
        return self._fd

    def _lstat(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._descriptor(), follow_symlinks=False)

    def _xattrs(self, name: str, device: int) -> Mapping[str, bytes]:
        """An entry's attributes (S33)."""
        try:
            # Most have none, and by its plain path that is told in a third of the time.
            if not os.listxattr(self._prefix + name, follow_symlinks=False):
                return _NO_XATTRS
        except OSError as exc:
            if exc.errno == errno.ENOTSUP:
                self._tree.no_xattrs.add(device)
                return _NO_XATTRS
        return self._read_xattrs(name)

    def _read_xattrs(self, name: str) -> Mapping[str, bytes]:
        # There is no listxattr relative to a descriptor, but the way by /proc is one in effect: what is sent is read
        # by it, so that a directory swapped for a link gives nothing away.
        path = (f"/proc/self/fd/{self._descriptor()}/" if self._tree.by_proc else self._prefix) + name
        xattrs = {}
        for key in os.listxattr(path, follow_symlinks=False):
            if not key.startswith("com.apple."):
                with suppress(OSError):  # one that we may not read, or that is gone, is not sent
                    xattrs[key] = os.getxattr(path, key, follow_symlinks=False)
        return xattrs
