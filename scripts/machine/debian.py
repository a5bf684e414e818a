"""Programs that come from the distribution."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.machine.paths import SetupError, run, say

__all__ = ["PROGRAMS", "Program", "require"]


@dataclass(frozen=True, slots=True)
class Program:
    """A program, the Debian package that brings it, and what it is for."""

    name: str
    package: str
    purpose: str
    static: bool = False
    """Whether it must need no loader: it goes into an image alone."""


PROGRAMS = {
    program.name: program
    for program in (
        Program("runc", "runc", "buildkitd runs containers with it"),
        Program(
            "busybox", "busybox-static", "the examples' and tests' base image is made of it", static=True
        ),
        Program("git", "git", "tests build from git repositories"),
        Program("dockerd", "docker.io", "tests run a docker engine of their own"),
        Program("ip", "iproute2", "that engine's containers have a network of their own"),
        Program("ssh-agent", "openssh-client", "tests forward an agent"),
        Program("tmux", "tmux", "tests look at the progress display in a terminal"),
        Program("zsh", "zsh", "tests type command lines into it and have them completed"),
        Program("fish", "fish", "likewise"),
    )
}
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def require(names: Iterable[str]) -> None:
    """See that the programs are there; as root on Debian or Ubuntu, install what is missing.

    Raises:
        SetupError: something is missing and can not be installed from here.
    """
    missing = [PROGRAMS[name] for name in names if not _found(PROGRAMS[name])]
    if not missing:
        return
    packages = sorted({program.package for program in missing})
    if not shutil.which("apt-get") or os.geteuid() != 0:
        lines = [f"  {program.name} ({program.purpose})" for program in missing]
        how = "sudo apt-get install " + " ".join(packages)
        raise SetupError("\n".join(["these programs are missing:", *lines, f"On Debian or Ubuntu: {how}"]))
    install(packages)
    if still := [program.name for program in missing if not _found(program)]:
        raise SetupError(f"apt-get installed {' '.join(packages)}, but {', '.join(still)} is still missing")


def install(packages: Iterable[str]) -> None:
    """Install Debian packages, as root.

    Raises:
        SetupError: apt-get failed.
    """
    wanted = list(packages)
    say(f"installing Debian packages: {' '.join(wanted)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], env=env)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted], env=env)


def _found(program: Program) -> bool:
    """Whether a program is installed; daemons are in folders that a user's PATH may not have."""
    path = shutil.which(program.name, path=os.environ.get("PATH", "") + os.pathsep + SYSTEM_PATH)
    if path is None or not program.static:
        return path is not None
    with Path(path).open("rb") as file:
        return b"/ld-" not in file.read(4096)  # an ELF file names its loader near its start
