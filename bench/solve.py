"""Cached solves and chatty steps: ``python -m bench.solve [--rounds 9] [--small]``.

In process: our client and Go's, each in one process that solves the same cached graph again and again, beside a buildctl process
for each solve; one at a time, and a hundred at once. As command lines: a cached Dockerfile by ours, buildx and buildctl; a step that
prints a million lines, on a daemon that clips no logs.

Go's client sometimes waits a whole second more around a solve that takes milliseconds. That is no measure of its speed: such
rounds are counted and shown, but the ratio is to its rounds without them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.pairs import Figures, Side, print_table, run, take_turns
from bench.setting import ROOT, daemon_pid, python_environment, running_daemon, tool, workspace
from pybuildkit import llb

DOCKERFILE = "FROM scratch\nCOPY a /\n"


SOLVEBENCH = ROOT / ".tools" / "bin" / "solvebench"

STALL = 1.0
"""Seconds of a wait that Go's client has in some rounds, and not in others."""


class Bench:
    """The sides on one daemon."""

    def __init__(self, address: str, pid: int, folder: Path) -> None:
        self._address = address
        self._pid = pid
        self._folder = folder
        self._definition = llb.scratch().mkfile("/x", b"cached").marshal().to_bytes()

    def in_process(self, command: list[str], rounds: int, concurrency: int) -> list[float]:
        """Seconds of each round, by a process that keeps its client."""
        done = subprocess.run(
            [*command, self._address, str(rounds), str(concurrency)],
            input=self._definition,
            capture_output=True,
            check=True,
            env=python_environment(),
            cwd=ROOT,
        )
        seconds: list[float] = json.loads(done.stdout)
        return seconds

    def processes(self, rounds: int, concurrency: int) -> list[float]:
        """The same by so many buildctl processes at once."""
        seconds = []
        command = [tool("buildctl"), "--addr", self._address, "build", "--progress=quiet"]
        for number in range(rounds + 1):
            start = time.perf_counter()
            running = [
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
                for _ in range(concurrency)
            ]
            for process in running:
                process.communicate(self._definition)
            if any(process.returncode for process in running):
                sys.exit("buildctl failed")
            if number:
                seconds.append(time.perf_counter() - start)
        return seconds

    def solves(self, name: str, rounds: int, concurrency: int, *, blocking: bool = False) -> None:
        """Print one comparison."""
        ours: list[float] = []
        go: list[float] = []
        buildctl: list[float] = []
        for _ in range(3):  # in turn, so that a machine whose speed drifts is the same for all
            at_once = 0 if blocking else concurrency
            ours += self.in_process([sys.executable, "-m", "bench.solveclient"], rounds, at_once)
            go += self.in_process([str(SOLVEBENCH)], rounds, concurrency)
            buildctl += self.processes(max(1, rounds // 9 if concurrency == 1 else rounds // 3), concurrency)
        calm = [seconds for seconds in go if seconds < STALL]
        stalls = f"{len(go) - len(calm)} of {len(go)}"
        a, c = median(ours), median(buildctl)
        beside_go = (
            f"{1e3 * median(calm):.1f} ms | {stalls} | {a / median(calm):.2f}"
            if calm
            else f"- | {stalls} | -"
        )
        print(
            f"| {name} | {1e3 * a:.1f} ms | {beside_go} | {1e3 * c:.1f} ms | {a / c:.2f} |",
            flush=True,
        )

    def _side(self, command: list[str], flags: Callable[[], list[str]], env: dict[str, str]) -> Side:
        def once() -> Figures:
            return run([*command, *flags()], daemon=self._pid, env=env)

        return once

    def dockerfile(self) -> dict[str, Side]:
        """A cached Dockerfile by three command lines; buildx is the measure."""
        context = self._folder / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(DOCKERFILE)
        (context / "a").write_text("a")
        env = {**python_environment(), "BUILDX_CONFIG": str(self._folder / "buildx")}
        create = [tool("buildx"), "create", "--name=bench", "--driver=remote", self._address]
        subprocess.run(create, check=True, capture_output=True, env=env)
        flags = ["--frontend=dockerfile.v0", f"--local=context={context}", f"--local=dockerfile={context}"]
        ours = [sys.executable, "-m", "pybuildkit", "--addr", self._address, "build", "--progress=quiet"]
        buildctl = [tool("buildctl"), "--addr", self._address, "build", "--progress=quiet"]
        buildx = [tool("buildx"), "--builder=bench", "build", "--progress=quiet", "--output=type=cacheonly"]
        return {
            "ours": self._side(ours, lambda: [str(context)], env),
            "buildctl": self._side(buildctl, lambda: flags, env),
            "buildx": self._side(buildx, lambda: [str(context)], env),
        }

    def chatty(self, lines: int) -> dict[str, Side]:
        """A step that prints so many lines, shown plainly; another step each time."""
        context = self._folder / "chatty"
        context.mkdir()
        (context / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
        (context / "busybox").chmod(0o755)
        base = f'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "seq", "1", "{lines}"]\n'

        def flags() -> list[str]:
            (context / "Dockerfile").write_text(base + f"LABEL mark={uuid.uuid4().hex}\n")
            return [
                "--no-cache",
                "--progress=plain",
                "--frontend=dockerfile.v0",
                f"--local=context={context}",
                f"--local=dockerfile={context}",
            ]

        ours = [sys.executable, "-m", "pybuildkit", "--addr", self._address, "solve"]
        buildctl = [tool("buildctl"), "--addr", self._address, "build"]
        env = python_environment()
        return {"ours": self._side(ours, flags, env), "buildctl": self._side(buildctl, flags, env)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--small", action="store_true", help="little of everything, to try it out")
    args = parser.parse_args()
    go = shutil.which("go")
    if go is None:
        sys.exit("go is not there; Go's client is the measure")
    subprocess.run([go, "build", "-o", str(SOLVEBENCH), "./cmd/solvebench"], cwd=ROOT / "tools", check=True)
    rounds, crowd, lines = (1, 5, 10_000) if args.small else (args.rounds, 100, 1_000_000)
    for name in ("SIZE", "SPEED"):
        os.environ[f"BUILDKIT_STEP_LOG_MAX_{name}"] = "-1"
    with workspace(in_memory=True) as folder, running_daemon(folder) as daemon:
        bench = Bench(daemon.address, daemon_pid(daemon), folder)
        print(
            "| cached solves | ours | Go, calm rounds | stalled | ours / Go | buildctl processes | ours / buildctl |"
        )
        print("|---|---|---|---|---|---|---|")
        bench.solves("one at a time, Client", 3 * rounds, 1, blocking=True)
        bench.solves("one at a time, AsyncClient", 3 * rounds, 1)
        bench.solves(f"{crowd} at once, AsyncClient", max(1, rounds // 3), crowd)
        print_table("A cached Dockerfile", [take_turns("cached Dockerfile", rounds, bench.dockerfile())])
        row = take_turns(f"{lines} lines", max(1, rounds // 3), bench.chatty(lines))
        print_table("A step that prints", [row])


if __name__ == "__main__":
    main()
