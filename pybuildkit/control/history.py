"""The messages of build history (C13, C14, C34)."""

from __future__ import annotations

from collections.abc import Iterable

from pybuildkit import _wire as wire
from pybuildkit._wire import field_bytes, field_varint, fields, signed
from pybuildkit.content.descriptor import Descriptor
from pybuildkit.control.solve import string_map
from pybuildkit.control.status import timestamp
from pybuildkit.details import decode_status
from pybuildkit.history import Exporter, HistoryError, HistoryEvent, HistoryRecord, ResultInfo
from pybuildkit.rpc.failures import CODES

__all__ = [
    "LISTEN",
    "UPDATE",
    "decode_error",
    "decode_event",
    "decode_record",
    "encode_listen_request",
    "encode_update_request",
]

LISTEN = "/moby.buildkit.v1.Control/ListenBuildHistory"
UPDATE = "/moby.buildkit.v1.Control/UpdateBuildHistory"

_EVENTS = ("started", "complete", "deleted")


def encode_listen_request(
    *,
    active_only: bool = False,
    ref: str = "",
    early_exit: bool = False,
    filters: Iterable[str] = (),
    limit: int = 0,
) -> bytes:
    """``BuildHistoryRequest`` (C13)."""
    return (
        field_varint(1, active_only)
        + (field_bytes(2, ref.encode()) if ref else b"")
        + field_varint(3, early_exit)
        + b"".join(field_bytes(4, text.encode()) for text in filters)
        + field_varint(5, limit)
    )


def encode_update_request(
    ref: str, *, pinned: bool = False, delete: bool = False, finalize: bool = False
) -> bytes:
    """``UpdateBuildHistoryRequest`` (C14): a delete comes before a finalize, and that before the pin."""
    return (
        field_bytes(1, ref.encode())
        + field_varint(2, pinned)
        + field_varint(3, delete)
        + field_varint(4, finalize)
    )


def decode_event(data: bytes) -> HistoryEvent:
    """``BuildHistoryEvent``; a kind that is not known is taken for a change."""
    kind = next((v for n, v in reversed(list(fields(data))) if n == 1 and isinstance(v, int)), 0)
    name = _EVENTS[kind] if kind < len(_EVENTS) else "complete"
    return HistoryEvent(name, decode_record(wire.first(data, 2)))  # type: ignore[arg-type]


def decode_record(data: bytes) -> HistoryRecord:
    """``BuildHistoryRecord``."""
    numbers: dict[int, int] = {}
    parts: dict[int, bytes] = {}
    exporters: list[Exporter] = []
    results: dict[str, ResultInfo] = {}
    for number, value in fields(data):
        if isinstance(value, int):
            numbers[number] = signed(value)
        elif number == 4:
            exporters.append(Exporter(wire.text(wire.first(value, 1)), string_map(value, 2)))
        elif number == 11:
            results[wire.text(wire.first(value, 1))] = _result(wire.first(value, 2))
        else:
            parts[number] = value
    return HistoryRecord(
        ref=wire.text(parts.get(1, b"")),
        frontend=wire.text(parts.get(2, b"")),
        frontend_attrs=string_map(data, 3),
        exporters=tuple(exporters),
        error=decode_error(parts[5]) if 5 in parts else None,
        created_ns=timestamp(parts.get(6, b"")),
        completed_ns=timestamp(parts[7]) if 7 in parts else None,
        logs=_optional(parts, 8),
        metadata=string_map(data, 9),
        result=_result(parts[10]) if 10 in parts else None,
        results=results,
        generation=numbers.get(12, 0),
        trace=_optional(parts, 13),
        pinned=bool(numbers.get(14)),
        cached_steps=numbers.get(15, 0),
        total_steps=numbers.get(16, 0),
        completed_steps=numbers.get(17, 0),
        external_error=_optional(parts, 18),
        warnings=numbers.get(19, 0),
    )


def decode_error(data: bytes) -> HistoryError:
    """An encoded ``google.rpc.Status``, in a record or in the blob of its error (C35)."""
    code, message, details = decode_status(data)
    return HistoryError(CODES[code] if code < len(CODES) else "UNKNOWN", message, details)


def _optional(parts: dict[int, bytes], number: int) -> Descriptor | None:
    return _descriptor(parts[number]) if number in parts else None


def _descriptor(data: bytes) -> Descriptor:
    size = next((signed(v) for n, v in fields(data) if n == 3 and isinstance(v, int)), 0)
    return Descriptor(
        media_type=wire.text(wire.first(data, 1)),
        digest=wire.text(wire.first(data, 2)),
        size=size,
        annotations=string_map(data, 5),
    )


def _result(data: bytes) -> ResultInfo:
    results: dict[int, Descriptor] = {}
    attestations: list[Descriptor] = []
    only: Descriptor | None = None
    for number, value in fields(data):
        if isinstance(value, int):
            continue
        if number == 1:
            only = _descriptor(value)
        elif number == 2:
            attestations.append(_descriptor(value))
        elif number == 3:
            key = next((signed(v) for n, v in fields(value) if n == 1 and isinstance(v, int)), 0)
            results[key] = _descriptor(wire.first(value, 2))
    if not results and only is not None:  # a daemon before 0.13 has one result
        results[0] = only
    return ResultInfo(results, tuple(attestations))
