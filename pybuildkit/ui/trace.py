"""What a display knows of a running build: vertices with their intervals, groups, transfers and logs.

The plain and the terminal display draw from the same trace (P14 to P20).
"""

from __future__ import annotations

import time
from collections import deque

from pybuildkit._values import dataclass, replace
from pybuildkit.events import SolveStatus, Vertex, VertexLog, VertexStatus, VertexWarning

__all__ = ["CANCELLED_SUFFIX", "Interval", "Trace", "TracedVertex", "merge_intervals"]

CANCELLED_SUFFIX = "context canceled"
"""How the daemon's error text of a cancelled vertex ends (P10)."""

ERROR_LOG_LINES = 10
"""How many log lines are printed again under the error of a vertex (P18)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of running, in nanoseconds since the epoch; ``stop`` is None while it lasts."""

    start: int
    stop: int | None = None

    def seconds(self, now: int) -> float:
        """How long it lasted, or lasts until now."""
        return ((now if self.stop is None else self.stop) - self.start) / 1e9


def merge_intervals(intervals: list[Interval]) -> list[Interval]:
    """Join intervals that overlap; one that lasts swallows all behind it (P20)."""
    merged: list[Interval] = []
    for interval in sorted(intervals, key=lambda i: i.start):
        last = merged[-1] if merged else None
        if last is None or (last.stop is not None and last.stop < interval.start):
            merged.append(interval)
        elif last.stop is None:
            break
        elif interval.stop is None or interval.stop > last.stop:
            merged[-1] = Interval(last.start, interval.stop)
    return merged


class TracedVertex:
    """One row of a display: a vertex, or a progress group that stands for several."""

    def __init__(self, vertex: Vertex, *, hidden: bool = False, error_lines: int = ERROR_LOG_LINES) -> None:
        self.vertex = vertex
        self.hidden = hidden
        self.index = 0
        self.intervals: dict[int, Interval] = {}
        self.merged: list[Interval] = []
        self.members: dict[str, Vertex] = {}
        self.statuses: dict[str, VertexStatus] = {}
        self.started_statuses: list[str] = []
        self.status_updates: set[str] = set()
        self.warnings: list[VertexWarning] = []
        self.warnings_shown = 0
        self.lines: list[bytes] = []
        self.partial = False
        self.shown_of_partial = 0
        self.error_log: deque[bytes] = deque(maxlen=error_lines)
        self.left_out = 0
        self.count = 0
        self.block_time = 0.0
        self._previous: Vertex | None = None

    @property
    def digest(self) -> str:
        """The vertex' digest, or the group's id."""
        return self.vertex.digest

    @property
    def name(self) -> str:
        """The vertex' or the group's name."""
        return self.vertex.name

    @property
    def started(self) -> bool:
        """Whether it has begun to run."""
        return bool(self.merged)

    @property
    def completed(self) -> bool:
        """Whether it has run and runs no more."""
        return bool(self.merged) and self.merged[-1].stop is not None

    @property
    def completed_at(self) -> int:
        """When it last stopped, 0 when it never did."""
        return self.merged[-1].stop or 0 if self.merged else 0

    @property
    def cancelled(self) -> bool:
        """Whether its error only says that it was cancelled (P10)."""
        return self.vertex.error.endswith(CANCELLED_SUFFIX)

    def seconds(self, now: int) -> float:
        """How long it ran, over all its intervals."""
        return sum(interval.seconds(now) for interval in self.merged)

    def touch(self, amount: int = 1) -> None:
        """Count an update, for the choice of what to show next."""
        if self.count == 0:
            self.block_time = time.monotonic()
        self.count += amount

    def run(self, vertex: Vertex) -> None:
        """Take in an interval of the vertex itself, or of a member."""
        if vertex.started is not None:
            self.intervals[vertex.started] = Interval(vertex.started, vertex.completed)
            self.merged = merge_intervals(list(self.intervals.values()))

    def changed_to(self, vertex: Vertex) -> bool:
        """Whether this state of the vertex is worth a line; remembers it."""
        if vertex.started is None:
            return False
        before, self._previous = self._previous, vertex
        return before is None or (
            vertex.name != before.name
            or vertex.started != before.started
            or (vertex.completed is not None and vertex.completed != before.completed)
            or vertex.cached != before.cached
            or vertex.error != before.error
        )

    def log(self, log: VertexLog) -> None:
        """Cut output into lines; the last one may be partial and is continued by the next piece (P17)."""
        pieces = log.data.split(b"\n")
        ends_in_newline = pieces[-1] == b""
        if ends_in_newline:
            pieces.pop()
        for number, piece in enumerate(pieces):
            if number == 0 and self.partial and self.lines:
                self.lines[-1] += piece
            else:
                self.lines.append(self._stamp(log.timestamp) + piece)
        self.partial = not ends_in_newline

    def put_away(self) -> None:
        """Move whole lines to what is printed again under an error; the oldest fall out."""
        keep = 1 if self.partial else 0
        whole = self.lines[: len(self.lines) - keep]
        overflow = len(self.error_log) + len(whole) - (self.error_log.maxlen or 0)
        self.left_out += max(0, overflow)
        self.error_log.extend(whole)
        self.lines = self.lines[len(whole) :]

    def _stamp(self, timestamp: int) -> bytes:
        """The time since the vertex started, with fewer decimals the longer it is (P14)."""
        seconds = (timestamp - self.merged[-1].start) / 1e9 if self.merged else 0.0
        decimals = 3 if seconds < 10 else 2 if seconds < 100 else 1
        return b"%.*f " % (decimals, seconds)


class Trace:
    """The state of a build, as a display sees it.

    Args:
        error_lines: how many log lines of a vertex are kept for the block under its error.
    """

    def __init__(self, error_lines: int = ERROR_LOG_LINES) -> None:
        self._error_lines = error_lines
        self.by_digest: dict[str, TracedVertex] = {}
        self.rows: list[TracedVertex] = []
        self.updates: dict[str, None] = {}
        self.first_start: int | None = None
        self._groups: dict[str, TracedVertex] = {}
        self._warned: set[tuple[str, str, str]] = set()

    def update(self, status: SolveStatus) -> None:
        """Take one batch in."""
        touched: dict[str, TracedVertex] = {}
        for vertex in status.vertexes:
            if self.first_start is None:
                self.first_start = vertex.started
            if vertex.progress_group is not None:
                group = self._member(vertex)
                touched[group.digest] = group
            else:
                self._vertex(vertex)
        for group in touched.values():
            self._refresh_group(group)
        for change in status.statuses:
            self._status(change)
        for warning in status.warnings:
            self._warning(warning)
        for log in status.logs:
            row = self.by_digest.get(log.vertex)
            if row is not None:
                row.log(log)
                self._updated(row)

    def _updated(self, row: TracedVertex) -> None:
        self.updates[row.digest] = None
        row.touch()

    def _vertex(self, vertex: Vertex) -> None:
        row = self.by_digest.get(vertex.digest)
        if row is None:
            row = self.by_digest[vertex.digest] = TracedVertex(vertex, error_lines=self._error_lines)
        was_started = row.started
        if row.changed_to(vertex):
            self._updated(row)
        # A vertex may be announced again before it runs; that must not take back what is known of it.
        if not was_started or vertex.started is not None:
            row.vertex = vertex
        row.run(vertex)
        if vertex.started is not None and not was_started:
            self.rows.append(row)

    def _member(self, vertex: Vertex) -> TracedVertex:
        group = vertex.progress_group
        assert group is not None
        row = self._groups.get(group.id)
        if row is None:
            row = self._groups[group.id] = TracedVertex(
                Vertex(group.id, group.name), hidden=True, error_lines=self._error_lines
            )
            self.by_digest[group.id] = row
        row.members[vertex.digest] = vertex
        self.by_digest[vertex.digest] = row
        return row

    def _refresh_group(self, row: TracedVertex) -> None:
        """P19: cached when all members are, failed with the first that did, hidden while only weak ones ran."""
        was_hidden, before = row.hidden, (dict(row.intervals), row.vertex)
        error = ""
        for member in row.members.values():
            row.run(member)
            if (
                member.started is not None
                and member.progress_group is not None
                and not member.progress_group.weak
            ):
                row.hidden = False
            error = error or member.error
        if error:
            row.hidden = False
        cached = all(member.cached for member in row.members.values())
        row.vertex = replace(row.vertex, cached=cached, error=error)
        if row.hidden:
            return
        if was_hidden:
            self.rows.append(row)
        if was_hidden or before != (row.intervals, row.vertex):
            self._updated(row)

    def _status(self, change: VertexStatus) -> None:
        row = self.by_digest.get(change.vertex)
        if row is None:
            return
        before = row.statuses.get(change.id)
        row.statuses[change.id] = change
        if change.started is not None and (before is None or before.started is None):
            row.started_statuses.append(change.id)
        row.status_updates.add(change.id)
        self._updated(row)

    def _warning(self, warning: VertexWarning) -> None:
        row = self.by_digest.get(warning.vertex)
        key = (warning.vertex, warning.short, repr(warning.ranges))
        # C32: a batch that the daemon splits repeats its warnings in every piece.
        if row is None or key in self._warned:
            return
        self._warned.add(key)
        row.warnings.append(warning)
        self._updated(row)

    def error_blocks(self) -> list[str]:
        """A block for each vertex that failed of itself: its name and the last lines it printed (P18)."""
        blocks = []
        for row in self.rows:
            if row.vertex.error and not row.cancelled:
                lines = [line.decode(errors="replace") for line in row.error_log]
                if row.left_out and self._error_lines > ERROR_LOG_LINES:
                    lines.insert(0, f"[{row.left_out} earlier lines left out]")
                blocks.append("\n".join(["------", f" > {row.name}:", *lines, "------"]))
        return blocks
