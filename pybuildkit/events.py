"""Progress: what the daemon says of a running build, as plain typed values.

``SolveStatus`` is one batch as the daemon sent it (C30 to C33). Timestamps are integers, nanoseconds since the
Unix epoch, because that is what the wire carries and ``datetime`` would round them.
"""

from __future__ import annotations

from typing import TypeAlias

from pybuildkit._values import dataclass

__all__ = [
    "Event",
    "Log",
    "Position",
    "ProgressGroup",
    "Range",
    "SolveStatus",
    "SourceInfo",
    "Transfer",
    "Vertex",
    "VertexCompleted",
    "VertexLog",
    "VertexStarted",
    "VertexStatus",
    "VertexWarned",
    "VertexWarning",
]


@dataclass(frozen=True, slots=True)
class ProgressGroup:
    """Vertices shown as one: an id, a name, and whether weak members alone show nothing."""

    id: str
    name: str = ""
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Vertex:
    """A step of the build; the same digest comes again at every change (C30)."""

    digest: str
    name: str = ""
    inputs: tuple[str, ...] = ()
    started: int | None = None
    completed: int | None = None
    cached: bool = False
    error: str = ""
    progress_group: ProgressGroup | None = None


@dataclass(frozen=True, slots=True)
class VertexStatus:
    """Progress inside a vertex: a transfer, a layer (C31). ``current`` and ``total`` are mostly bytes."""

    id: str
    vertex: str
    name: str = ""
    total: int = 0
    current: int = 0
    timestamp: int = 0
    started: int | None = None
    completed: int | None = None


@dataclass(frozen=True, slots=True)
class VertexLog:
    """Output of a vertex; stream 1 is stdout, 2 stderr (C32). May end in the middle of a line, or of a character."""

    vertex: str
    stream: int
    data: bytes
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a source file; lines count from 1, characters from 0."""

    line: int
    character: int = 0


@dataclass(frozen=True, slots=True)
class Range:
    """From one position to another, both inside."""

    start: Position
    end: Position


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source file as the frontend read it. ``definition`` is the encoded graph that yields it, mostly empty."""

    filename: str
    data: bytes = b""
    language: str = ""
    definition: bytes = b""


@dataclass(frozen=True, slots=True)
class VertexWarning:
    """A warning on a vertex, mostly a Dockerfile lint (C33)."""

    vertex: str
    short: str
    level: int = 0
    detail: tuple[str, ...] = ()
    url: str = ""
    source: SourceInfo | None = None
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class SolveStatus:
    """One batch of progress, as the daemon sent it."""

    vertexes: tuple[Vertex, ...] = ()
    statuses: tuple[VertexStatus, ...] = ()
    logs: tuple[VertexLog, ...] = ()
    warnings: tuple[VertexWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class VertexStarted:
    """A step began to run; seen again when the daemon runs it in several intervals."""

    vertex: Vertex
    name: str


@dataclass(frozen=True, slots=True)
class VertexCompleted:
    """A step ended: well, from cache, or with an error. ``duration`` is in seconds, over all its intervals."""

    vertex: Vertex
    name: str
    cached: bool
    duration: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """Output of a step; ``name`` is the step's."""

    vertex: str
    name: str
    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Transfer:
    """Progress inside a step: a context, a layer, an export."""

    vertex: str
    id: str
    current: int
    total: int
    completed: bool = False


@dataclass(frozen=True, slots=True)
class VertexWarned:
    """A frontend's warning."""

    warning: VertexWarning


Event: TypeAlias = VertexStarted | VertexCompleted | Log | Transfer | VertexWarned
