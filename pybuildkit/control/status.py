"""``StatusResponse`` to ``SolveStatus`` (C30 to C33). Hot: a chatty build sends thousands of them."""

from __future__ import annotations

from pybuildkit import _wire as wire
from pybuildkit._wire import field_bytes, fields, signed
from pybuildkit.events import (
    Position,
    ProgressGroup,
    Range,
    SolveStatus,
    SourceInfo,
    Vertex,
    VertexLog,
    VertexStatus,
    VertexWarning,
)

__all__ = ["STATUS", "decode_status_response", "encode_status_request"]

STATUS = "/moby.buildkit.v1.Control/Status"


def encode_status_request(ref: str) -> bytes:
    """``StatusRequest`` for a build's ref (C9)."""
    return field_bytes(1, ref.encode())


def decode_status_response(data: bytes) -> SolveStatus:
    """One batch of progress.

    Raises:
        ProtoDecodeError: the bytes are not a StatusResponse.
    """
    vertexes: list[Vertex] = []
    statuses: list[VertexStatus] = []
    logs: list[VertexLog] = []
    warnings: list[VertexWarning] = []
    for number, value in fields(data):
        if isinstance(value, int):
            continue
        if number == 1:
            vertexes.append(_vertex(value))
        elif number == 2:
            statuses.append(_status(value))
        elif number == 3:
            logs.append(_log(value))
        elif number == 4:
            warnings.append(_warning(value))
    return SolveStatus(tuple(vertexes), tuple(statuses), tuple(logs), tuple(warnings))


def timestamp(data: bytes) -> int:
    """``google.protobuf.Timestamp`` as nanoseconds since the epoch."""
    seconds = nanos = 0
    for number, value in fields(data):
        if isinstance(value, int):
            if number == 1:
                seconds = signed(value)
            elif number == 2:
                nanos = signed(value)
    return seconds * 1_000_000_000 + nanos


def _text(value: bytes | int) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _moment(value: bytes | int) -> int | None:
    return timestamp(value) if isinstance(value, bytes) else None


def _vertex(data: bytes) -> Vertex:
    digest = name = error = ""
    inputs: list[str] = []
    cached = False
    started = completed = group = None
    for number, value in fields(data):
        if number == 1:
            digest = _text(value)
        elif number == 2:
            inputs.append(_text(value))
        elif number == 3:
            name = _text(value)
        elif number == 4:
            cached = bool(value)
        elif number == 5:
            started = _moment(value)
        elif number == 6:
            completed = _moment(value)
        elif number == 7:
            error = _text(value)
        elif number == 8 and isinstance(value, bytes):
            group = _group(value)
    return Vertex(digest, name, tuple(inputs), started, completed, cached, error, group)


def _group(data: bytes) -> ProgressGroup:
    weak = any(number == 3 and value for number, value in fields(data))
    return ProgressGroup(_text(wire.first(data, 1)), _text(wire.first(data, 2)), weak)


def _status(data: bytes) -> VertexStatus:
    ident = vertex = name = ""
    current = total = stamp = 0
    started = completed = None
    for number, value in fields(data):
        if number == 1:
            ident = _text(value)
        elif number == 2:
            vertex = _text(value)
        elif number == 3:
            name = _text(value)
        elif number == 4 and isinstance(value, int):
            current = signed(value)
        elif number == 5 and isinstance(value, int):
            total = signed(value)
        elif number == 6:
            stamp = _moment(value) or 0
        elif number == 7:
            started = _moment(value)
        elif number == 8:
            completed = _moment(value)
    return VertexStatus(ident, vertex, name, total, current, stamp, started, completed)


def _log(data: bytes) -> VertexLog:
    vertex, stamp, stream, message = "", 0, 0, b""
    for number, value in fields(data):
        if number == 4 and isinstance(value, bytes):
            message = value
        elif number == 1:
            vertex = _text(value)
        elif number == 2:
            stamp = _moment(value) or 0
        elif number == 3 and isinstance(value, int):
            stream = value
    return VertexLog(vertex, stream, message, stamp)


def _warning(data: bytes) -> VertexWarning:
    vertex = short = url = ""
    level = 0
    detail: list[str] = []
    ranges: list[Range] = []
    source = None
    for number, value in fields(data):
        if number == 1:
            vertex = _text(value)
        elif number == 2 and isinstance(value, int):
            level = signed(value)
        elif number == 3:
            short = _text(value)
        elif number == 4:
            detail.append(_text(value))
        elif number == 5:
            url = _text(value)
        elif number == 6 and isinstance(value, bytes):
            source = _source_info(value)
        elif number == 7 and isinstance(value, bytes):
            ranges.append(Range(_position(wire.first(value, 1)), _position(wire.first(value, 2))))
    return VertexWarning(vertex, short, level, tuple(detail), url, source, tuple(ranges))


def _source_info(data: bytes) -> SourceInfo:
    return SourceInfo(
        filename=_text(wire.first(data, 1)),
        data=wire.first(data, 2),
        language=_text(wire.first(data, 4)),
        definition=wire.first(data, 3),
    )


def _position(data: bytes) -> Position:
    line = character = 0
    for number, value in fields(data):
        if isinstance(value, int):
            if number == 1:
                line = signed(value)
            elif number == 2:
                character = signed(value)
    return Position(line, character)
