"""Where things are, and how the steps speak."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["BIN", "ROOT", "TOOLS", "VENV", "SetupError", "fingerprint", "run", "say"]

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
BIN = TOOLS / "bin"
VENV = ROOT / ".venv"


class SetupError(Exception):
    """Something is missing that can not be got from here; the text says what to do."""


def say(text: str) -> None:
    """Tell the user what happens now, apart from a command's own output."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def run(argv: Sequence[str | Path], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    """Run a command that must succeed; its output is the user's to see.

    Raises:
        SetupError: it failed.
    """
    done = subprocess.run([str(a) for a in argv], cwd=cwd, env=env, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SetupError(f"this failed with exit code {done.returncode}: {' '.join(map(str, argv))}")


def fingerprint(paths: Iterable[Path], *more: str) -> str:
    """One hash of files and words: what a made thing depends on."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes() + b"\0")
    for word in more:
        digest.update(word.encode() + b"\0")
    return digest.hexdigest()
