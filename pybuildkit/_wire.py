"""Protocol buffers' wire format, by hand: for places where bytes must be exact, or fast.

Generated stubs serve where neither matters. Traps T1 and T2 say why the runtime's own encoder can not
be used for LLB.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = [
    "ProtoDecodeError",
    "field_bytes",
    "field_varint",
    "fields",
    "first",
    "read_varint",
    "signed",
    "strings",
    "text",
    "varint",
]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_SMALL = tuple([bytes((n,)) for n in range(0x80)])


class ProtoDecodeError(ValueError):
    """The bytes are not a protocol buffer message."""


def varint(value: int) -> bytes:
    """Encode an integer; a negative one takes ten bytes, as int32 and int64 do."""
    if 0 <= value < 128:
        return _SMALL[value]
    if 0 <= value < 16384:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 0:
        value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field_varint(number: int, value: int) -> bytes:
    """Encode a varint field; zero is left out, as proto3 does."""
    if not value:
        return b""
    return varint(number << 3) + varint(value)


def field_bytes(number: int, value: bytes) -> bytes:
    """Encode a length-delimited field, always, even an empty one."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def read_varint(data: bytes | memoryview, pos: int, end: int) -> tuple[int, int]:
    """Decode the varint at ``pos``; the value (unsigned, 64 bits) and the position behind it.

    Raises:
        ProtoDecodeError: it is cut off, or longer than ten bytes.
    """
    result = shift = 0
    while True:
        if pos >= end or shift > 63:
            raise ProtoDecodeError("a varint is cut off or too long")
        byte = data[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, pos
        shift += 7


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Walk a message: each field's number with its value, an int or bytes; fixed ones as bytes.

    Raises:
        ProtoDecodeError: the bytes are not a message.
    """
    pos, end = 0, len(data)
    while pos < end:
        tag, pos = read_varint(data, pos, end)
        kind, number = tag & 7, tag >> 3
        if not number:
            raise ProtoDecodeError("field number 0")
        if kind == VARINT:
            value, pos = read_varint(data, pos, end)
            yield number, value
            continue
        if kind == BYTES:
            size, pos = read_varint(data, pos, end)
        elif kind == FIXED64:
            size = 8
        elif kind == FIXED32:
            size = 4
        else:
            raise ProtoDecodeError(f"wire type {kind} is not known")
        if pos + size > end:
            raise ProtoDecodeError(f"field {number} is cut off")
        yield number, bytes(data[pos : pos + size])
        pos += size


def first(data: bytes, number: int) -> bytes:
    """The last length-delimited field of that number (the last wins), empty when there is none."""
    found = b""
    for seen, value in fields(data):
        if seen == number and isinstance(value, bytes):
            found = value
    return found


def strings(data: bytes, number: int) -> list[str]:
    """All values of a repeated string field.

    Raises:
        ProtoDecodeError: the bytes are not a message, or a value is not UTF-8.
    """
    try:
        return [v.decode() for n, v in fields(data) if n == number and isinstance(v, bytes)]
    except UnicodeDecodeError as exc:
        raise ProtoDecodeError(f"field {number} is not UTF-8") from exc


def signed(value: int) -> int:
    """An unsigned 64-bit varint value read as int64."""
    return value - (1 << 64) if value >> 63 else value


def text(value: bytes) -> str:
    """A string field's value; what is no UTF-8, which can not be in one, is replaced."""
    return value.decode(errors="replace")
