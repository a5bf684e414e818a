"""Plain progress: the texts that buildctl prints (P14 to P20)."""

from __future__ import annotations

import io

from pybuildkit.events import (
    ProgressGroup,
    SolveStatus,
    Vertex,
    VertexLog,
    VertexStatus,
    VertexWarning,
)
from pybuildkit.ui.plain import PlainDisplay

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def shown(*batches: SolveStatus) -> str:
    stream = io.StringIO()
    display = PlainDisplay(stream)
    for batch in batches:
        display.update(batch)
        display.refresh()
    display.done()
    return stream.getvalue()


def vertex(digest: str, name: str, start: int | None = 0, end: int | None = None, **rest: object) -> Vertex:
    def at(offset: int | None) -> int | None:
        return None if offset is None else START + offset * SECOND // 10

    return Vertex(digest, name, started=at(start), completed=at(end), **rest)  # type: ignore[arg-type]


def log(digest: str, data: bytes, at: float = 0.0) -> VertexLog:
    return VertexLog(digest, 1, data, START + int(at * SECOND))


def test_a_step_with_output() -> None:
    text = shown(
        SolveStatus(vertexes=(vertex("a", "[1/1] RUN echo"),)),
        SolveStatus(logs=(log("a", b"one\ntwo\n", 0.25), log("a", b"three\n", 12.0))),
        SolveStatus(vertexes=(vertex("a", "[1/1] RUN echo", 0, 123),)),
    )
    assert text == "#1 [1/1] RUN echo\n#1 0.250 one\n#1 0.250 two\n#1 12.00 three\n#1 DONE 12.3s\n"


def test_cached_cancelled_and_failed_steps() -> None:
    text = shown(
        SolveStatus(vertexes=(vertex("a", "A", 0, 1, cached=True),)),
        SolveStatus(vertexes=(vertex("b", "B", 0, 2, error="solve: context canceled"),)),
        SolveStatus(vertexes=(vertex("c", "C", 0, 3),), logs=(log("c", b"boom\n"),)),
        SolveStatus(vertexes=(vertex("c", "C", 0, 4, error="exit code: 1"),)),
    )
    assert "#1 A\n#1 CACHED\n" in text
    assert "#2 B\n#2 CANCELED\n" in text
    assert "#3 ERROR: exit code: 1\n" in text
    assert text.endswith("------\n > C:\n0.000 boom\n------\n")
    assert " > B:" not in text


def test_a_line_that_comes_in_pieces_is_continued_in_place() -> None:
    """P17."""
    text = shown(
        SolveStatus(vertexes=(vertex("a", "A"),), logs=(log("a", b"down"),)),
        SolveStatus(logs=(log("a", b"load"),)),
        SolveStatus(logs=(log("a", b"ed\nnext\n"),)),
        SolveStatus(vertexes=(vertex("a", "A", 0, 10),)),
    )
    assert text == "#1 A\n#1 0.000 downloaded\n#1 0.000 next\n#1 DONE 1.0s\n"


def test_switching_between_steps_is_marked() -> None:
    text = shown(
        SolveStatus(vertexes=(vertex("a", "A"),), logs=(log("a", b"x\n"),)),
        SolveStatus(vertexes=(vertex("b", "B", 0, 1),)),
        SolveStatus(vertexes=(vertex("a", "A", 0, 5),)),
    )
    assert text == "#1 A\n#1 0.000 x\n#1 ...\n\n#2 B\n#2 DONE 0.1s\n\n#1 A\n#1 DONE 0.5s\n"


def test_transfers_print_their_first_line_their_steps_and_their_end() -> None:
    """P15: five per cent, or five seconds."""

    def transfer(current: int, at: int, done: bool = False) -> SolveStatus:
        stamp = START + at * SECOND // 10
        return SolveStatus(
            statuses=(
                VertexStatus("context:", "a", "", 1000, current, stamp, START, stamp if done else None),
            )
        )

    text = shown(
        SolveStatus(vertexes=(vertex("a", "load"),)),
        transfer(10, 1),
        transfer(20, 2),
        transfer(500, 3),
        transfer(1000, 4, done=True),
        SolveStatus(vertexes=(vertex("a", "load", 0, 4),)),
    )
    assert text.splitlines() == [
        "#1 load",
        "#1 context: 10B / 1.00kB 0.1s",
        "#1 context: 500B / 1.00kB 0.3s",
        "#1 context: 1.00kB / 1.00kB 0.4s done",
        "#1 DONE 0.4s",
    ]


def test_warnings_are_printed_once_though_the_daemon_repeats_them() -> None:
    """C32."""
    warning = VertexWarning("a", "bad casing")
    text = shown(
        SolveStatus(vertexes=(vertex("a", "A"),), warnings=(warning,)),
        SolveStatus(warnings=(warning,)),
        SolveStatus(vertexes=(vertex("a", "A", 0, 1),)),
    )
    assert text.count("#1 WARN: bad casing\n") == 1


def test_a_group_is_one_step() -> None:
    """P19: weak members alone show nothing; it is cached when all members are; the first error is its error."""
    group = ProgressGroup("g", "pull")
    weak = ProgressGroup("g2", "hidden", weak=True)
    text = shown(
        SolveStatus(vertexes=(vertex("a", "A", 0, 1, progress_group=group),)),
        SolveStatus(vertexes=(vertex("b", "B", 2, 3, progress_group=group),)),
        SolveStatus(vertexes=(vertex("w", "W", 2, 3, progress_group=weak),)),
    )
    assert "pull" in text
    assert "hidden" not in text
    assert "A" not in text.replace("DONE", "")
    assert text.rstrip().endswith("#1 DONE 0.2s")


def test_intervals_that_overlap_count_once() -> None:
    """P20."""
    text = shown(
        SolveStatus(vertexes=(vertex("a", "A", 0, 10),)),
        SolveStatus(vertexes=(vertex("a", "A", 5, 20),)),
    )
    assert text.rstrip().endswith("#1 DONE 2.0s")


def test_many_lines_do_not_pile_up() -> None:
    """P24 off: a step that prints a million lines is shown as it goes, and only a tail is kept."""
    stream = io.StringIO()
    display = PlainDisplay(stream)
    display.update(SolveStatus(vertexes=(vertex("a", "A"),)))
    for _ in range(200):
        display.update(SolveStatus(logs=(log("a", b"line\n" * 1000),)))
        display.refresh()
    row = display._trace.by_digest["a"]
    assert len(row.lines) == 0
    assert len(row.error_log) == 10
    assert stream.getvalue().count("line") == 200_000
