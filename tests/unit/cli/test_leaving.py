"""How the process ends: at once, and yet with all that belongs to an end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

START = "import sys; from pybuildkit.cli import run; sys.argv = ['pybuildkit', *{words!r}]; {before}\nrun()"


def run(*words: str, before: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    code = START.format(words=words, before=before)
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", code], text=True, capture_output="stdout" not in options, timeout=60, **options
    )


def test_the_exit_code() -> None:
    assert run("completion", "bash").returncode == 0
    done = run("--addr=unix:///nowhere.sock", "info")
    assert done.returncode == 1
    assert "nowhere.sock" in done.stderr


def test_what_was_written_is_there() -> None:
    """A pipe is written block by block; the last one goes out too."""
    first, again = (
        run("completion", "zsh"),
        run("completion", "zsh", before="sys.stdout.reconfigure(write_through=True)"),
    )
    assert first.stdout == again.stdout
    assert first.stdout.endswith("\n")


def test_exit_functions_run() -> None:
    done = run(
        "completion", "bash", before="import atexit; atexit.register(print, 'the end', file=sys.stderr)"
    )
    assert done.stderr == "the end\n"


def test_threads_are_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "written"
    code = (
        "import threading, time, pathlib; "
        f"threading.Thread(target=lambda: (time.sleep(0.3), pathlib.Path({str(path)!r}).touch())).start()"
    )
    assert run("completion", "bash", before=code).returncode == 0
    assert path.exists()


def test_output_that_can_not_be_written() -> None:
    """Python's own exit code for that, not 0."""
    with open("/dev/full", "w") as full:
        done = run("completion", "bash", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr


def test_a_closed_standard_output() -> None:
    assert run("completion", "bash", before="sys.stdout = None").returncode == 0
