"""Progress on a terminal: rows that are drawn again in place, with windows for the output of steps (P8 to P13)."""

from __future__ import annotations

import os
import time
import unicodedata
from typing import TextIO

from pybuildkit._values import dataclass
from pybuildkit.events import SolveStatus
from pybuildkit.ui.colors import palette
from pybuildkit.ui.terminal import Screen
from pybuildkit.ui.trace import Interval, Trace, TracedVertex
from pybuildkit.ui.units import size

__all__ = ["TTYDisplay"]

REFRESH = 0.1
ERROR_LINES = 1000
WINDOW_LINES = 6
WINDOW_MARGIN = 10
SHOWN_WEIGHT = 50
"""How many bytes of output one showing of a window counts for, in the choice of the next ones (P11)."""

PREFIX = " => "
NARROWEST = 12
"""Columns that a name must at least have; a narrower terminal shows no rows (P9)."""


@dataclass(slots=True)
class _Row:
    """One line to draw."""

    name: str
    intervals: list[Interval]
    completed: bool
    status: str = ""
    cancelled: bool = False
    failed: bool = False
    vertex: TracedVertex | None = None
    window: bool = False


class TTYDisplay:
    """Draws progress on a terminal, at most every tenth of a second."""

    shows_logs = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._trace = Trace(error_lines=ERROR_LINES)
        self._screens: dict[str, Screen] = {}
        self._output: dict[str, int] = {}
        self._shown: dict[str, int] = {}
        self._palette = palette()
        self._window_lines = _window_lines()
        self._rate = _rate()
        self._drawn_lines = 0
        self._drawn_at = float("-inf")
        self._clock_difference: int | None = None
        self._made = time.time_ns()

    def update(self, status: SolveStatus) -> None:
        """Take one batch in, and draw if the last drawing is long enough ago."""
        self._trace.update(status)
        if self._clock_difference is None and self._trace.first_start is not None:
            # The daemon's clock may be another one; durations that still run are counted on ours.
            self._clock_difference = time.time_ns() - self._trace.first_start
        width, _ = self._size()
        for log in status.logs:
            row = self._trace.by_digest.get(log.vertex)
            if row is not None:
                screen = self._screens.get(row.digest)
                if screen is None:
                    screen = Screen(width - WINDOW_MARGIN, self._window_lines)
                    self._screens[row.digest] = screen
                screen.feed(log.data)
                self._output[row.digest] = self._output.get(row.digest, 0) + len(log.data)
                row.put_away()
        self._trace.updates.clear()
        if time.monotonic() - self._drawn_at >= self._rate:
            self.refresh()

    def refresh(self) -> None:
        """Draw."""
        self._draw(final=False)

    def done(self) -> None:
        """Draw all rows a last time, and the errors with their logs."""
        self._draw(final=True)
        for row in self._trace.rows:
            row.partial = False
            row.put_away()
        for block in self._trace.error_blocks():
            self._stream.write(block + "\n")
        self._stream.flush()

    def _size(self) -> tuple[int, int]:
        try:
            found = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return 80, 10
        return found.columns or 80, found.lines or 10

    def _draw(self, *, final: bool) -> None:
        self._drawn_at = time.monotonic()
        now = time.time_ns() - (self._clock_difference or 0)
        width, height = self._size()
        rows = self._rows()
        window_lines = max(WINDOW_LINES, min(self._window_lines, height - WINDOW_LINES - 1))
        hidden = self._open_windows(rows, height, window_lines)
        if not final:
            rows = _fit(rows, height - 2 - hidden)
        lines = [self._header(width, final)]
        for row in rows:
            lines.extend(self._row_lines(row, width, window_lines, now))
        blank = max(0, self._drawn_lines - len(lines))
        out = ["\x1b[?25l"]
        if self._drawn_lines:
            out.append(f"\x1b[{self._drawn_lines}A")
        out.append("\r")
        out.extend(f"{line}\x1b[K\n" for line in lines)
        if blank:
            out.append("\x1b[K\n" * blank + f"\x1b[{blank}A")
        out.append("\x1b[?25h")
        self._drawn_lines = len(lines)
        self._stream.write("".join(out))
        self._stream.flush()

    def _header(self, width: int, final: bool) -> str:
        rows = [row for row in dict.fromkeys(self._trace.by_digest.values()) if not row.hidden]
        done = sum(row.completed for row in rows)
        seconds = (time.time_ns() - self._made) / 1e9
        finished = " FINISHED" if final and done and done == len(rows) else ""
        return f"[+] Building {seconds:.1f}s ({done}/{len(rows)}){finished}"[: width - 1]

    def _rows(self) -> list[_Row]:
        rows: list[_Row] = []
        for traced in self._trace.rows:
            if traced.hidden:
                continue
            name = " ".join(traced.name.split())
            if traced.vertex.error:
                name = f"{'CANCELED' if traced.cancelled else 'ERROR'} {name}"
            if traced.vertex.cached:
                name = f"CACHED {name}"
            failed = bool(traced.vertex.error) and not traced.cancelled
            rows.append(_Row(name, traced.merged, traced.completed, "", traced.cancelled, failed, traced))
            rows.extend(_status_row(traced, ident) for ident in traced.started_statuses)
            rows.extend(
                _Row(f"WARN: {warning.short}", traced.merged[-1:], completed=True, cancelled=True)
                for warning in traced.warnings
            )
        return rows

    def _open_windows(self, rows: list[_Row], height: int, window_lines: int) -> int:
        """Choose whose output is shown, where there is space (P11); how many lines that takes."""
        running = sum(not row.completed for row in rows)
        candidates = [
            row
            for row in rows
            if row.vertex is not None and not row.completed and row.vertex.digest in self._screens
        ]
        candidates.sort(key=self._interest, reverse=True)
        free = height - 2 - running
        taken = 0
        for row in candidates:
            if free <= window_lines + 3:
                break
            assert row.vertex is not None
            row.window = True
            taken += len(self._screens[row.vertex.digest].lines())
            free -= window_lines + 3
        return taken

    def _interest(self, row: _Row) -> int:
        assert row.vertex is not None
        digest = row.vertex.digest
        return self._output.get(digest, 0) + self._shown.get(digest, 0) * SHOWN_WEIGHT

    def _row_lines(self, row: _Row, width: int, window_lines: int, now: int) -> list[str]:
        if not row.intervals:
            return []
        seconds = sum(interval.seconds(now) for interval in row.intervals)
        timer = f" {seconds if seconds >= 0.05 else 0.0:3.1f}s"
        left = width - len(PREFIX) - len(timer) - 2
        status = ""
        if row.status and left + len(row.status) > 20:
            status = f" {row.status}"
            left -= len(status)
        if left < NARROWEST:
            return []
        text = PREFIX + _cut(row.name, left) + status
        text += " " * max(0, width - 1 - _columns(text) - len(timer)) + timer
        if row.completed:
            colours = self._palette
            colour = colours.cancel if row.cancelled else colours.error if row.failed else colours.run
            text = f"{colour}{text}{colours.reset}" if colour else text
        lines = [text]
        if row.window and row.vertex is not None:
            digest = row.vertex.digest
            screen = self._screens[digest]
            screen.resize(width - WINDOW_MARGIN, window_lines)
            lines += [f"{self._palette.faint} => => # {line}{self._palette.reset}" for line in screen.lines()]
            self._shown[digest] = self._shown.get(digest, 0) + 1
        return lines


def _status_row(traced: TracedVertex, ident: str) -> _Row:
    status = traced.statuses[ident]
    amount = ""
    if status.total:
        amount = f"{size(status.current)} / {size(status.total)}"
    elif status.current:
        amount = size(status.current)
    intervals = [Interval(status.started, status.completed)] if status.started is not None else []
    return _Row(f"=> {ident}", intervals, status.completed is not None, amount)


def _fit(rows: list[_Row], limit: int) -> list[_Row]:
    """The last rows; those that run are not cut while others can be (P12)."""
    if limit <= 0:
        return []
    if len(rows) <= limit:
        return rows
    cut, kept = rows[:-limit], rows[-limit:]
    running = [row for row in cut if not row.completed]
    for row in list(kept):
        if not running:
            break
        if row.completed:
            kept.remove(row)
            kept.insert(0, running.pop())
    order = {id(row): number for number, row in enumerate(rows)}
    return sorted(kept, key=lambda row: order[id(row)])


def _columns(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) != 0 for char in text)


def _cut(text: str, columns: int) -> str:
    if _columns(text) <= columns:
        return text
    while _columns(text) > columns:
        text = text[:-1]
    return text


def _window_lines() -> int:
    """``$BUILDKIT_TTY_LOG_LINES``: lines of a window, with or without colours."""
    value = os.environ.get("BUILDKIT_TTY_LOG_LINES", "")
    return max(WINDOW_LINES, int(value)) if value.isdigit() else WINDOW_LINES


def _rate() -> float:
    """``$TTY_DISPLAY_RATE``: milliseconds between two drawings (P2)."""
    value = os.environ.get("TTY_DISPLAY_RATE", "")
    return int(value) / 1000 if value.isdigit() else REFRESH
