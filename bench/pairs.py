"""Whole processes in turn: A B C, C B A, …, so that a machine whose speed drifts is the same for all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeAlias

__all__ = ["Figures", "Row", "Side", "cpu_seconds", "print_table", "run", "take_turns"]

TICKS = os.sysconf("SC_CLK_TCK")

_LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Figures:
    """One run: seconds by the clock, CPU seconds of it and its children, peak memory in MB, the daemon's CPU seconds."""

    wall: float
    cpu: float
    peak: float
    daemon: float = 0.0


Side: TypeAlias = Callable[[], Figures]
"""Runs one side once."""


@dataclass(slots=True)
class Row:
    """All runs of one row of a table, by side; the last side is the measure of the others."""

    name: str
    runs: dict[str, list[Figures]] = field(default_factory=dict)

    def ratio(self, side: str, what: str = "wall") -> float:
        """The median over all turns of a figure's ratio to the measure's in the same turn."""
        *_, measure = self.runs.values()
        pairs = zip(self.runs[side], measure, strict=True)
        return float(median(getattr(a, what) / max(getattr(b, what), 1e-9) for a, b in pairs))

    def middle(self, side: str, what: str) -> float:
        """The median of a figure."""
        return float(median(getattr(figures, what) for figures in self.runs[side]))


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has used so far; 0 when it can not be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def run(command: Sequence[str], *, daemon: int = 0, env: Mapping[str, str] | None = None) -> Figures:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; what it wrote is shown.
    """
    before = cpu_seconds(daemon) if daemon else 0.0
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(_LAUNCH), *command],
        capture_output=True,
        text=True,
        check=False,
        env=dict(env) if env else None,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr}")
    wall, cpu, peak = map(float, done.stdout.split())
    used = cpu_seconds(daemon) - before if daemon else 0.0
    return Figures(wall=wall, cpu=cpu, peak=peak / 1024, daemon=used)


def take_turns(
    name: str, rounds: int, sides: Mapping[str, Side], *, before: Callable[[], object] | None = None
) -> Row:
    """Run all sides in turn, one uncounted round first; the order is turned round with every round.

    Args:
        name: the row's.
        rounds: how many count.
        sides: the measure last.
        before: called before each run, uncounted.
    """
    row = Row(name, {side: [] for side in sides})
    for number in range(rounds + 1):
        order = list(sides) if number % 2 else list(sides)[::-1]
        for side in order:
            if before is not None:
                before()
            figures = sides[side]()
            if number:
                row.runs[side].append(figures)
    return row


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Medians of all sides, and the others' ratios to the last one, as a table."""
    *others, measure = rows[0].runs
    print(f"\n{title}\n")
    heads = ["row", *others, measure, *(f"{side} / {measure}" for side in others)]
    cells = [
        [row.name, *(_cell(row, side) for side in row.runs), *(_ratio(row, s) for s in others)]
        for row in rows
    ]
    widths = [max(len(line[place]) for line in [heads, *cells]) for place in range(len(heads))]
    print(f"| {' | '.join(head.ljust(width) for head, width in zip(heads, widths, strict=True))} |")
    print(f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    for line in cells:
        print(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |",
            flush=True,
        )
    print(
        "\nA cell: seconds by the clock; CPU seconds of the client + of the daemon; peak MB of the client. A ratio: of "
        "the clock's seconds; of the peaks. Medians; ratios are taken turn by turn."
    )


def _cell(row: Row, side: str) -> str:
    wall, cpu, daemon, peak = (row.middle(side, what) for what in ("wall", "cpu", "daemon", "peak"))
    return f"{wall:.3f} s; {cpu:.2f} + {daemon:.2f}; {peak:.0f}"


def _ratio(row: Row, side: str) -> str:
    return f"{row.ratio(side):.2f}; {row.ratio(side, 'peak'):.2f}"
