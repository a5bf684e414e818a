"""Folding the daemon's progress: what is known of each vertex, the tail of its log, and events for callers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from pybuildkit.events import (
    Event,
    Log,
    SolveStatus,
    Transfer,
    Vertex,
    VertexCompleted,
    VertexStarted,
    VertexWarned,
    VertexWarning,
)

__all__ = ["LOG_TAIL", "Progress", "own_step"]

LOG_TAIL = 64 << 10
"""How many bytes of a vertex' output are kept for its error."""


def own_step(ref: str, line: str) -> SolveStatus:
    """What this side does for the daemon, as a step that has just been made: buildctl shows it so too (S79).

    Args:
        ref: the build's id.
        line: the step's name.
    """
    from hashlib import sha256

    now = time.time_ns()
    digest = f"sha256:{sha256(f'{ref} {line}'.encode()).hexdigest()}"
    return SolveStatus((Vertex(digest, line, started=now, completed=now),))


class _Known:
    """What is known of one vertex."""

    __slots__ = ("intervals", "log", "log_size", "vertex")

    def __init__(self, vertex: Vertex) -> None:
        self.vertex = vertex
        # C30: a vertex may start and end several times; start -> end in nanoseconds, None while it runs.
        self.intervals: dict[int, int | None] = {}
        self.log: deque[bytes] = deque()
        self.log_size = 0

    def duration(self) -> float:
        """Seconds over all intervals, those that overlap counted once (P20)."""
        total, reach = 0, 0
        for start, end in sorted((s, e) for s, e in self.intervals.items() if e is not None):
            total += max(0, end - max(start, reach))
            reach = max(reach, end)
        return total / 1e9


class Progress:
    """The state of one build, fed with the daemon's batches; memory is bounded by the number of vertices."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._warnings: list[VertexWarning] = []
        self._seen_warnings: set[tuple[str, str, str]] = set()

    @property
    def vertices(self) -> tuple[Vertex, ...]:
        """The latest of each vertex, in the order they were first heard of."""
        return tuple(known.vertex for known in self._known.values())

    @property
    def warnings(self) -> tuple[VertexWarning, ...]:
        """Each warning once, in order."""
        return tuple(self._warnings)

    def vertex(self, digest: str) -> Vertex | None:
        """The latest of one vertex, None when it was never heard of."""
        known = self._known.get(digest)
        return known.vertex if known else None

    def log_tail(self, digest: str, lines: int = 20) -> str:
        """The last lines that a vertex printed."""
        known = self._known.get(digest)
        if known is None:
            return ""
        text = b"".join(known.log).decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def feed(self, status: SolveStatus) -> Iterator[Event]:
        """Take one batch in; the events it means, in order. The batch is taken whether or not they are read."""
        events: list[Event] = []
        for vertex in status.vertexes:
            events.extend(self._vertex(vertex))
        events.extend(
            Transfer(s.vertex, s.id, s.current, s.total, s.completed is not None) for s in status.statuses
        )
        for log in status.logs:
            known = self._known.get(log.vertex)
            if known is not None:
                _remember(known, log.data)
            events.append(Log(log.vertex, known.vertex.name if known else "", log.stream, log.data))
        for warning in status.warnings:
            # C32: when the daemon splits a batch, every piece repeats the warnings.
            key = (warning.vertex, warning.short, repr(warning.ranges))
            if key not in self._seen_warnings:
                self._seen_warnings.add(key)
                self._warnings.append(warning)
                events.append(VertexWarned(warning))
        return iter(events)

    def _vertex(self, vertex: Vertex) -> Iterator[Event]:
        known = self._known.get(vertex.digest)
        if known is None:
            known = self._known[vertex.digest] = _Known(vertex)
            before = None
        else:
            before = known.vertex
            known.vertex = vertex
        if vertex.started is None:
            return
        if vertex.started not in known.intervals and vertex.completed is None:
            known.intervals[vertex.started] = None
            yield VertexStarted(vertex, vertex.name)
        if vertex.completed is not None and (before is None or before.completed != vertex.completed):
            known.intervals[vertex.started] = vertex.completed
            yield VertexCompleted(vertex, vertex.name, vertex.cached, known.duration(), vertex.error)


def _remember(known: _Known, data: bytes) -> None:
    known.log.append(data)
    known.log_size += len(data)
    while known.log_size > LOG_TAIL and len(known.log) > 1:
        known.log_size -= len(known.log.popleft())
