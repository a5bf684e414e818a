#!/usr/bin/env python3
"""Make this machine ready for a command of the Makefile, doing only what is missing.

    prepare.py run       the library, in .venv
    prepare.py dev       everything to work on it, in .venv
    prepare.py demo      `run`, a buildkitd, and what that needs from the distribution
    prepare.py protos    a buildkitd to ask, and runc
    prepare.py test      `dev`, all Go tools, Azurite, all programs that the tests use
    prepare.py tools     all Go tools, nothing else

    prepare.py constraints   write constraints.txt anew, with the newest versions

It starts with a bare Python (3.11 or newer) and the standard library.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - whoever clones this may have an older one
    sys.exit(
        f"pybuildkit needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}: "
        "name one with `make PYTHON=…`"
    )

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dataclasses import dataclass

from scripts.machine import azurite, debian, environment, tools
from scripts.machine.paths import SetupError


@dataclass(frozen=True, slots=True)
class Need:
    """What a command needs: programs of the distribution, a level of the environment, Go tools, root, Azurite."""

    programs: tuple[str, ...] = ()
    environment: str = ""
    tools: tuple[str, ...] = ()
    root: bool = False
    azurite: bool = False


NEEDS = {
    "run": Need(environment="run"),
    "dev": Need(environment="dev"),
    "demo": Need(("runc", "busybox"), "run", ("buildkitd",), root=True),
    "protos": Need(("runc",), "", ("buildkitd",), root=True),
    "test": Need(tuple(debian.PROGRAMS), "dev", tuple(tools.PROGRAMS), azurite=True),
    "tools": Need(tools=tuple(tools.PROGRAMS)),
}


RENEW = "constraints"


def main(argv: list[str]) -> int:
    """Prepare for each command that is named."""
    if not argv or not set(argv) <= {RENEW, *NEEDS}:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        for name in argv:
            if name == RENEW:
                environment.renew_constraints()
            else:
                _meet(name, NEEDS[name])
    except SetupError as exc:
        print(f"prepare: {exc}", file=sys.stderr)
        return 1
    return 0


def _meet(name: str, need: Need) -> None:
    """See that everything a command needs is there, installing what is missing."""
    if need.root and os.geteuid() != 0:
        raise SetupError(f"{name} starts a buildkitd of its own, which needs root: run make as root")
    debian.require(need.programs)
    if need.environment:
        environment.ensure(need.environment)
    if need.azurite:
        azurite.install()
    tools.build(need.tools)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
