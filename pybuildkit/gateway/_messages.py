"""``Solve`` and ``Return``: requests, results, attestations (V63 to V65)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pybuildkit._values import dataclass, field
from pybuildkit.control.solve import CacheEntry
from pybuildkit.events import Range, SourceInfo
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway._proto import Message
from pybuildkit.gateway._types import AnyReference
from pybuildkit.gateway.attestations import KINDS, SUBJECT_KINDS, Attestation, Subject
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.reference import Reference
from pybuildkit.gateway.results import GatewayResult

__all__ = ["SolveRequest", "decode_result", "encode_return"]


@dataclass(frozen=True, slots=True)
class SolveRequest:
    """One solve inside a build; graphs and policies are encoded."""

    definition: bytes | None = None
    frontend: str = ""
    attrs: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    cache_imports: tuple[CacheEntry, ...] = ()
    evaluate: bool = False
    source_policies: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """The request's bytes; results are always asked for in the form that has the graphs (V63)."""
        parts = [p.message(1, self.definition)] if self.definition is not None else []
        parts += [p.text(2, self.frontend), p.text_map(3, self.attrs), p.flag(5, True), p.flag(6, True)]
        parts += [p.message(12, p.text(1, c.type) + p.text_map(2, c.attrs)) for c in self.cache_imports]
        parts += [p.message_map(13, self.inputs), p.flag(14, self.evaluate)]
        parts += [p.message(15, policy) for policy in self.source_policies]
        return b"".join(parts)


def decode_result(response: Message, bridge: Bridge) -> GatewayResult:
    """``SolveResponse``, in any of the forms that daemons have used."""
    if 3 not in response:
        return GatewayResult(_reference(bridge, response.text(1)))
    result = response.message(3)
    refs: dict[str, Reference | None] = {}
    single = None
    if 1 in result:
        single = _reference(bridge, result.text(1))
    elif 2 in result:
        refs = {key: _reference(bridge, id_) for key, id_ in result.message(2).text_map(1).items()}
    elif 3 in result:
        single = _decode_ref(bridge, result.message(3))
    elif 4 in result:
        entries = result.message(4).blob_map(1)
        refs = {key: _decode_ref(bridge, Message(data)) for key, data in entries.items()}
    return GatewayResult(
        single,
        dict(sorted(refs.items())),  # the daemon's order is another one each time
        result.blob_map(10),
        {
            key: tuple(_decode_attestation(bridge, m) for m in Message(data).messages(1))
            for key, data in result.blob_map(12).items()
        },
    )


def _reference(bridge: Bridge, id_: str, definition: bytes = b"") -> Reference | None:
    return Reference(bridge, id_, definition) if id_ else None


def _decode_ref(bridge: Bridge, ref: Message) -> Reference | None:
    return _reference(bridge, ref.text(1), ref.blob(2))


def _decode_attestation(bridge: Bridge, data: Message) -> Attestation:
    return Attestation(
        ref=_decode_ref(bridge, data.message(3)),
        path=data.text(4),
        predicate_type=data.text(5),
        kind=KINDS[data.number(1)] if data.number(1) < len(KINDS) else KINDS[0],
        subjects=tuple(_decode_subject(subject) for subject in data.messages(6)),
        metadata=data.blob_map(2),
    )


def _decode_subject(data: Message) -> Subject:
    digests = data.texts(2)
    return Subject(data.text(3), digests, "raw" if data.number(1) == 1 and digests else "self")


def encode_return(result: GatewayResult[AnyReference] | None, error: bytes, bridge: Bridge) -> bytes:
    """``ReturnRequest``: a result, or an encoded ``google.rpc.Status``.

    Raises:
        ConfigError: a reference belongs to another build, or an attestation can not work.
    """
    if result is None:
        return p.message(2, error)
    parts = []
    if result.refs:
        refs = {key: _encode_ref(ref, bridge) for key, ref in result.refs.items()}
        parts.append(p.message(4, p.message_map(1, refs)))
    else:
        parts.append(p.message(3, _encode_ref(result.single, bridge)))
    parts.append(p.blob_map(10, result.metadata))
    attestations = {
        key: b"".join(p.message(1, _encode_attestation(a, bridge)) for a in listed)
        for key, listed in result.attestations.items()
    }
    parts.append(p.message_map(12, attestations))
    return p.message(1, b"".join(parts))


def _encode_ref(ref: AnyReference | None, bridge: Bridge) -> bytes:
    return b"" if ref is None else ref.encode(bridge)


def _encode_attestation(attestation: Attestation[AnyReference], bridge: Bridge) -> bytes:
    attestation.check()
    return b"".join(
        [
            p.number(1, KINDS.index(attestation.kind)),
            p.blob_map(2, attestation.metadata),
            p.message(3, _encode_ref(attestation.ref, bridge)),
            p.text(4, attestation.path),
            p.text(5, attestation.predicate_type),
            *_encode_subjects(attestation.subjects),
        ]
    )


def _encode_subjects(subjects: Iterable[Subject]) -> Iterable[bytes]:
    for subject in subjects:
        body = p.number(1, SUBJECT_KINDS.index(subject.kind)) + p.texts(2, subject.digests)
        yield p.message(6, body + p.text(3, subject.name))


def encode_source_info(info: SourceInfo) -> bytes:
    definition = p.message(3, info.definition) if info.definition else b""
    return p.text(1, info.filename) + p.blob(2, info.data) + definition + p.text(4, info.language)


def encode_range(r: Range) -> bytes:
    start = p.number(1, r.start.line) + p.number(2, r.start.character)
    end = p.number(1, r.end.line) + p.number(2, r.end.character)
    return p.message(1, start) + p.message(2, end)
