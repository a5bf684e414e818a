"""Plain progress: one line after the other, as buildctl writes it to a pipe (P14 to P18)."""

from __future__ import annotations

import os
import time
from typing import TextIO

from pybuildkit.events import SolveStatus, VertexStatus
from pybuildkit.ui.trace import Trace, TracedVertex
from pybuildkit.ui.units import size

__all__ = ["PlainDisplay"]

ANTI_FLICKER = 5.0
"""Seconds for which a vertex is stayed with, when it alone is busy (P15)."""

MAX_DELAY = 10.0
"""Seconds after which a vertex that waits is shown, however busy the current one is (P15)."""

STATUS_DELTA = 0.05
STATUS_SECONDS = 5.0
REFRESH = 0.1
"""Seconds between two rounds of printing (P2)."""

NAME_LIMIT = 72


class PlainDisplay:
    """Prints progress as text; one vertex at a time, with fair turns between those that run."""

    shows_logs = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._trace = Trace()
        self._current: TracedVertex | None = None
        self._last: dict[str, tuple[int, int]] = {}
        self._next_index = 1
        self._printed_any = False
        self._last_round = float("-inf")
        self._truncate = os.environ.get("PROGRESS_NO_TRUNC") == "0"

    def update(self, status: SolveStatus) -> None:
        """Take one batch in, and print if the last round is long enough ago."""
        self._trace.update(status)
        now = time.monotonic()
        if now - self._last_round >= REFRESH:
            self._last_round = now
            self.refresh()

    def refresh(self) -> None:
        """Print what there is to say now."""
        self._round()
        self._stream.flush()

    def done(self) -> None:
        """Print what is left, and the errors with their logs."""
        while self._trace.updates:
            before = len(self._trace.updates)
            self._round()
            if len(self._trace.updates) >= before:
                break
        for block in self._trace.error_blocks():
            self._stream.write(block + "\n")
        self._stream.flush()

    def _round(self) -> None:
        completed: list[TracedVertex] = []
        running: list[TracedVertex] = []
        for digest in self._trace.updates:
            row = self._trace.by_digest[digest]
            if not row.hidden:
                (completed if row.completed else running).append(row)
        current = self._current
        if current in completed:
            self._print(current)
        for row in sorted(completed, key=lambda r: r.completed_at):
            if row is not current:
                self._print(row)
        if running:
            self._print_running(current, current in completed, running)
        elif current is None or not current.started or current.completed:
            for row in self._trace.rows:
                if row.started and not row.completed and not row.hidden:
                    self._print(row)
                    return

    def _print_running(
        self, current: TracedVertex | None, current_is_done: bool, running: list[TracedVertex]
    ) -> None:
        """Choose which running vertex is shown (P15)."""
        if current in running:
            self._print(current)
        if current is not None and current not in running:
            running = [*running, current]
        now = time.monotonic()
        waits = {row.digest: max(now - row.block_time, 1e-9) for row in running}
        speeds = {row.digest: row.count / waits[row.digest] for row in running}
        late = [row for row in running if waits[row.digest] > MAX_DELAY and row is not current]
        busiest = late[-1] if late else max(running, key=lambda row: speeds[row.digest])
        if current is None or current_is_done:
            self._print(busiest)
        elif late:
            self._print(late[0])
        else:
            total = sum(speeds.values())
            share = speeds[current.digest] / total if total else 1.0
            if share < 1.0 and ANTI_FLICKER / (1.0 - share) < waits[current.digest]:
                self._print(busiest)

    def _print(self, row: TracedVertex | None) -> None:
        if row is None:
            return
        if not row.index:
            row.index = self._next_index
            self._next_index += 1
        if row is not self._current:
            self._switch(row)
        open_status = self._print_statuses(row)
        for warning in row.warnings[row.warnings_shown :]:
            self._line(row, f"WARN: {warning.short}")
        row.warnings_shown = len(row.warnings)
        self._print_log(row)
        self._current = row
        if row.completed and not open_status:
            self._print_end(row)
        self._trace.updates.pop(row.digest, None)

    def _line(self, row: TracedVertex, text: str) -> None:
        self._stream.write(f"#{row.index} {text}\n")

    def _switch(self, row: TracedVertex) -> None:
        if self._current is not None:
            old = self._current
            if old.partial and old.shown_of_partial:
                self._stream.write("\n")
            old.shown_of_partial = 0
            old.count = 0
            self._line(old, "...")
        if self._printed_any:
            self._stream.write("\n")
        self._printed_any = True
        name = row.name
        if self._truncate and len(name) > NAME_LIMIT:
            name = name[:NAME_LIMIT] + "..."
        self._line(row, name)

    def _print_statuses(self, row: TracedVertex) -> bool:
        """Transfers and the like; whether one of those that were just told of is still open."""
        still_open = False
        for ident in row.started_statuses:
            status = row.statuses[ident]
            if ident in row.status_updates and self._worth_a_line(status):
                self._last[ident] = (status.current, status.timestamp)
                still_open |= status.completed is None
                self._line(row, _status_text(status))
        row.status_updates.clear()
        return still_open

    def _worth_a_line(self, status: VertexStatus) -> bool:
        """P15: five per cent or five seconds since the last line of it."""
        last = self._last.get(status.id)
        if last is None or status.completed is not None:
            return True
        delta = (status.current - last[0]) / status.total if status.total > 0 else 0.0
        return delta >= STATUS_DELTA or (status.timestamp - last[1]) / 1e9 >= STATUS_SECONDS

    def _print_log(self, row: TracedVertex) -> None:
        if not row.lines:
            return
        out: list[str] = []
        for number, line in enumerate(row.lines):
            last = number == len(row.lines) - 1
            if number == 0 and row.shown_of_partial:
                out.append(line[row.shown_of_partial :].decode(errors="replace"))
            else:
                out.append(f"#{row.index} {line.decode(errors='replace')}")
            if not (last and row.partial):
                out.append("\n")
                row.error_log.append(line)
        self._stream.write("".join(out))
        if row.partial:
            row.lines = row.lines[-1:]
            row.shown_of_partial = len(row.lines[0])
        else:
            row.lines = []
            row.shown_of_partial = 0

    def _print_end(self, row: TracedVertex) -> None:
        self._current = None
        row.count = 0
        if row.partial:
            self._stream.write("\n")
            row.error_log.extend(row.lines)
            row.lines, row.partial, row.shown_of_partial = [], False, 0
        if row.vertex.error:
            self._line(row, "CANCELED" if row.cancelled else f"ERROR: {row.vertex.error}")
        elif row.vertex.cached:
            self._line(row, "CACHED")
        else:
            self._line(row, f"DONE {row.seconds(time.time_ns()):.1f}s")


def _status_text(status: VertexStatus) -> str:
    text = status.id
    if status.total:
        text += f" {size(status.current)} / {size(status.total)}"
    elif status.current:
        text += f" {size(status.current)}"
    if status.started is not None:
        end = status.timestamp if status.completed is None else status.completed
        seconds = (end - status.started) / 1e9
        if seconds > 0.01:
            text += f" {seconds:.1f}s"
    return text if status.completed is None else f"{text} done"
