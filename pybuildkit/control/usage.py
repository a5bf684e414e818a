"""``DiskUsageRequest``, ``PruneRequest`` and ``UsageRecord`` (C6, C7)."""

from __future__ import annotations

from collections.abc import Iterable

from pybuildkit import _wire as wire
from pybuildkit._wire import field_bytes, field_varint, fields, signed
from pybuildkit.control.status import timestamp
from pybuildkit.usage import UsageRecord

__all__ = [
    "DISK_USAGE",
    "PRUNE",
    "decode_disk_usage",
    "decode_usage_record",
    "encode_disk_usage_request",
    "encode_prune_request",
]

DISK_USAGE = "/moby.buildkit.v1.Control/DiskUsage"
PRUNE = "/moby.buildkit.v1.Control/Prune"


def encode_disk_usage_request(filters: Iterable[str], age_limit: int) -> bytes:
    """``DiskUsageRequest``; the age in nanoseconds."""
    return _filters(filters) + field_varint(2, age_limit)


def encode_prune_request(
    filters: Iterable[str],
    *,
    everything: bool,
    keep_duration: int,
    reserved_space: int,
    max_used_space: int,
    min_free_space: int,
) -> bytes:
    """``PruneRequest``; the duration in nanoseconds, sizes in bytes."""
    return (
        _filters(filters)
        + field_varint(2, everything)
        + field_varint(3, keep_duration)
        + field_varint(4, reserved_space)
        + field_varint(5, max_used_space)
        + field_varint(6, min_free_space)
    )


def _filters(filters: Iterable[str]) -> bytes:
    return b"".join(field_bytes(1, text.encode()) for text in filters)


def decode_disk_usage(data: bytes) -> tuple[UsageRecord, ...]:
    """``DiskUsageResponse``: the records by size, then by id, as Go's client sorts them."""
    records = (decode_usage_record(v) for n, v in fields(data) if n == 1 and isinstance(v, bytes))
    return tuple(sorted(records, key=lambda record: (record.size, record.id)))


def decode_usage_record(data: bytes) -> UsageRecord:
    """``UsageRecord``; the one parent of old daemons is one of several."""
    numbers: dict[int, int] = {}
    texts: dict[int, bytes] = {}
    parents: list[str] = []
    for number, value in fields(data):
        if isinstance(value, int):
            numbers[number] = signed(value)
        elif number == 12:
            parents.append(wire.text(value))
        else:
            texts[number] = value
    if not parents and 5 in texts:
        parents.append(wire.text(texts[5]))
    return UsageRecord(
        id=wire.text(texts.get(1, b"")),
        mutable=bool(numbers.get(2)),
        in_use=bool(numbers.get(3)),
        size=numbers.get(4, 0),
        created_ns=timestamp(texts.get(6, b"")),
        last_used_ns=timestamp(texts[7]) if 7 in texts else None,
        usage_count=numbers.get(8, 0),
        description=wire.text(texts.get(9, b"")),
        record_type=wire.text(texts.get(10, b"")),
        shared=bool(numbers.get(11)),
        parents=tuple(parents),
    )
