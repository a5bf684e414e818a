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
SHOWN_LINES = 40
"""How much of a failed command's output is shown."""


class SetupError(Exception):
    """Something is missing that can not be got from here; the text says what to do."""


def say(text: str) -> None:
    """Tell the user what happens now, apart from a command's own output."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def run(argv: Sequence[str | Path], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    """Run a command that must succeed. apt-get and go have much to say: it is shown only if they fail.

    Raises:
        SetupError: it failed; with the end of what it said.
    """
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stdout.splitlines()[-SHOWN_LINES:])
        raise SetupError(f"exit code {done.returncode} from: {' '.join(map(str, argv))}\n{said}")


def fingerprint(paths: Iterable[Path], *more: str) -> str:
    """One hash of files and words: what a made thing depends on."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes() + b"\0")
    for word in more:
        digest.update(word.encode() + b"\0")
    return digest.hexdigest()
