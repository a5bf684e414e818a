"""The sides of a comparison: our command line, with its session carried in three ways, and buildctl, on one daemon."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.pairs import Figures, Side, run
from bench.setting import daemon_pid, python_environment, tool
from pybuildkit.daemon import Buildkitd

__all__ = ["BUILDCTL", "DIRECT", "OWN", "SHARED", "Daemon", "context_flags"]

DIRECT = "ours"
"""As users run it: no event loop, everything on one connection."""

OWN = "own connection"
"""With an event loop, as the library works: the session on a connection of its own, in a thread."""

SHARED = "shared connection"
"""Likewise, the session on the connection of the solve, as behind a balancer."""

BUILDCTL = "buildctl"

_OWN_SESSION = {DIRECT: "", OWN: "1", SHARED: "0"}


class Daemon:
    """Runs builds on a daemon, by whichever side."""

    def __init__(self, daemon: Buildkitd) -> None:
        self._address = daemon.address
        self._pid = daemon_pid(daemon)

    def forget(self) -> None:
        """Remove all that the daemon has kept."""
        self._buildctl("prune", "--all")

    def sides(
        self, flags: Callable[[], Sequence[str]], *, carriers: Sequence[str] = (DIRECT, OWN, SHARED)
    ) -> dict[str, Side]:
        """The same flags for all sides; they are asked for anew for each run."""
        found: dict[str, Side] = {carrier: partial(self._ours, flags, carrier) for carrier in carriers}
        found[BUILDCTL] = partial(self._theirs, flags)
        return found

    def _ours(self, flags: Callable[[], Sequence[str]], carrier: str) -> Figures:
        env = {**python_environment(), "PYBUILDKIT_OWN_SESSION": _OWN_SESSION[carrier]}
        command = [sys.executable, "-m", "pybuildkit", "--addr", self._address, "solve"]
        return run([*command, "--progress=quiet", *flags()], daemon=self._pid, env=env)

    def _theirs(self, flags: Callable[[], Sequence[str]]) -> Figures:
        command = [tool("buildctl"), "--addr", self._address, "build", "--progress=quiet"]
        return run([*command, *flags()], daemon=self._pid)

    def _buildctl(self, *args: str) -> None:
        subprocess.run([tool("buildctl"), "--addr", self._address, *args], check=True, capture_output=True)


def context_flags(directory: Path) -> list[str]:
    """Build a directory's Dockerfile."""
    return ["--frontend=dockerfile.v0", f"--local=context={directory}", f"--local=dockerfile={directory}"]
