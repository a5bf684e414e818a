"""Whole processes in turn: A B A B …, so that a machine whose speed drifts is the same for both."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

__all__ = ["Figures", "Pair", "cpu_seconds", "print_table", "run", "take_turns"]

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figures:
    """One run: seconds by the clock, CPU seconds of it and its children, peak memory in MB, the daemon's CPU seconds."""

    wall: float
    cpu: float
    peak: float
    daemon: float = 0.0


@dataclass(slots=True)
class Pair:
    """All runs of ours and of the other side in one row of a table."""

    name: str
    other: str
    ours: list[Figures] = field(default_factory=list)
    theirs: list[Figures] = field(default_factory=list)

    def ratio(self) -> float:
        """The median of the ratios of each turn: ours to theirs, by the clock."""
        return median(a.wall / b.wall for a, b in zip(self.ours, self.theirs, strict=True))


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
    start = time.perf_counter()
    with subprocess.Popen(
        list(command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(env) if env else None
    ) as process:
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}:\n{errors.decode(errors='replace')}")
    return Figures(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss / 1024,
        daemon=cpu_seconds(daemon) - before if daemon else 0.0,
    )


def take_turns(pair: Pair, rounds: int, ours: Callable[[], Figures], theirs: Callable[[], Figures]) -> None:
    """Run both sides in turn, one uncounted round first; who begins changes with every round."""
    ours()
    theirs()
    for number in range(rounds):
        if number % 2:
            pair.theirs.append(theirs())
            pair.ours.append(ours())
        else:
            pair.ours.append(ours())
            pair.theirs.append(theirs())


def print_table(title: str, pairs: Sequence[Pair]) -> None:
    """Medians of both sides and the ratio by the clock, as a table."""
    print(f"\n{title}\n")
    print(f"| {'row':<34} | {'ours':>30} | {'theirs':>30} | ratio |")
    print(f"|{'-' * 36}|{'-' * 32}|{'-' * 32}|-------|")
    for pair in pairs:
        print(
            f"| {pair.name:<34} | {_cell(pair.ours):>30} | {_cell(pair.theirs):>30} | {pair.ratio():5.2f} |",
            flush=True,
        )
    print(
        "\nA cell: seconds by the clock; CPU seconds of the client / of the daemon; peak MB of the client. Medians."
    )


def _cell(runs: Sequence[Figures]) -> str:
    middle = [median(getattr(r, name) for r in runs) for name in ("wall", "cpu", "daemon", "peak")]
    return "{:.2f} s; {:.2f} / {:.2f}; {:.0f} MB".format(*middle)
