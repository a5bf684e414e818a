"""The Go programs that ``tools/go.mod`` pins, built once into ``.tools/bin``."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.machine import golang
from scripts.machine.paths import BIN, ROOT, TOOLS, SetupError, fingerprint, run, say

__all__ = ["PROGRAMS", "Tool", "build", "version"]

MODULE = ROOT / "tools"


@dataclass(frozen=True, slots=True)
class Tool:
    """A Go program: its package below its module, and the variable that holds its version."""

    module: str
    package: str
    variable: str
    minutes: int
    """How long a first build takes on two cores, about."""


PROGRAMS = {
    "buildkitd": Tool("github.com/moby/buildkit", "cmd/buildkitd", "version.Version", 4),
    "buildctl": Tool("github.com/moby/buildkit", "cmd/buildctl", "version.Version", 1),
    "buildx": Tool("github.com/docker/buildx", "cmd/buildx", "version.Version", 1),
    "registry": Tool("github.com/distribution/distribution/v3", "cmd/registry", "version.version", 2),
}


def build(names: Iterable[str]) -> None:
    """Build the tools that are missing, or older than what ``tools/go.mod`` pins.

    Raises:
        SetupError: no Go could be had, or the build failed.
    """
    BIN.mkdir(parents=True, exist_ok=True)
    with _alone():
        stale = [name for name in names if not _is_fresh(name)]
        if not stale:
            return
        go = golang.find()
        for name in stale:
            _build_one(go, name)


def version(module: str, go_mod: str) -> str:
    """The version of a module that a go.mod requires.

    Raises:
        SetupError: it requires none.
    """
    match = re.search(rf"^\s*{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if match is None:
        raise SetupError(f"tools/go.mod does not require {module}")
    return match[1]


def _build_one(go: Path, name: str) -> None:
    tool = PROGRAMS[name]
    pinned = version(tool.module, (MODULE / "go.mod").read_text())
    say(f"building {name} {pinned} (about {tool.minutes} min the first time, and downloads)")
    started = time.monotonic()
    partial = BIN / f".{name}.partial"
    flags = f"-s -w -X {tool.module}/{tool.variable}={pinned}"
    # CGO_ENABLED=0: static programs, needing no C compiler and running in any image.
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    argv: list[str | Path] = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    argv += ["-ldflags", flags, "-o", partial]
    run([*argv, f"{tool.module}/{tool.package}"], cwd=MODULE, env=env)
    partial.rename(BIN / name)
    _stamp(name).write_text(_recipe(name))
    say(f"built {name} in {time.monotonic() - started:.0f} s")


def _is_fresh(name: str) -> bool:
    stamp = _stamp(name)
    return (BIN / name).exists() and stamp.exists() and stamp.read_text() == _recipe(name)


def _stamp(name: str) -> Path:
    return BIN / f".{name}.stamp"


def _recipe(name: str) -> str:
    """What a built tool depends on."""
    return fingerprint([MODULE / "go.mod", MODULE / "go.sum"], repr(PROGRAMS[name]))


@contextmanager
def _alone() -> Iterator[None]:
    """One builder at a time in this folder."""
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
