"""Header blocks of RFC 7541, in time linear in their size.

The encoder never uses the dynamic table: a block depends on its fields only, so one that never changes can be
a constant. The decoder keeps to one pass over the block: a build context with thousands of patterns arrives as
thousands of literals. It never logs a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeAlias

from pybuildkit.http2 import huffman
from pybuildkit.http2.statictable import STATIC_TABLE

__all__ = ["Field", "HeaderBlockError", "HeaderDecoder", "encode"]

Field: TypeAlias = tuple[bytes, bytes]

TABLE_SIZE = 4096
"""The dynamic table's size that both sides start with; we never ask for another one."""

NO_TABLE = b"\x20"
"""Opens the first block a connection sends: a dynamic table of no bytes, so no later SETTINGS can shrink it."""

_ENTRY_OVERHEAD = 32
_STATIC: Sequence[Field] = STATIC_TABLE
_STATIC_SIZE = len(_STATIC)
_EXACT = {field: index for index, field in enumerate(_STATIC, 1)}
_NAMES: dict[bytes, int] = {}
for _index, (_name, _) in enumerate(_STATIC, 1):
    _NAMES.setdefault(_name, _index)

_MAX_INTEGER_BYTES = 6


class HeaderBlockError(ValueError):
    """The bytes are not a header block; the connection's decoder is of no use any more."""


def _integer(value: int, bits: int, first: int) -> bytes:
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((first | value,))
    out = bytearray((first | limit,))
    value -= limit
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _string(value: bytes) -> bytes:
    return _integer(len(value), 7, 0) + value


def encode(fields: Iterable[Field], *, never_index: bool = False) -> bytes:
    """Encode fields without any memory between blocks: static table indices, else plain literals.

    Args:
        fields: names in lower case, pseudo-headers first.
        never_index: mark literals so that no hop compresses them either: for values that are secret.
    """
    out: list[bytes] = []
    mark = 0x10 if never_index else 0
    for name, value in fields:
        index = _EXACT.get((name, value))
        if index is not None:
            out.append(_integer(index, 7, 0x80))
            continue
        index = _NAMES.get(name)
        out.append(_integer(index, 4, mark) if index else bytes((mark,)) + _string(name))
        out.append(_string(value))
    return b"".join(out)


class HeaderDecoder:
    """Decodes the header blocks of one direction of one connection, in order.

    Args:
        max_list: a block whose fields sum up to more (names, values and 32 bytes each, RFC 9113 section 6.5.2)
            is decoded, for the dynamic table's sake, but its fields are dropped.
    """

    def __init__(self, max_list: int) -> None:
        self._max_list = max_list
        # Newest last: an index counts from the end, and the oldest leave from the front.
        self._table: list[Field] = []
        self._table_start = 0
        self._table_bytes = 0
        self._limit = TABLE_SIZE

    def decode(self, block: bytes) -> tuple[list[Field] | None, int]:
        """The block's fields and the size of the list; None instead of fields when there are too many.

        Raises:
            HeaderBlockError: the block is broken.
        """
        fields: list[Field] | None = []
        size = pos = 0
        seen = False
        end = len(block)
        try:
            while pos < end:
                byte = block[pos]
                if byte & 0xE0 == 0x20:
                    if seen:
                        raise HeaderBlockError("a table size update behind a field")
                    pos = self._resize(block, pos)
                    continue
                seen = True
                if byte & 0x80:
                    index, pos = _read_integer(block, pos, 0x7F)
                    field = self._entry(index)
                else:
                    field, pos = self._literal(block, pos)
                size += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
                if size > self._max_list:
                    fields = None
                if fields is not None:
                    fields.append(field)
        except IndexError:
            raise HeaderBlockError("a header block is cut off") from None
        except huffman.HuffmanError as error:
            raise HeaderBlockError(f"a header's Huffman code is not valid: {error}") from None
        return fields, size

    def _literal(self, block: bytes, pos: int) -> tuple[Field, int]:
        indexed = block[pos] & 0x40
        index, pos = _read_integer(block, pos, 0x3F if indexed else 0x0F)
        if index:
            name = self._entry(index)[0]
        else:
            name, pos = _read_string(block, pos)
        value, pos = _read_string(block, pos)
        field = name, value
        if indexed:
            self._add(field)
        return field, pos

    def _entry(self, index: int) -> Field:
        if 0 < index <= _STATIC_SIZE:
            return _STATIC[index - 1]
        place = len(self._table) - (index - _STATIC_SIZE)
        if not index or place < self._table_start:
            raise HeaderBlockError(f"header index {index} is not in the table")
        return self._table[place]

    def _add(self, field: Field) -> None:
        self._table.append(field)
        self._table_bytes += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
        if self._table_bytes > self._limit:
            self._evict()

    def _evict(self) -> None:
        start, size = self._table_start, self._table_bytes
        while size > self._limit:
            name, value = self._table[start]
            size -= len(name) + len(value) + _ENTRY_OVERHEAD
            start += 1
        # The dead front is cut off now and then, so that eviction costs no copy each time.
        if start > 256:
            self._table = list(islice(self._table, start, None))
            start = 0
        self._table_start, self._table_bytes = start, size

    def _resize(self, block: bytes, pos: int) -> int:
        size, pos = _read_integer(block, pos, 0x1F)
        if size > TABLE_SIZE:
            raise HeaderBlockError(f"a header table of {size} bytes was not allowed")
        self._limit = size
        self._evict()
        return pos


def _read_integer(block: bytes, pos: int, mask: int) -> tuple[int, int]:
    value = block[pos] & mask
    pos += 1
    if value < mask:
        return value, pos
    for shift in range(0, 7 * _MAX_INTEGER_BYTES, 7):
        byte = block[pos]
        pos += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
    raise HeaderBlockError("a header integer is too long")


def _read_string(block: bytes, pos: int) -> tuple[bytes, int]:
    coded = block[pos] & 0x80
    size, pos = _read_integer(block, pos, 0x7F)
    end = pos + size
    if end > len(block):
        raise HeaderBlockError("a header string is cut off")
    raw = block[pos:end]
    return (huffman.decode(raw) if coded else raw), end
