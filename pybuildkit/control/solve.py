"""``SolveRequest`` and ``SolveResponse`` (C15 to C28)."""

from __future__ import annotations

from collections.abc import Mapping

from pybuildkit import _wire as wire
from pybuildkit._values import dataclass, field
from pybuildkit._wire import field_bytes, field_varint

__all__ = ["SOLVE", "CacheEntry", "ExporterEntry", "SolveRequest", "decode_response", "string_map"]

SOLVE = "/moby.buildkit.v1.Control/Solve"


@dataclass(frozen=True, slots=True)
class ExporterEntry:
    """One exporter of a request; its place in the list is its id in the session (C25)."""

    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The exporter's bytes."""
        return _entry(self.type, self.attrs)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One cache to import from or export to (C20)."""

    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SolveRequest:
    """All that the daemon is told of one build; ``definition`` and ``inputs`` are encoded graphs."""

    ref: str
    session: str = ""
    definition: bytes | None = None
    frontend: str = ""
    frontend_attrs: Mapping[str, str] = field(default_factory=dict)
    frontend_inputs: Mapping[str, bytes] = field(default_factory=dict)
    exporters: tuple[ExporterEntry, ...] = ()
    cache_exports: tuple[CacheEntry, ...] = ()
    cache_imports: tuple[CacheEntry, ...] = ()
    entitlements: tuple[str, ...] = ()
    internal: bool = False
    source_policy: bytes | None = None
    source_policy_session: str = ""
    enable_session_exporter: bool = False
    compatibility_version: int = 0
    proxy_network: bool = False

    def encode(self) -> bytes:
        """The request's bytes; maps in key order, so that equal requests are equal bytes."""
        first = self.exporters[0] if self.exporters else None
        parts = [_string(1, self.ref)]
        if self.definition is not None:
            parts.append(field_bytes(2, self.definition))
        if first is not None:  # C17: daemons before 0.13 know only these two
            parts.append(_string(3, first.type))
            parts.append(_map(4, first.attrs))
        parts.append(_string(5, self.session))
        parts.append(_string(6, self.frontend))
        parts.append(_map(7, self.frontend_attrs))
        parts.append(field_bytes(8, self._encode_caches()))
        parts.extend(field_bytes(9, name.encode()) for name in self.entitlements)
        for name in sorted(self.frontend_inputs):
            entry = field_bytes(1, name.encode()) + field_bytes(2, self.frontend_inputs[name])
            parts.append(field_bytes(10, entry))
        parts.append(field_varint(11, self.internal))
        if self.source_policy is not None:
            parts.append(field_bytes(12, self.source_policy))
        parts.extend(field_bytes(13, e.encode()) for e in self.exporters)
        parts.append(field_varint(14, self.enable_session_exporter))
        parts.append(_string(15, self.source_policy_session))
        parts.append(field_varint(16, self.compatibility_version))
        parts.append(field_varint(17, self.proxy_network))
        return b"".join(parts)

    def _encode_caches(self) -> bytes:
        exports = b"".join(field_bytes(4, _entry(c.type, c.attrs)) for c in self.cache_exports)
        return exports + b"".join(field_bytes(5, _entry(c.type, c.attrs)) for c in self.cache_imports)


def _string(number: int, value: str) -> bytes:
    return field_bytes(number, value.encode()) if value else b""


def _entry(kind: str, attrs: Mapping[str, str]) -> bytes:
    return _string(1, kind) + _map(2, attrs)


def _map(number: int, values: Mapping[str, str]) -> bytes:
    return b"".join(
        field_bytes(number, field_bytes(1, key.encode()) + field_bytes(2, values[key].encode()))
        for key in sorted(values)
    )


def string_map(data: bytes, number: int) -> dict[str, str]:
    """Decode a ``map<string, string>`` field of a message."""
    found = {}
    for seen, entry in wire.fields(data):
        if seen == number and isinstance(entry, bytes):
            key = wire.first(entry, 1).decode()
            found[key] = wire.first(entry, 2).decode()
    return found


def decode_response(data: bytes) -> dict[str, str]:
    """``SolveResponse.ExporterResponse``: what frontends and exporters say of the result (V47)."""
    return string_map(data, 1)
