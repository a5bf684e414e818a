"""A terminal that people use, driven by a test: tmux without a window."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Tmux", "tmux_session"]


class Tmux:
    """A session of one pane.

    Args:
        socket: of its server, which is its own.
    """

    def __init__(self, socket: Path) -> None:
        self._command = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def run(self, *words: str) -> str:
        """A command of tmux's; what it prints."""
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def type(self, text: str) -> None:
        """Type a line."""
        self.run("send-keys", "-l", text)
        self.press("Enter")

    def press(self, key: str) -> None:
        """Press a key, as ``C-c``."""
        self.run("send-keys", key)

    def resize(self, columns: int, rows: int) -> None:
        """Make the window larger or smaller."""
        self.run("resize-window", "-x", str(columns), "-y", str(rows))

    def text(self) -> str:
        """All that has been shown, lines that were too long for the window joined."""
        lines = (line.rstrip() for line in self.run("capture-pane", "-p", "-J", "-S", "-").splitlines())
        return "\n".join(lines).rstrip("\n") + "\n"

    def wait_for(self, pattern: str, timeout: float = 30.0) -> str:
        """Wait until something is shown; all that is shown then."""
        deadline = time.monotonic() + timeout
        while not re.search(pattern, shown := self.text(), re.MULTILINE):
            assert time.monotonic() < deadline, f"{pattern!r} did not appear:\n{shown}"
            time.sleep(0.05)
        return shown


@contextmanager
def tmux_session(
    folder: Path, environ: Mapping[str, str], *, columns: int = 100, rows: int = 40
) -> Generator[Tmux, None, None]:
    """A session with a plain shell in a directory; it ends with the block, and all that runs in it."""
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux")
    tmux = Tmux(folder / "tmux.sock")
    env = [
        f"{name}={value}" for name, value in {**os.environ, **environ, "PS1": "$ ", "TERM": "screen"}.items()
    ]
    tmux.run(
        *("new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(folder)),
        *("env", "-i", *env, "sh"),
    )
    try:
        tmux.wait_for(r"^\$ ?$")
        yield tmux
    finally:
        tmux.run("kill-server")
