"""Shells as people use them, asked by a test what they would complete a line to."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

__all__ = ["SHELLS", "Completer"]

_READY = b"now> "

_BASH = """\
PS1='now'; PS1+='> '
. ./script
_seen() { _pybuildkit "$@"; printf '%s\\n' "${COMPREPLY[@]}" > offered; exit; }
complete -F _seen pybuildkit
"""

# zsh tells nobody what it has found. All of it goes through compadd, which is therefore another one here: it
# has the builtin collect what fits the word that is being typed (-A), and writes that down.
_ZSH = """\
PS1='now'; PS1+='> '
fpath=(~/.zfunc $fpath)
autoload -U compinit && compinit -u -D
compadd() {
    local -a found
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)* ]]; then builtin compadd "$@"; return; fi
    builtin compadd -A found "$@"
    print -rl -- $found >> offered
    builtin compadd "$@"
}
_seen() { : >> offered; exit }
comppostfuncs=(_seen)
bindkey '^I' complete-word
"""


def _on_a_terminal(command: list[str], folder: Path, line: str) -> list[str]:
    """Run a shell that leaves when it has completed; type a line and the tabulator as soon as it asks for one."""
    offered = folder / "offered"
    offered.unlink(missing_ok=True)
    master, slave = os.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        process = subprocess.Popen(
            ["setsid", "-c", "-w", *command],
            cwd=folder,
            env=_environ(folder),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.set_blocking(master, False)
        shown, deadline = b"", time.monotonic() + 30
        while process.poll() is None:
            try:
                read = os.read(master, 65536)
            except BlockingIOError:
                time.sleep(0.01)
                read = b""
            if _READY in shown + read and _READY not in shown:
                os.write(master, line.encode() + b"\t")
            shown += read
            if time.monotonic() > deadline:
                os.write(master, b"\x03\x04")  # it leaves, and with it everything that it has started
                process.kill()
                process.wait()
                pytest.fail(f"{command[0]} does not complete {line!r}; it shows {shown.decode()!r}")
    finally:
        os.close(master)
        os.close(slave)
    assert offered.exists(), f"{command[0]} failed: {shown.decode()!r}"
    return offered.read_text().split("\n")


def _environ(folder: Path) -> Mapping[str, str]:
    return {
        "PATH": f"{folder / '.bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "ZDOTDIR": str(folder),
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
    }


def _bash(folder: Path, line: str) -> list[str]:
    (folder / "rc").write_text(_BASH)
    return _on_a_terminal(["bash", "--noprofile", "--rcfile", "rc", "-i"], folder, line)


def _zsh(folder: Path, line: str) -> list[str]:
    # As the help says: where zsh looks for a function of that name.
    functions = folder / ".zfunc"
    functions.mkdir(exist_ok=True)
    shutil.copyfile(folder / "script", functions / "_pybuildkit")
    (folder / ".zshrc").write_text(_ZSH)
    return _on_a_terminal(["zsh", "-d", "-i"], folder, line)


def _fish(folder: Path, line: str) -> list[str]:
    # As the help says: where fish looks for the program's completions.
    completions = folder / ".config" / "fish" / "completions"
    completions.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "script", completions / "pybuildkit.fish")
    done = subprocess.run(
        ["fish", "-c", "complete -C $argv[1]", "--", line],
        cwd=folder,
        env=_environ(folder),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [shown.partition("\t")[0] for shown in done.stdout.splitlines()]


SHELLS: Mapping[str, Callable[[Path, str], list[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


class Completer:
    """A shell with a completion script.

    Args:
        shell: its name.
        script: the completion script.
        folder: the shell's working directory, and the user's home.
    """

    def __init__(self, shell: str, script: str, folder: Path) -> None:
        for needed in (shell, "setsid"):
            if shutil.which(needed) is None:
                pytest.skip(f"needs {needed}")
        self.shell = shell
        self._folder = folder
        (folder / "script").write_text(script)
        program = folder / ".bin" / "pybuildkit"  # fish looks for completions of programs that are there
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)

    def __call__(self, line: str) -> set[str]:
        """What the shell offers for the last word of a line, flags without the ``=`` behind them."""
        offered = SHELLS[self.shell](self._folder, line)
        return {word.rstrip(" ").removesuffix("/") for word in offered if word.strip()}
