"""The terminal display, drawn into a small emulator of a terminal (P8 to P13)."""

from __future__ import annotations

import io
import os

import pytest

from pybuildkit.events import SolveStatus, Vertex, VertexLog, VertexStatus, VertexWarning
from pybuildkit.ui import tty
from pybuildkit.ui.colors import palette
from pybuildkit.ui.terminal import Screen
from pybuildkit.ui.tty import TTYDisplay

SECOND = 1_000_000_000


class Terminal(io.StringIO):
    """A terminal of a size, that can be looked at."""

    def __init__(self, width: int = 80, height: int = 24) -> None:
        super().__init__()
        self.size = os.terminal_size((width, height))

    def fileno(self) -> int:
        return -1

    def rows(self) -> list[str]:
        screen = Screen(self.size.columns, 200)
        screen.feed(self.getvalue().encode())
        return screen.lines()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal()
    monkeypatch.setattr(os, "get_terminal_size", lambda _: made.size)
    monkeypatch.setenv("NO_COLOR", "1")
    return made


def running(digest: str, name: str) -> Vertex:
    return Vertex(digest, name, started=SECOND)


def ended(digest: str, name: str, seconds: float = 2.0, **rest: object) -> Vertex:
    return Vertex(digest, name, started=SECOND, completed=int((1 + seconds) * SECOND), **rest)  # type: ignore[arg-type]


def test_rows_in_place(terminal: Terminal) -> None:
    display = TTYDisplay(terminal)
    display.update(SolveStatus(vertexes=(running("a", "[1/2] FROM busybox"),)))
    display.update(SolveStatus(vertexes=(ended("a", "[1/2] FROM busybox"), running("b", "[2/2] RUN x"))))
    display.update(SolveStatus(vertexes=(ended("b", "[2/2] RUN x", 1.5, cached=True),)))
    display.done()
    rows = terminal.rows()
    assert len(rows) == 3
    assert rows[0].startswith("[+] Building ")
    assert rows[0].endswith("(2/2) FINISHED")
    assert rows[1].startswith(" => [1/2] FROM busybox ")
    assert rows[1].endswith(" 2.0s")
    assert rows[2].startswith(" => CACHED [2/2] RUN x ")
    assert all(len(row) < 80 for row in rows)


def test_errors_cancels_warnings_and_transfers(terminal: Terminal) -> None:
    display = TTYDisplay(terminal)
    display.update(
        SolveStatus(
            vertexes=(
                ended("a", "A", error="exit code: 1"),
                ended("b", "B", error="context canceled"),
                running("c", "C"),
            ),
            statuses=(VertexStatus("context:", "c", "", 1000, 500, 2 * SECOND, SECOND),),
            logs=(VertexLog("a", 1, b"why\n", SECOND),),
            warnings=(VertexWarning("c", "careful"),),
        )
    )
    display.done()
    text = "\n".join(terminal.rows())
    assert " => ERROR A" in text
    assert " => CANCELED B" in text
    assert " => => context: 500B / 1.00kB" in text
    assert " => WARN: careful" in text
    assert text.endswith("------\n > A:\n0.000 why\n------")


def test_a_running_step_has_a_window_for_its_output(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tty, "REFRESH", 0.0)
    display = TTYDisplay(terminal)
    display.update(SolveStatus(vertexes=(running("a", "RUN make"),)))
    display.update(
        SolveStatus(logs=(VertexLog("a", 1, b"".join(b"line %d\n" % n for n in range(10)), SECOND),))
    )
    display.refresh()
    rows = terminal.rows()
    assert rows[2:] == [f" => => # line {number}" for number in range(4, 10)]
    display.update(SolveStatus(vertexes=(ended("a", "RUN make"),)))
    display.done()
    assert not any("=> #" in row for row in terminal.rows())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 10), (10, 3)])
def test_two_hundred_parallel_steps_fit(terminal: Terminal, width: int, height: int) -> None:
    """P12: what runs is kept in sight, nothing scrolls, nothing is wider than the terminal."""
    terminal.size = os.terminal_size((width, height))
    display = TTYDisplay(terminal)
    display.update(SolveStatus(vertexes=tuple(ended(f"e{n}", f"ended {n}") for n in range(100))))
    display.update(SolveStatus(vertexes=tuple(running(f"r{n}", f"running {n}") for n in range(200))))
    display.refresh()
    rows = terminal.rows()
    assert len(rows) <= height - 1
    assert all(len(row) < width for row in rows)
    if width >= 40:
        assert sum("running" in row for row in rows) == len(rows) - 1


def test_a_million_lines_keep_only_a_tail(terminal: Terminal) -> None:
    display = TTYDisplay(terminal)
    display.update(SolveStatus(vertexes=(running("a", "A"),)))
    for _ in range(100):
        display.update(SolveStatus(logs=(VertexLog("a", 1, b"line\n" * 1000, SECOND),)))
    row = display._trace.by_digest["a"]
    assert len(row.lines) == 0
    assert len(row.error_log) == tty.ERROR_LINES
    assert row.left_out == 99_000


def test_colours_from_the_environment() -> None:
    """P13."""
    assert palette({"NO_COLOR": "1"}).run == ""
    assert palette({}).run == "\x1b[34m"
    chosen = palette({"BUILDKIT_COLORS": "run=light-green:error=255,0,0"})
    assert (chosen.run, chosen.error, chosen.cancel) == ("\x1b[92m", "\x1b[38;5;196m", "\x1b[33m")


@pytest.mark.parametrize("entry", ["run", "run=mauve", "walk=red", "run=1,2", "run=1,2,300", "run=a,b,c"])
def test_a_bad_colour_is_named_and_left_out(entry: str) -> None:
    with pytest.warns(UserWarning, match="BUILDKIT_COLORS"):
        assert palette({"BUILDKIT_COLORS": entry}) == palette({})


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_two_hundred_steps_at_once_fit_the_terminal(terminal: Terminal, width: int, height: int) -> None:
    """P9, P12: a header, whole rows with their timers, those that run, and never more than the terminal has."""
    terminal.size = os.terminal_size((width, height))
    display = TTYDisplay(terminal)
    done = tuple(ended(f"d{n}", f"[s{n} 1/1] RUN done {n}") for n in range(100))
    busy = tuple(running(f"r{n}", f"[s{n} 1/1] RUN {'word ' * 40}{n}") for n in range(100, 300))
    logs = tuple(VertexLog(v.digest, 1, b"output\n", SECOND) for v in busy)
    display.update(SolveStatus(vertexes=(*done, *busy), logs=logs))
    rows = terminal.rows()
    assert rows[0].startswith("[+] Building ")
    assert rows[0].endswith("(100/300)")
    assert len(rows) == height - 1
    assert all(row.startswith(" => [s") and row.endswith("s") and len(row) < width for row in rows[1:])
    assert not any("RUN done" in row for row in rows)
    display.refresh()
    assert len(terminal.rows()) == height - 1
