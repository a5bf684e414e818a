"""Build contexts beside buildctl: ``python -m bench.context [--rounds 5] [--disk] [--small]``.

Rows: 20,000 files of 1 to 2 KB, cold; one file of 1 GiB; the 20,000 files again, unchanged. Both sides run as whole
processes on one daemon. Cold means that the daemon has nothing of the tree: each run prunes what the last one left.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.pairs import Figures, Pair, print_table, run, take_turns
from bench.setting import daemon_pid, python_environment, running_daemon, tool, workspace
from pybuildkit.daemon import Buildkitd

DOCKERFILE = "FROM scratch\nCOPY . /\n"


def many_files(folder: Path, count: int) -> Path:
    """Files of 1 to 2 KB in folders of 200, the same at every run."""
    folder.mkdir(parents=True)
    folder.joinpath("Dockerfile").write_text(DOCKERFILE)
    source = random.Random(7)
    for number in range(count):
        if number % 200 == 0:
            part = folder / f"part{number // 200:03d}"
            part.mkdir()
        (part / f"file{number:05d}").write_bytes(source.randbytes(source.randint(1024, 2048)))
    return folder


def one_file(folder: Path, size: int) -> Path:
    """One file that can not be compressed."""
    folder.mkdir(parents=True)
    folder.joinpath("Dockerfile").write_text(DOCKERFILE)
    block = random.Random(7).randbytes(1 << 20)
    with folder.joinpath("big").open("wb") as file:
        for number in range(size >> 20):
            file.write(number.to_bytes(4) + block[4:])
    return folder


class Sides:
    """The two command lines for one directory, on one daemon."""

    def __init__(self, daemon: Buildkitd, directory: Path) -> None:
        self._address = daemon.address
        self._pid = daemon_pid(daemon)
        self._directory = str(directory)

    def _flags(self) -> list[str]:
        return [
            "--frontend=dockerfile.v0",
            f"--local=context={self._directory}",
            f"--local=dockerfile={self._directory}",
            "--progress=quiet",
        ]

    def ours(self) -> Figures:
        """Our command line."""
        command = [sys.executable, "-m", "pybuildkit", "--addr", self._address, "solve", *self._flags()]
        return run(command, daemon=self._pid, env=python_environment())

    def theirs(self) -> Figures:
        """buildctl's."""
        command = [tool("buildctl"), "--addr", self._address, "build", *self._flags()]
        return run(command, daemon=self._pid)

    def cold(self, side: Callable[[], Figures]) -> Callable[[], Figures]:
        """The same on a daemon that has forgotten everything."""

        def forgotten() -> Figures:
            subprocess.run(
                [tool("buildctl"), "--addr", self._address, "prune", "--all"], check=True, capture_output=True
            )
            return side()

        return forgotten


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--disk", action="store_true", help="keep the daemon's root on disk, not in memory")
    parser.add_argument("--small", action="store_true", help="a hundredth of everything, to try it out")
    args = parser.parse_args()
    files, size = (200, 10 << 20) if args.small else (20_000, 1 << 30)
    pairs = []
    with workspace(in_memory=not args.disk) as folder, running_daemon(folder) as daemon:
        many, big = many_files(folder / "many", files), one_file(folder / "big", size)
        sides = Sides(daemon, many)
        pairs.append(Pair(f"{files} files, cold", "buildctl"))
        take_turns(pairs[-1], args.rounds, sides.cold(sides.ours), sides.cold(sides.theirs))
        pairs.append(Pair(f"{files} files, unchanged", "buildctl"))
        take_turns(pairs[-1], args.rounds, sides.ours, sides.theirs)
        sides = Sides(daemon, big)
        pairs.append(Pair(f"one file of {size >> 20} MiB, cold", "buildctl"))
        take_turns(pairs[-1], args.rounds, sides.cold(sides.ours), sides.cold(sides.theirs))
    print_table(f"Contexts, daemon {'on disk' if args.disk else 'in memory'}", pairs)


if __name__ == "__main__":
    main()
