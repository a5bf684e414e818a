"""The sides of a comparison: our command line, a program for each way to use the library, and buildctl, on one daemon."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.pairs import Figures, Side, run
from bench.setting import ROOT, daemon_pid, python_environment, tool
from pybuildkit.daemon import Buildkitd

__all__ = ["BLOCKING", "BUILDCTL", "COMMAND", "OURS", "SHARED", "WAITING", "Daemon", "context_flags"]

COMMAND = "command line"
"""No event loop, everything on one connection."""

BLOCKING = "Client"
"""A program with the blocking client: likewise."""

WAITING = "AsyncClient"
"""A program with an event loop, which waits for the thread that does the build."""

SHARED = "AsyncClient, shared"
"""Likewise, the session on the connection of the client, as behind a balancer."""

BUILDCTL = "buildctl"

_KINDS = {BLOCKING: "blocking", WAITING: "waiting", SHARED: "shared"}

OURS = (COMMAND, *_KINDS)
"""All but buildctl."""


class Daemon:
    """Runs builds on a daemon, by whichever side."""

    def __init__(self, daemon: Buildkitd) -> None:
        self._address = daemon.address
        self._pid = daemon_pid(daemon)

    def forget(self) -> None:
        """Remove all that the daemon has kept."""
        self._buildctl("prune", "--all")

    def sides(self, flags: Callable[[], Sequence[str]]) -> dict[str, Side]:
        """The same flags for all sides; they are asked for anew for each run."""
        found: dict[str, Side] = {COMMAND: partial(self._command, flags)}
        found |= {name: partial(self._program, flags, kind) for name, kind in _KINDS.items()}
        found[BUILDCTL] = partial(self._theirs, flags)
        return found

    def _command(self, flags: Callable[[], Sequence[str]]) -> Figures:
        command = [sys.executable, "-m", "pybuildkit", "--addr", self._address, "solve", "--progress=quiet"]
        return run([*command, *flags()], daemon=self._pid, env=python_environment())

    def _program(self, flags: Callable[[], Sequence[str]], kind: str) -> Figures:
        command = [sys.executable, str(ROOT / "bench" / "program.py"), kind, self._address]
        return run([*command, *flags()], daemon=self._pid, env=python_environment())

    def _theirs(self, flags: Callable[[], Sequence[str]]) -> Figures:
        command = [tool("buildctl"), "--addr", self._address, "build", "--progress=quiet"]
        return run([*command, *flags()], daemon=self._pid)

    def _buildctl(self, *args: str) -> None:
        subprocess.run([tool("buildctl"), "--addr", self._address, *args], check=True, capture_output=True)


def context_flags(directory: Path) -> list[str]:
    """Build a directory's Dockerfile."""
    return ["--frontend=dockerfile.v0", f"--local=context={directory}", f"--local=dockerfile={directory}"]
