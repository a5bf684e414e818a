"""Reading a bbolt database file, the format in which buildkitd keeps its metadata.

A file is pages of one size. Page 0 and 1 are metas, of which the valid one with the highest transaction counts; it names the
page of the root bucket. A bucket is a tree of branch and leaf pages; a leaf's value may be a bucket itself, whose only page can
be inside the value.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError

__all__ = ["BoltFile", "Bucket"]

_PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, page
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
_BUCKET = struct.Struct("<QQ")  # root page, sequence
_META = struct.Struct(
    "<IIIIQQQQQQ"
)  # magic, version, page size, flags, root, sequence, freelist, pages, txid, sum

_IS_BRANCH, _IS_LEAF = 0x01, 0x02
_IS_BUCKET = 0x01
_MAGIC, _VERSION = 0xED0CDAED, 2
_PAGE_SIZES = (4096, 8192, 16384, 65536, 1024, 2048, 32768)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a bucket is: the page it starts with, or that page itself when it is inside its parent's value."""

    page: int
    inline: bytes = b""


class BoltFile:
    """One database file, read as it is.

    Raises:
        ConfigError: it is no bbolt database.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        try:
            self._data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        except ValueError as exc:  # an empty file
            raise self._broken() from exc
        self._page_size, self.root = self._meta()
        self._visited: set[int] = set()

    def close(self) -> None:
        """Let go of the file's content."""
        self._data.close()

    def items(self, bucket: Bucket) -> Iterator[tuple[bytes, bytes | Bucket]]:
        """The keys of a bucket in order, with values or buckets. Each bucket can be read once.

        Raises:
            ConfigError: the file is damaged.
        """
        try:
            if bucket.inline:
                yield from self._leaf(bucket.inline, 0)
            else:
                yield from self._walk(bucket.page)
        except (struct.error, IndexError) as exc:
            raise self._broken() from exc

    def _walk(self, page: int) -> Iterator[tuple[bytes, bytes | Bucket]]:
        if page in self._visited:  # a tree has no loops, and nothing twice
            raise self._broken()
        self._visited.add(page)
        start = page * self._page_size
        _, flags, count, _ = _PAGE.unpack_from(self._data, start)
        if flags & _IS_LEAF:
            yield from self._leaf(self._data, start)
        elif flags & _IS_BRANCH:
            for number in range(count):
                element = start + _PAGE.size + number * _BRANCH_ELEMENT.size
                yield from self._walk(_BRANCH_ELEMENT.unpack_from(self._data, element)[2])
        else:
            raise self._broken()

    def _leaf(self, data: bytes | mmap.mmap, start: int) -> Iterator[tuple[bytes, bytes | Bucket]]:
        _, _, count, _ = _PAGE.unpack_from(data, start)
        for number in range(count):
            element = start + _PAGE.size + number * _LEAF_ELEMENT.size
            flags, position, key_size, value_size = _LEAF_ELEMENT.unpack_from(data, element)
            key = element + position
            value = bytes(data[key + key_size : key + key_size + value_size])
            if flags & _IS_BUCKET:
                root, _ = _BUCKET.unpack_from(value)
                yield bytes(data[key : key + key_size]), Bucket(root, b"" if root else value[_BUCKET.size :])
            else:
                yield bytes(data[key : key + key_size]), value

    def _meta(self) -> tuple[int, Bucket]:
        found: list[tuple[int, int, int]] = []
        for offset in (0, *_PAGE_SIZES):
            if offset + _PAGE.size + _META.size > len(self._data):
                continue
            meta = _META.unpack_from(self._data, offset + _PAGE.size)
            magic, version, size, _, root, _, _, _, transaction, checksum = meta
            body = self._data[offset + _PAGE.size : offset + _PAGE.size + _META.size - 8]
            if (magic, version, checksum) == (_MAGIC, _VERSION, _fnv1a(body)) and offset in (0, size):
                found.append((transaction, size, root))
        if not found:
            raise self._broken()
        _, size, root = max(found)
        return size, Bucket(root)

    def _broken(self) -> ConfigError:
        return ConfigError(f"{self._path} is no bbolt database, or it is damaged")


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
