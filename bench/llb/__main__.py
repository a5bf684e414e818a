"""Compare graphs of several sizes in Python and in Go and print a table: ``python -m bench.llb [--sizes 100,1000] [--rounds 5]``.

Both sides build and marshal the same graph in processes of their own, in turn, so that both see the same machine. A round is
one process of each side; small graphs are made several times in it. The table has medians over all of them, first ones
included, and a run fails when the two sides disagree on the digest.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".tools" / "bin" / "llbbench"
SIZES = (100, 1_000, 5_000, 20_000)
TARGET_RATIO = {1_000: 1.0, 5_000: 5.0}
# Time per op at the largest size over that at 1,000 ops; the rest is memory that no cache holds any more.
LINEAR = 1.5


@dataclass
class Side:
    """All samples of one side at one size."""

    build: list[float] = field(default_factory=list)
    marshal: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    head: str = ""
    bytes: int = 0

    def add(self, command: list[str]) -> None:
        report = json.loads(
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        )
        self.build += report["build"]
        self.marshal += report["marshal"]
        self.peak.append(report["peak"])
        self.head, self.bytes = report["head"], report["bytes"]

    @property
    def totals(self) -> list[float]:
        return [b + m for b, m in zip(self.build, self.marshal, strict=True)]

    @property
    def total(self) -> float:
        return median(self.totals)


def compare(ops: int, rounds: int) -> tuple[Side, Side]:
    """Measure one size; Go first, then we, in every round."""
    go, python = Side(), Side()
    repeats = str(max(1, min(5, 5_000 // ops)))
    # Go needs minutes for the largest graph, so one round of it must do.
    for _ in range(1 if ops > 10_000 else rounds):
        go.add([str(PROGRAM), str(ops), repeats])
        python.add([sys.executable, "-m", "bench.llb.measure", str(ops), repeats])
    if go.head != python.head:
        sys.exit(f"at {ops} ops the digests differ: Go {go.head}, Python {python.head}")
    return go, python


def row(ops: int, go: Side, python: Side) -> str:
    cells = [f"{ops:>7,}", f"{go.bytes / 1e6:>6.2f}"]
    for side in (go, python):
        cells += [
            f"{1e3 * median(side.build):>8.1f}",
            f"{1e3 * median(side.marshal):>9.1f}",
            f"{1e3 * side.total:>9.1f}",
        ]
    cells += [f"{go.total / python.total:>7.2f}", f"{1e6 * python.total / ops:>8.1f}"]
    cells += [f"{median(go.peak) / 1e6:>6.0f}", f"{median(python.peak) / 1e6:>6.0f}"]
    return " ".join(cells)


def verdicts(results: dict[int, tuple[Side, Side]]) -> list[tuple[bool, str]]:
    """What the figures say of the targets."""
    out = []
    for ops, wanted in TARGET_RATIO.items():
        if ops in results:
            go, python = results[ops]
            ratio = go.total / python.total
            out.append(
                (ratio >= wanted, f"{ops:,} ops: {ratio:.2f} times as fast as Go, at least {wanted:g} wanted")
            )
    largest = max(results)
    if 1_000 in results and largest > 1_000:
        small, large = results[1_000][1], results[largest][1]
        # The best ones: what else the machine does only ever adds, and not to all sizes alike.
        growth = (min(large.totals) / largest) / (min(small.totals) / 1_000)
        out.append(
            (
                growth <= LINEAR,
                f"time per op at {largest:,} is {growth:.2f} times that at 1,000, at most {LINEAR:g} wanted",
            )
        )
        middle = min(ops for ops in results if ops > 1_000)
        per_op = [
            (median(results[b][1].peak) - median(results[a][1].peak)) / (b - a)
            for a, b in ((1_000, middle), (middle, largest))
            if b > a
        ]
        steady = max(per_op) <= LINEAR * min(per_op) if min(per_op) > 0 else False
        figures = " and ".join(f"{value:,.0f}" for value in per_op)
        out.append((steady, f"memory grows by {figures} bytes per op"))
    return out


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.llb", description=__doc__)
    parser.add_argument(
        "--sizes", type=lambda s: tuple(map(int, s.split(","))), default=SIZES, help="ops, with commas"
    )
    parser.add_argument("--rounds", type=int, default=5, help="processes of each side for a size")
    args = parser.parse_args()
    go = shutil.which("go")
    if go is None:
        print("bench.llb compares with Go, and there is no Go on the PATH", file=sys.stderr)
        return 2
    subprocess.run([go, "build", "-o", str(PROGRAM), "./cmd/llbbench"], cwd=ROOT / "tools", check=True)
    print(
        "                ------------- Go, ms ------------ ----------- Python, ms ---------- Go/Py   Python   peak MB"
    )
    print(
        "    ops  op MB    build   marshal       total    build   marshal       total  total    us/op    Go     Py"
    )
    results = {}
    for ops in args.sizes:
        results[ops] = compare(ops, args.rounds)
        print(row(ops, *results[ops]), flush=True)
    outcome = verdicts(results)
    for good, text in outcome:
        print("ok  " if good else "MISS", text)
    return 0 if all(good for good, _ in outcome) else 1


if __name__ == "__main__":
    sys.exit(main())
