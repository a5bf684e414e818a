"""gRPC's use of headers: request metadata, time-outs, and the status in the trailers."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence

from pybuildkit import _wire
from pybuildkit._values import dataclass
from pybuildkit.http2.headers import Field, encode

__all__ = [
    "OK_TRAILERS",
    "RESPONSE_HEADERS",
    "Detail",
    "Request",
    "binary",
    "from_base64",
    "read_request",
    "read_status",
    "request_fields",
    "status_fields",
    "timeout_seconds",
]

Detail = tuple[str, bytes]
"""One typed detail of a status: the type's URL and the encoded message."""

_CONTENT: Field = (b"content-type", b"application/grpc")
RESPONSE_HEADERS = encode([(b":status", b"200"), _CONTENT])
OK_TRAILERS = encode([(b"grpc-status", b"0")])

_HIDDEN = frozenset(("content-type", "te", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding"))
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}
_UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class Request:
    """What the headers of a request say.

    Attributes:
        method: HTTP's method, ``POST`` in gRPC.
        path: as ``/pkg.Service/Method``.
        content_type: ``application/grpc``, perhaps with a suffix.
        encoding: how messages may be compressed, ``identity`` when they are not.
        timeout: seconds until the caller gives up, None when it does not say.
        metadata: the rest: lower-case key to its values in order.
    """

    method: str
    path: str
    content_type: str
    encoding: str
    timeout: float | None
    metadata: dict[str, list[str]]


def _text(value: bytes) -> str:
    # As file names are decoded: what is not UTF-8 survives a round trip.
    return value.decode("utf-8", "surrogateescape")


def read_request(fields: Iterable[Field]) -> Request:
    """Sort a request's header fields."""
    known: dict[str, str] = {}
    metadata: dict[str, list[str]] = {}
    for raw_key, raw_value in fields:
        key, value = _text(raw_key), _text(raw_value)
        if key.startswith(":") or key in _HIDDEN:
            known[key] = value
        else:
            metadata.setdefault(key, []).append(value)
    return Request(
        method=known.get(":method", ""),
        path=known.get(":path", ""),
        content_type=known.get("content-type", ""),
        encoding=known.get("grpc-encoding", "identity"),
        timeout=timeout_seconds(known.get("grpc-timeout", "")),
        metadata=metadata,
    )


def timeout_seconds(value: str) -> float | None:
    """A ``grpc-timeout``, as ``15S`` or ``200m``; None when there is none, or none that can be understood."""
    digits, unit = value[:-1], value[-1:]
    if unit in _UNITS and len(digits) <= 8 and digits.isascii() and digits.isdigit():
        return int(digits) * _UNITS[unit]
    return None


def request_fields(
    path: str, metadata: Iterable[tuple[str, str]], *, authority: str = "localhost", scheme: str = "http"
) -> list[Field]:
    """The header fields of a call that we make."""
    return [
        (b":method", b"POST"),
        (b":scheme", scheme.encode()),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        _CONTENT,
        *((key.encode(), value.encode("utf-8", "surrogateescape")) for key, value in metadata),
    ]


def status_fields(code: int, message: str, details: Sequence[Detail] = ()) -> list[Field]:
    """A status as trailers. Details go as a ``google.rpc.Status`` in ``grpc-status-details-bin``."""
    fields: list[Field] = [(b"grpc-status", b"%d" % code)]
    raw = message.encode("utf-8", "replace")
    if raw:
        fields.append((b"grpc-message", _percent(raw)))
    if details:
        status = _wire.field_varint(1, code) + _wire.field_bytes(2, raw)
        for url, value in details:
            any_ = _wire.field_bytes(1, url.encode()) + _wire.field_bytes(2, value)
            status += _wire.field_bytes(3, any_)
        fields.append((b"grpc-status-details-bin", binary(status)))
    return fields


def _percent(raw: bytes) -> bytes:
    if all(byte in _PLAIN for byte in raw):
        return raw
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in raw)


def _unpercent(raw: bytes) -> bytes:
    """What is not an escape stays as it is: a broken text is better than none."""
    first, *rest = raw.split(b"%")
    parts = [first]
    for part in rest:
        try:
            parts += (binascii.unhexlify(part[:2]), part[2:]) if part else (b"%",)
        except binascii.Error:
            parts += (b"%", part)
    return b"".join(parts)


def binary(value: bytes) -> bytes:
    """The value of a ``-bin`` header: base64 without padding."""
    return binascii.b2a_base64(value, newline=False).rstrip(b"=")


def from_base64(value: str | bytes) -> bytes:
    """The bytes of a ``-bin`` header's value, padded or not.

    Raises:
        ValueError: it is not base64.
    """
    raw = value.encode() if isinstance(value, str) else value
    raw = raw.rstrip(b"=")
    return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))


def read_status(fields: Iterable[Field]) -> tuple[int, str, tuple[Detail, ...]]:
    """The status in trailers; one that is missing or broken is UNKNOWN, with a text that says so."""
    values = dict(fields)
    raw = values.get(b"grpc-status", b"")
    code = int(raw) if raw.isdigit() and len(raw) < 4 else _UNKNOWN
    message = _unpercent(values.get(b"grpc-message", b"")).decode("utf-8", "replace")
    if not raw:
        http = values.get(b":status", b"?").decode("latin-1")
        return code, f"the answer ended without a status (HTTP {http})", ()
    return code, message, _details(values.get(b"grpc-status-details-bin", b""))


def _details(value: bytes) -> tuple[Detail, ...]:
    if not value:
        return ()
    try:
        found = [part for number, part in _wire.fields(from_base64(value)) if number == 3]
        return tuple(
            (_wire.first(part, 1).decode(), _wire.first(part, 2)) for part in found if isinstance(part, bytes)
        )
    except ValueError:
        # Details only explain; the code and the text stand without them.
        return ()
