"""What the benchmarks run on: a private daemon, with its root in memory or on disk, and the Go tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pybuildkit.daemon import Buildkitd

__all__ = ["ROOT", "daemon_pid", "python_environment", "running_daemon", "tool", "workspace"]

ROOT = Path(__file__).resolve().parents[1]


def python_environment() -> dict[str, str]:
    """The environment of our own processes: this checkout, and compiled files kept, as an installed package has them."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def tool(name: str) -> str:
    """The path of a Go tool that ``make tools`` builds."""
    found = shutil.which(name, path=str(ROOT / ".tools" / "bin")) or shutil.which(name)
    if found is None:
        sys.exit(f"{name} is not there; run 'make tools'")
    return found


@contextmanager
def workspace(*, in_memory: bool) -> Generator[Path]:
    """A folder that is gone at the end; in memory it is a tmpfs of its own, for figures that hold still."""
    with tempfile.TemporaryDirectory(prefix="pybuildkit-bench-") as name:
        if not in_memory:
            yield Path(name)
            return
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16g", "pybuildkit-bench", name], check=True)
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True)


@contextmanager
def running_daemon(folder: Path) -> Generator[Buildkitd]:
    """A private daemon below a folder, without garbage collection in the middle of a run."""
    with Buildkitd(
        binary=tool("buildkitd"), root=folder / "daemon", config={"worker": {"oci": {"gc": False}}}
    ) as daemon:
        yield daemon


def daemon_pid(daemon: Buildkitd) -> int:
    """The process that listens at the daemon's socket, 0 when it can not be found."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            line = Path(entry.path, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if line and line[0].endswith(b"buildkitd") and str(daemon.root).encode() in b" ".join(line):
            return int(entry.name)
    return 0
