"""A tar as a tree to send: a file, a stream, or bytes; compressed or not."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat as st
import tarfile
import tempfile
import threading
import weakref
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError
from pybuildkit.fsutil._gopath import clean
from pybuildkit.fsutil.stat import Stat, go_mode
from pybuildkit.fsutil.tree import MapFunc
from pybuildkit.fsutil.virtual import Content, Node, VirtualTree, add, find, new_root

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["TarTree"]

_XATTR = "SCHILY.xattr."
_FILE_TYPES = {
    tarfile.REGTYPE: st.S_IFREG,
    tarfile.AREGTYPE: st.S_IFREG,
    tarfile.CONTTYPE: st.S_IFREG,
    tarfile.GNUTYPE_SPARSE: st.S_IFREG,
    tarfile.DIRTYPE: st.S_IFDIR,
    tarfile.SYMTYPE: st.S_IFLNK,
    tarfile.FIFOTYPE: st.S_IFIFO,
    tarfile.CHRTYPE: st.S_IFCHR,
    tarfile.BLKTYPE: st.S_IFBLK,
}
_SPOOL = 1 << 20

TarSource: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes]"


class TarTree:
    """The entries of a tar.

    A tar on disk is read where it is; a stream, and a compressed one, is copied to an unnamed temporary file first.
    Either is done once, when it is first used. It may be used by several builds, at once too.

    Args:
        source: the tar: a path, bytes, or a file opened for reading bytes, which need not be able to seek.
        map: changes what is told of its entries, or leaves some out; see ``MapFunc``.
        keep_owner: send the owners that the tar tells; by default all belongs to root, as with a directory.
    """

    def __init__(
        self,
        source: TarSource,
        *,
        map: MapFunc | None = None,  # noqa: A002
        keep_owner: bool = False,
    ) -> None:
        self._source = source
        self._map = map
        self._keep_owner = keep_owner
        self._lock = threading.Lock()
        self._opened: tuple[VirtualTree, str] | None = None

    def check(self) -> None:
        """See ``FS.check``: reads the tar's headers.

        Raises:
            ConfigError: it is no tar that can be read, or has entries that can not be in a tree.
        """
        self._open()

    def identity(self) -> str:
        """See ``FS.identity``: tells one content from another, as a tar's times often do not.

        Raises:
            ConfigError: as ``check``.
        """
        return self._open()[1]

    def open(self) -> VirtualTree:
        """See ``FS.open``.

        Raises:
            ConfigError: as ``check``.
        """
        return self._open()[0]

    def _open(self) -> tuple[VirtualTree, str]:
        with self._lock:
            if self._opened is None:
                label = str(self._source) if isinstance(self._source, str | os.PathLike) else "tar"
                try:
                    fd, identity = _seekable(self._source)
                    weakref.finalize(self, os.close, fd)
                    indexer = _Indexer(fd, keep_owner=self._keep_owner)
                    indexer.run()
                except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as exc:
                    raise ConfigError(
                        f"can not read {label!r} as a tar: {exc}; give a tar, plain or gz, bz2, xz"
                    ) from exc
                self._opened = VirtualTree(indexer.root, label, self._map), identity
            return self._opened


# --- getting at the bytes ---


def _seekable(source: TarSource) -> tuple[int, str]:
    """A descriptor of the plain tar, and what tells its content from others."""
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:  # noqa: PTH123
            return _seekable(file)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    on_disk = _regular(stream)
    start = stream.read(512)
    unpack = _unpacker(start)
    if on_disk is not None and unpack is None:
        known = os.fstat(on_disk)
        return os.dup(on_disk), f"tar:{known.st_dev}:{known.st_ino}:{known.st_size}:{known.st_mtime_ns}"
    whole = cast("IO[bytes]", io.BufferedReader(_Joined(start, stream)))
    return _spool(whole if unpack is None else unpack(whole))


def _regular(stream: IO[bytes]) -> int | None:
    """The descriptor of a file on disk that is at its begin."""
    try:
        fd = stream.fileno()
        return fd if st.S_ISREG(os.fstat(fd).st_mode) and stream.tell() == 0 else None
    except OSError:  # it has none, or does not seek
        return None


def _unpacker(start: bytes) -> Callable[[IO[bytes]], IO[bytes]] | None:
    """What decompresses a file that begins so; None when it is not compressed."""
    if start.startswith(b"\x1f\x8b"):
        return lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if start.startswith(b"BZh"):
        return bz2.BZ2File
    if start.startswith((b"\xfd7zXZ\0", b"]\0\0")):
        return lzma.LZMAFile
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        raise ConfigError(
            "the tar is compressed with zstd, which is not known here; decompress it first (zstd -d)"
        )
    return None


class _Joined(io.RawIOBase):
    """What was read of a stream already, and the rest of it."""

    def __init__(self, start: bytes, stream: IO[bytes]) -> None:
        self._start = start
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._start[: len(view)] or self._stream.read(len(view)) or b""
        self._start = self._start[len(view) :]
        view[: len(data)] = data
        return len(data)


def _spool(stream: IO[bytes]) -> tuple[int, str]:
    """Copy a stream to a temporary file without a name."""
    digest = hashlib.blake2b(digest_size=16)
    with tempfile.TemporaryFile(buffering=0) as file:
        while data := stream.read(_SPOOL):
            digest.update(data)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        return os.dup(file.fileno()), f"tar:{digest.hexdigest()}"


# --- entries ---


@dataclass(frozen=True, slots=True)
class _Stored:
    """Content that lies in the tar in one piece; see ``Content``."""

    fd: int
    offset: int
    size: int

    def read_at(self, offset: int, size: int) -> bytes:
        """See ``Content.read_at``."""
        return os.pread(self.fd, max(0, min(size, self.size - offset)), self.offset + offset)


@dataclass(frozen=True, slots=True)
class _Sparse:
    """Content with holes; see ``Content``."""

    fd: int
    pieces: tuple[tuple[int, int, int], ...]  # where in the file, how long, where in the tar
    size: int

    def read_at(self, offset: int, size: int) -> bytes:
        """See ``Content.read_at``."""
        end = min(offset + size, self.size)
        result = bytearray(max(0, end - offset))
        for start, length, stored in self.pieces:
            first, last = max(start, offset), min(start + length, end)
            if first < last:
                data = os.pread(self.fd, last - first, stored + first - start)
                result[first - offset : first - offset + len(data)] = data
        return bytes(result)


class _Indexer:
    """Makes the nodes of a tar's entries."""

    def __init__(self, fd: int, *, keep_owner: bool) -> None:
        self._fd = fd
        self._keep_owner = keep_owner
        self._links = 0
        self.root = new_root()

    def run(self) -> None:
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            self._read(file)

    def _read(self, file: IO[bytes]) -> None:
        with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as tar:
            for member in tar:
                self._add(member)
                tar.members.clear()  # type: ignore[attr-defined] # it would keep them all

    def _add(self, member: tarfile.TarInfo) -> None:
        if member.type == tarfile.LNKTYPE:
            node = self._hard_link(member)
        elif member.type in _FILE_TYPES:
            node = self._node(member, _FILE_TYPES[member.type])
        else:
            raise ConfigError(f"{member.name!r} in the tar is of a type that is not known: {member.type!r}")
        add(self.root, member.name, node, replace=True)

    def _hard_link(self, member: tarfile.TarInfo) -> Node:
        target = find(self.root, clean(member.linkname).lstrip("/"))
        if target is None or target.children is not None:
            raise ConfigError(
                f"{member.name!r} in the tar is a link to {member.linkname!r}, which is no file before it"
            )
        if not target.link:
            self._links += 1
            target.link = self._links
        return Node("", target.stat, target.content, link=target.link)

    def _node(self, member: tarfile.TarInfo, kind: int) -> Node:
        uid, gid = (member.uid, member.gid) if self._keep_owner else (0, 0)
        size = member.size if kind == st.S_IFREG else 0
        linkname = ""
        if kind == st.S_IFLNK:
            linkname = member.linkname
            size = len(linkname.encode(errors="surrogateescape"))
        devices = (member.devmajor, member.devminor) if kind in {st.S_IFCHR, st.S_IFBLK} else (0, 0)
        stat = Stat(
            "",
            go_mode(kind | member.mode & 0o7777),
            uid,
            gid,
            size,
            _mtime(member),
            linkname,
            *devices,
            _xattrs(member),
        )
        if kind == st.S_IFDIR:
            return Node("", stat, children={})
        return Node("", stat, self._content(member) if kind == st.S_IFREG else None)

    def _content(self, member: tarfile.TarInfo) -> Content:
        sparse = cast("list[tuple[int, int]] | None", member.sparse)
        if sparse is None:
            return _Stored(self._fd, member.offset_data, member.size)
        pieces = []
        stored = member.offset_data
        for start, length in sparse:
            pieces.append((start, length, stored))
            stored += length
        return _Sparse(self._fd, tuple(pieces), member.size)


def _mtime(member: tarfile.TarInfo) -> int:
    """The time, in nanoseconds; tarfile makes a float of it, which can not hold them."""
    exact = member.pax_headers.get("mtime")
    try:
        return int(Decimal(exact) * 10**9) if exact else int(member.mtime) * 10**9
    except (InvalidOperation, ValueError, OverflowError):
        raise ConfigError(f"{member.name!r} in the tar has a time that is none: {exact!r}") from None


def _xattrs(member: tarfile.TarInfo) -> dict[str, bytes]:
    return {
        key.removeprefix(_XATTR): value.encode(errors="surrogateescape")
        for key, value in member.pax_headers.items()
        if key.startswith(_XATTR)
    }
