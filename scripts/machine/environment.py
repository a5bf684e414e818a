"""The virtual environment, with exactly the versions of constraints.txt."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from scripts.machine import debian
from scripts.machine.paths import ROOT, VENV, SetupError, fingerprint, run, say

__all__ = ["LEVELS", "create", "ensure", "renew_constraints"]

CONSTRAINTS = ROOT / "constraints.txt"
HEAD = "# Every dependency of all groups, by version; `make constraints` renews it.\n"
LEVELS: dict[str, tuple[str, ...]] = {
    "run": ("-e", "."),
    "dev": ("--group", "dev", "-e", ".[ssh,otel,testing]"),
}
"""What is installed for using the library, and for working on it."""


def ensure(level: str) -> None:
    """Make ``.venv``, or bring it up to date, when it is not what the files ask for.

    Raises:
        SetupError: Python has no venv module, or pip failed.
    """
    stamp = VENV / "pybuildkit.json"
    wanted = fingerprint([CONSTRAINTS, ROOT / "pyproject.toml"], sys.version)
    levels = list(LEVELS)
    sufficient = levels[levels.index(level) :]
    done: dict[str, str] = json.loads(stamp.read_text()) if stamp.exists() else {}
    python = VENV / "bin" / "python"
    if any(done.get(name) == wanted for name in sufficient) and _works(python):
        return
    say(f"installing Python packages into {VENV.relative_to(ROOT)} ({level})")
    create(VENV)
    # PIP_CONSTRAINT and not -c: it also holds for what builds the project.
    env = {**os.environ, "PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    pip: list[str | Path] = [python, "-m", "pip", "install", "-q"]
    run([*pip, "pip"], env=env)  # the one that comes with Python may not know dependency groups
    run([*pip, *LEVELS[level]], env=env)
    stamp.write_text(json.dumps({level: wanted}))


def create(folder: Path) -> None:
    """Make a virtual environment with pip; one that works is kept.

    Raises:
        SetupError: Python's venv module is not complete, as on Debian without python3-venv.
    """
    if _works(folder / "bin" / "python"):
        return
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python3.{sys.version_info.minor}-venv"
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise SetupError(
                f"this Python can not make virtual environments: sudo apt-get install {package}, "
                "or name another one with `make PYTHON=…`"
            )
        debian.install([package])
    venv.EnvBuilder(with_pip=True, clear=True, symlinks=True).create(folder)


def _works(python: Path) -> bool:
    """Whether an environment's interpreter starts, and is of the version that runs here."""
    if not python.exists():
        return False
    told = subprocess.run(
        [python, "-c", "import pip, sys; print(sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() == str(sys.version_info[:2])


def renew_constraints() -> None:
    """Write constraints.txt anew: the newest versions that pyproject.toml allows.

    Raises:
        SetupError: pip failed.
    """
    say("resolving the newest versions")
    with tempfile.TemporaryDirectory() as temp:
        create(Path(temp) / "venv")
        python = Path(temp) / "venv" / "bin" / "python"
        pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check"]
        run([*pip, "install", "-q", "--upgrade", "pip"])
        run([*pip, "install", "-q", "hatchling", "editables", *LEVELS["dev"]])
        told = subprocess.run(
            [*pip, "freeze", "--all", "--exclude-editable", "--exclude", "setuptools"],
            capture_output=True,
            text=True,
            check=True,
        )
    CONSTRAINTS.write_text(HEAD + told.stdout)
