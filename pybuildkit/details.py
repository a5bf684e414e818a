"""What the daemon adds to an error: typed details (C50 to C61), as frozen values.

A refused call carries a ``google.rpc.Status``; each of its details is a type URL with a JSON text.
``decode_status`` reads it without any generated code. A detail that is not known, or that can not be read, is
kept as it came: nothing is lost.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pybuildkit import _wire
from pybuildkit._json import Malformed, items, mapping, number, string, strings, struct
from pybuildkit._values import dataclass, field
from pybuildkit.events import Position, Range, SourceInfo
from pybuildkit.sourcetext import excerpt
from pybuildkit.stacks import Frame, Stack

__all__ = [
    "CompatibilityFeature",
    "DecisionResponse",
    "Detail",
    "ExitMessage",
    "FailedVertex",
    "Frame",
    "Frontend",
    "FrontendCap",
    "ProvenanceMaterial",
    "ProvenanceMaterialsIncomplete",
    "Solve",
    "SourceError",
    "Stack",
    "Subrequest",
    "UnknownDetail",
    "decode_detail",
    "decode_status",
]

_PREFIX = "github.com/moby/buildkit/"
_UNKNOWN_CODE = 2


@dataclass(frozen=True, slots=True)
class FailedVertex:
    """Which vertex failed (C53)."""

    digest: str


@dataclass(frozen=True, slots=True)
class SourceError:
    """Where in a source file the failure was written (C54).

    Attributes:
        info: the file; its ``definition`` holds the operations of the graph that yields it, without their
            metadata.
        ranges: the lines to blame.
    """

    info: SourceInfo
    ranges: tuple[Range, ...] = ()

    @property
    def filename(self) -> str:
        """The file's name, as the frontend was given it."""
        return self.info.filename

    @property
    def line(self) -> int:
        """The first line to blame, counted from 1; 0 when none is."""
        return min((r.start.line for r in self.ranges), default=0)

    def render(self) -> str:
        """The lines to blame with some around them, to be printed; the same text that buildctl prints.

        Empty when there is nothing to show.
        """
        return excerpt(self.info.filename, self.info.data, self.ranges)


@dataclass(frozen=True, slots=True)
class Frontend:
    """Which frontend failed (C55); ``source`` is its image, for ``gateway.v0``."""

    name: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class FrontendCap:
    """A capability that the frontend does not have (C56)."""

    name: str


@dataclass(frozen=True, slots=True)
class Subrequest:
    """A request that the frontend does not know (C56)."""

    name: str


@dataclass(frozen=True, slots=True)
class Solve:
    """The operation that failed, and results to look into (C57).

    Attributes:
        input_ids: results that went in; they live as long as the gateway connection that made the solve.
        mount_ids: what was mounted, likewise.
        op: the operation, in protobuf's JSON form; empty when the daemon did not say.
        file_index: the file action that failed, None when it was none.
        cache_index: the input whose content could not be summed, None when it was none.
        description: the vertex' description.
    """

    input_ids: tuple[str, ...] = ()
    mount_ids: tuple[str, ...] = ()
    op: Mapping[str, Any] = field(default_factory=dict, hash=False)
    file_index: int | None = None
    cache_index: int | None = None
    description: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def argv(self) -> tuple[str, ...]:
        """The command, when the operation ran one."""
        try:
            return strings(struct(struct(self.op, "exec"), "meta"), "args")
        except Malformed:
            return ()


@dataclass(frozen=True, slots=True)
class ExitMessage:
    """How the process ended (C58)."""

    code: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class DecisionResponse:
    """A policy's refusal (C59): ``DENY`` and its reasons."""

    action: str
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompatibilityFeature:
    """A feature that the asked-for compatibility version does not have."""

    version: int
    feature: str


@dataclass(frozen=True, slots=True)
class ProvenanceMaterial:
    """One network access that provenance could not record: by which operation, to where, and why not."""

    op: str = ""
    name: str = ""
    method: str = ""
    uri: str = ""
    final_uri: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProvenanceMaterialsIncomplete:
    """Provenance that can not be complete."""

    incomplete: tuple[ProvenanceMaterial, ...] = ()


@dataclass(frozen=True, slots=True)
class UnknownDetail:
    """A detail of a type that is not known here, as it came."""

    type_url: str
    value: bytes


Detail: TypeAlias = (
    FailedVertex
    | SourceError
    | Frontend
    | FrontendCap
    | Subrequest
    | Solve
    | ExitMessage
    | DecisionResponse
    | Stack
    | CompatibilityFeature
    | ProvenanceMaterialsIncomplete
    | UnknownDetail
)


def decode_status(data: bytes) -> tuple[int, str, tuple[Detail, ...]]:
    """Read an encoded ``google.rpc.Status``: code, message, details in the daemon's order (C50, C61).

    Bytes that are no such message come back whole, as one ``UnknownDetail``: an error that can not be read
    must not hide the refusal it explains.
    """
    try:
        return _decode_status(data)
    except (_wire.ProtoDecodeError, UnicodeDecodeError):
        return _UNKNOWN_CODE, "", (UnknownDetail("google.rpc.Status", data),)


def _decode_status(data: bytes) -> tuple[int, str, tuple[Detail, ...]]:
    code, message, details = 0, "", list[Detail]()
    for tag, value in _wire.fields(data):
        if tag == 1 and isinstance(value, int):
            code = value
        elif tag == 2 and isinstance(value, bytes):
            message = value.decode()
        elif tag == 3 and isinstance(value, bytes):
            details.append(decode_detail(_wire.first(value, 1).decode(), _wire.first(value, 2)))
    return code, message, tuple(details)


def decode_detail(type_url: str, value: bytes) -> Detail:
    """Read one detail (C51, C52); what can not be read is an ``UnknownDetail``."""
    read = _READERS.get(type_url.removeprefix(_PREFIX))
    if read is not None and type_url.startswith(_PREFIX):
        try:
            fields = json.loads(value)
            if isinstance(fields, dict):
                return read(fields)
        except (Malformed, ValueError, RecursionError):
            pass
    return UnknownDetail(type_url, value)


def _source(fields: Mapping[str, Any]) -> SourceError:
    info = struct(fields, "info")
    return SourceError(
        SourceInfo(
            filename=string(info, "filename"),
            data=_bytes(string(info, "data")),
            language=string(info, "language"),
            definition=_definition(struct(info, "definition")),
        ),
        tuple(Range(_position(r, "start"), _position(r, "end")) for r in items(fields, "ranges")),
    )


def _position(fields: Mapping[str, Any], key: str) -> Position:
    position = struct(fields, key)
    return Position(number(position, "line"), number(position, "character"))


def _definition(fields: Mapping[str, Any]) -> bytes:
    """The operations of a definition given as JSON, encoded as a ``pb.Definition``."""
    return b"".join(_wire.field_bytes(1, _bytes(op)) for op in strings(fields, "def"))


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _solve(fields: Mapping[str, Any]) -> Solve:
    """Protobuf's own JSON, unlike all others: camel case, 64-bit integers as strings (C51)."""
    file, cache = fields.get("file"), fields.get("cache")
    return Solve(
        input_ids=strings(fields, "inputIDs"),
        mount_ids=strings(fields, "mountIDs"),
        op=struct(fields, "op"),
        file_index=None if file is None else number(struct(fields, "file"), "index"),
        cache_index=None if cache is None else number(struct(fields, "cache"), "index"),
        description=mapping(fields, "description"),
    )


def _decision(fields: Mapping[str, Any]) -> DecisionResponse:
    action = fields.get("action", "ALLOW")
    if isinstance(action, int) and 0 <= action < len(_ACTIONS):
        action = _ACTIONS[action]
    if not isinstance(action, str):
        raise Malformed("action")
    messages = (string(m, "message") for m in items(fields, "denyMessages"))
    return DecisionResponse(action, tuple(m for m in messages if m))


_ACTIONS = ("ALLOW", "DENY", "CONVERT")


def _stack(fields: Mapping[str, Any]) -> Stack:
    return Stack(
        frames=tuple(
            Frame(string(f, "Name"), string(f, "File"), number(f, "Line")) for f in items(fields, "frames")
        ),
        cmdline=strings(fields, "cmdline"),
        pid=number(fields, "pid"),
        version=string(fields, "version"),
        revision=string(fields, "revision"),
    )


def _materials(fields: Mapping[str, Any]) -> ProvenanceMaterialsIncomplete:
    return ProvenanceMaterialsIncomplete(
        tuple(
            ProvenanceMaterial(
                *(string(m, key) for key in ("op", "name", "method", "uri", "final_uri", "reason"))
            )
            for m in items(fields, "incomplete")
        )
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Detail]] = {
    "errdefs.Vertex+json": lambda f: FailedVertex(string(f, "digest")),
    "errdefs.Source+json": _source,
    "errdefs.Frontend+json": lambda f: Frontend(string(f, "name"), string(f, "source")),
    "errdefs.FrontendCap+json": lambda f: FrontendCap(string(f, "name")),
    "errdefs.Subrequest+json": lambda f: Subrequest(string(f, "name")),
    "errdefs.Solve+json": _solve,
    "errdefs.CompatibilityFeature+json": lambda f: CompatibilityFeature(
        number(f, "version"), string(f, "feature")
    ),
    "errdefs.ProvenanceMaterialsIncomplete+json": _materials,
    "gatewayapi.ExitMessage+json": lambda f: ExitMessage(
        number(f, "Code"), string(struct(f, "Error"), "message")
    ),
    "policysession.DecisionResponse+json": _decision,
    "stack.Stack+json": _stack,
}
