"""Folding progress into events."""

from __future__ import annotations

from pybuildkit.events import (
    Log,
    SolveStatus,
    Transfer,
    Vertex,
    VertexCompleted,
    VertexLog,
    VertexStarted,
    VertexStatus,
    VertexWarned,
    VertexWarning,
)
from pybuildkit.progress import LOG_TAIL, Progress

SECOND = 1_000_000_000


def events(progress: Progress, **batch: tuple[object, ...]) -> list[object]:
    return list(progress.feed(SolveStatus(**batch)))  # type: ignore[arg-type]


def test_a_vertex_starts_and_completes() -> None:
    progress = Progress()
    waiting, running = Vertex("d", "n"), Vertex("d", "n", started=SECOND)
    ended = Vertex("d", "n", started=SECOND, completed=3 * SECOND)
    assert events(progress, vertexes=(waiting,)) == []
    assert events(progress, vertexes=(running,)) == [VertexStarted(running, "n")]
    assert events(progress, vertexes=(running,)) == []
    assert events(progress, vertexes=(ended,)) == [VertexCompleted(ended, "n", cached=False, duration=2.0)]
    assert events(progress, vertexes=(ended,)) == []
    assert progress.vertex("d") == ended
    assert progress.vertices == (ended,)


def test_several_intervals_add_up() -> None:
    """C30: a vertex can start and complete several times."""
    progress = Progress()
    events(progress, vertexes=(Vertex("d", "n", started=0, completed=2 * SECOND),))
    (event,) = events(progress, vertexes=(Vertex("d", "n", started=SECOND, completed=4 * SECOND),))
    assert isinstance(event, VertexCompleted)
    assert event.duration == 4.0


def test_logs_transfers_and_warnings() -> None:
    progress = Progress()
    events(progress, vertexes=(Vertex("d", "n", started=1),))
    assert events(progress, logs=(VertexLog("d", 2, b"x\n"),)) == [Log("d", "n", 2, b"x\n")]
    status = VertexStatus("ctx", "d", total=10, current=4)
    assert events(progress, statuses=(status,)) == [Transfer("d", "ctx", 4, 10)]
    warning = VertexWarning("d", "w")
    assert events(progress, warnings=(warning,)) == [VertexWarned(warning)]
    assert events(progress, warnings=(warning,)) == []  # C32: pieces of a split batch repeat it
    assert progress.warnings == (warning,)


def test_the_log_tail_is_bounded() -> None:
    progress = Progress()
    events(progress, vertexes=(Vertex("d", "n", started=1),))
    for number in range(1000):
        events(progress, logs=(VertexLog("d", 1, b"%d " % number + b"x" * 1000 + b"\n"),))
    assert progress._known["d"].log_size <= LOG_TAIL + 1100
    tail = progress.log_tail("d", lines=2).splitlines()
    assert [line.split()[0] for line in tail] == ["998", "999"]
    assert progress.log_tail("unknown") == ""
