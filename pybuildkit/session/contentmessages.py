"""The messages of containerd's Content service, by hand: blobs of gigabytes pass through them (S96).

Field numbers are those of ``protos/``; the service's tests read and write the messages with the generated stubs.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from pybuildkit._wire import ProtoDecodeError, field_bytes, field_varint, fields, read_varint, signed, varint
from pybuildkit.content.ingest import IngestStatus
from pybuildkit.content.store import BlobInfo

__all__ = [
    "WriteAction",
    "WriteRequest",
    "decode_read",
    "decode_write",
    "encode_blob_info",
    "encode_ingest_status",
    "encode_piece_head",
    "encode_write_response",
]


class WriteAction(IntEnum):
    """What a message of a Write call wants."""

    STAT = 0
    WRITE = 1
    COMMIT = 2


class WriteRequest(NamedTuple):
    """A ``WriteContentRequest``; labels have no place in a store without them."""

    action: int
    ref: str
    total: int
    expected: str
    offset: int
    data: bytes | memoryview


def decode_write(message: bytes) -> WriteRequest:
    """Read a ``WriteContentRequest``; its data is a view into the message.

    Raises:
        ProtoDecodeError: it is none.
    """
    numbers = [0] * 6
    ref = expected = ""
    data: bytes | memoryview = b""
    pos, end = 0, len(message)
    while pos < end:
        tag, pos = read_varint(message, pos, end)
        kind, number = tag & 7, tag >> 3
        value, pos = read_varint(message, pos, end)
        if kind == 0:
            if number < 6:
                numbers[number] = value
            continue
        if kind != 2 or pos + value > end:
            raise ProtoDecodeError(f"field {number} is cut off or has an unknown type")
        if number == 6:
            data = memoryview(message)[pos : pos + value]
        elif number == 2:
            ref = _text(message[pos : pos + value])
        elif number == 4:
            expected = _text(message[pos : pos + value])
        pos += value
    return WriteRequest(numbers[1], ref, signed(numbers[3]), expected, signed(numbers[5]), data)


def decode_read(message: bytes) -> tuple[str, int, int]:
    """Digest, offset and size of a ``ReadContentRequest``.

    Raises:
        ProtoDecodeError: it is none.
    """
    digest, numbers = "", [0] * 4
    for number, value in fields(message):
        if isinstance(value, int):
            if number < 4:
                numbers[number] = signed(value)
        elif number == 1:
            digest = _text(value)
    return digest, numbers[2], numbers[3]


def encode_piece_head(offset: int, size: int) -> bytes:
    """All of a ``ReadContentResponse`` but the ``size`` bytes that follow it."""
    return field_varint(1, offset) + b"\x12" + varint(size)


def encode_blob_info(blob: BlobInfo) -> bytes:
    """An ``Info``."""
    return (
        field_bytes(1, blob.digest.encode())
        + field_varint(2, blob.size)
        + field_bytes(3, encode_time(blob.created_ns))
        + field_bytes(4, encode_time(blob.updated_ns))
    )


def encode_ingest_status(status: IngestStatus) -> bytes:
    """A ``Status``."""
    return (
        field_bytes(1, encode_time(status.started_ns))
        + field_bytes(2, encode_time(status.updated_ns))
        + field_bytes(3, status.ref.encode("utf-8", "surrogateescape"))
        + field_varint(4, status.offset)
        + field_varint(5, status.total)
    )


def encode_write_response(
    action: int, offset: int, digest: str, *, started_ns: int = 0, updated_ns: int = 0, total: int = 0
) -> bytes:
    """A ``WriteContentResponse``; times only where they are given."""
    return (
        field_varint(1, action)
        + (field_bytes(2, encode_time(started_ns)) if started_ns else b"")
        + (field_bytes(3, encode_time(updated_ns)) if updated_ns else b"")
        + field_varint(4, offset)
        + field_varint(5, total)
        + field_bytes(6, digest.encode())
    )


def encode_time(nanoseconds: int) -> bytes:
    """A ``google.protobuf.Timestamp``."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return field_varint(1, seconds) + field_varint(2, rest)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
