"""``pybuildkit debug shell``, as people use it: in tmux, on a terminal of our own, and in scripts."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from pybuildkit import Client
from pybuildkit.testing.service import BuildkitdService
from tests.support.tmux import tmux_session

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]

DOCKERFILE = """\
FROM busybox AS base
ENV FLAVOUR=vanilla
WORKDIR /work

FROM base AS bad
USER nobody
RUN --mount=type=secret,id=token,uid=65534 --mount=type=cache,target=/cache,uid=65534 \\
    echo half > /tmp/result && echo "cannot go on" && exit 3

FROM base AS good
RUN echo whole > result

FROM base AS missing
COPY nothere Dockerfile /target/

FROM scratch AS empty
COPY Dockerfile /
"""

SESSION = """\
$ PYTHON -m pybuildkit debug shell . --target bad --secret id=token,env=TOKEN --progress plain
#1 [internal] load build definition from Dockerfile
(...)
#7 (...) cannot go on
#7 ERROR: process (...) did not complete successfully: exit code: 3
(...)
Dockerfile:7
--------------------
   6 |     USER nobody
   7 | >>> RUN --mount=type=secret,id=token,uid=65534 --mount=type=cache,target=/cache,uid=65534 \\
   8 | >>>     echo half > /tmp/result && echo "cannot go on" && exit 3
   9 |
--------------------
error: failed to solve: process "/bin/sh -c echo half > /tmp/result && echo \\"cannot go on\\" && exit 3" did not complete successfully: exit code: 3
==> a shell in [bad 1/1] RUN --mount=type=secret,id=token,uid=65534 --mount=type=cache,target=/cache,uid=65534     echo half > /tmp/result && echo "cannot go on" && exit 3
==> its command: /bin/sh -c 'echo half > /tmp/result && echo "cannot go on" && exit 3'
==> its mounts: / /cache /run/secrets/token
==> leave it with exit, or Ctrl-D


BusyBox (...) built-in shell (ash)
Enter 'help' for a list of built-in commands.

/work $ ls /tmp
result
/work $ cat /tmp/result /run/secrets/token; echo
half
s3cr3t
/work $ echo "$FLAVOUR as $(whoami) on $TERM"; test -t 0 && stty size
vanilla as nobody on screen
40 100
/work $ exit
$ echo "ended with $?"
ended with 1
$
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


@pytest.fixture
def environ(buildkitd: BuildkitdService) -> dict[str, str]:
    """What the command line gets beside what is there."""
    return {"BUILDKIT_HOST": buildkitd.address, "PYTHONPATH": str(REPOSITORY), "TOKEN": "s3cr3t"}


def test_a_session_in_tmux(project: Path, environ: dict[str, str]) -> None:
    """A failing RUN, a shell in it, what it left, its secret and its environment, and out again."""
    with tmux_session(project, environ) as tmux:
        tmux.type(
            f"{sys.executable} -m pybuildkit debug shell . --target bad --secret id=token,env=TOKEN --progress plain"
        )
        tmux.wait_for(r"^/work \$ ?$")
        for line in (
            "ls /tmp",
            "cat /tmp/result /run/secrets/token; echo",
            'echo "$FLAVOUR as $(whoami) on $TERM"; test -t 0 && stty size',
        ):
            before = tmux.text().count("/work $")
            tmux.type(line)
            tmux.wait_for(rf"(?s)\A(.*/work \$){{{before + 1}}}\s*\Z")
        tmux.type("exit")
        tmux.wait_for(r"^\$ ?$\n*\Z")
        tmux.type('echo "ended with $?"')
        shown = tmux.wait_for(r"^ended with")
    assert_matches(shown.replace(sys.executable, "PYTHON"), SESSION)


def assert_matches(shown: str, expected: str) -> None:
    """``(...)`` stands for anything."""
    pattern = re.escape(expected).replace(re.escape("(...)"), ".*")
    assert re.fullmatch(pattern, shown, re.DOTALL), shown


def test_the_terminals_size_is_followed_and_keys_go_to_the_shell(
    project: Path, environ: dict[str, str]
) -> None:
    with tmux_session(project, environ) as tmux:
        tmux.type(f"{sys.executable} -m pybuildkit debug shell . --target good")
        tmux.wait_for(r"^/work # ?$")
        tmux.type("stty size")
        tmux.wait_for(r"^40 100$")
        tmux.resize(132, 50)
        tmux.type("sleep 0.5; stty size; sleep 600")
        tmux.wait_for(r"^50 132$")
        tmux.press("C-c")
        tmux.type('echo "interrupted: $?"')
        tmux.wait_for(r"^interrupted: 130$")
        tmux.press("C-d")
        tmux.wait_for(r"^\$ ?$\n*\Z")
        tmux.type('echo "code $?"')
        tmux.wait_for(r"^code 0$")


# --- how it ends ------------------------------------------------------------------------------------------


class Terminal:
    """The command on a pseudo terminal, which is its controlling one."""

    def __init__(self, project: Path, environ: dict[str, str]) -> None:
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        command = [
            "setsid",
            "-c",
            "-w",
            sys.executable,
            "-m",
            "pybuildkit",
            "debug",
            "shell",
            ".",
            "--target",
            "bad",
        ]
        command += ["--secret", "id=token,env=TOKEN"]
        self.process = subprocess.Popen(
            command,
            cwd=project,
            env={**os.environ, **environ, "TERM": "dumb"},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
        )
        self.shown = b""

    def read_until(self, text: bytes) -> None:
        os.set_blocking(self.master, False)
        deadline = time.monotonic() + 30
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown.decode()
            try:
                self.shown += os.read(self.master, 65536)
            except BlockingIOError:
                time.sleep(0.02)

    def end(self, timeout: float = 20) -> int:
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown.decode()
            try:
                self.shown += os.read(self.master, 65536)
            except BlockingIOError:
                time.sleep(0.02)
        return self.process.returncode

    @property
    def pid(self) -> int:
        """Of the command itself: setsid waits for it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else self.process.pid

    def close(self) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(project: Path, environ: dict[str, str]) -> Generator[Terminal]:
    if shutil.which("setsid") is None:
        pytest.skip("needs setsid")
    terminal = Terminal(project, environ)
    yield terminal
    terminal.close()


def test_the_terminal_is_as_it_was_when_the_shell_has_ended(terminal: Terminal) -> None:
    terminal.read_until(b"/work $ ")
    assert termios.tcgetattr(terminal.slave) != terminal.before, "raw meanwhile"
    os.write(terminal.master, b"exit 7\r")
    assert terminal.end() == 1, "the build had failed"
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_the_terminal_is_as_it_was_when_the_command_is_stopped(terminal: Terminal) -> None:
    terminal.read_until(b"/work $ ")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == 143
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_a_terminal_that_is_closed_ends_it(terminal: Terminal) -> None:
    terminal.read_until(b"/work $ ")
    pid = terminal.pid
    os.kill(pid, signal.SIGHUP)
    assert terminal.end() != 0


# --- in scripts -------------------------------------------------------------------------------------------

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(project: Path, environ: dict[str, str]) -> Run:
    def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pybuildkit", "debug", "shell", ".", "--progress=none", *words]
        return subprocess.run(
            [*command, "--secret", "id=token,env=TOKEN"],
            cwd=project,
            env={**os.environ, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_a_command_in_the_failed_step(run: Run) -> None:
    done = run("--target=bad", "--command", "cat /tmp/result; whoami; echo oops >&2; exit 9")
    assert (done.returncode, done.stdout) == (1, "half\nnobody\n")
    assert "cannot go on" in done.stderr
    assert 'error: failed to solve: process "/bin/sh -c echo half' in done.stderr
    assert done.stderr.endswith("oops\n")
    assert "leave it with" not in done.stderr


def test_as_it_was_before_and_as_root(run: Run) -> None:
    done = run("--target=bad", "--before", "--root", "--command", "ls /tmp; whoami")
    assert (done.returncode, done.stdout) == (1, "root\n")


def test_a_script_on_standard_input_in_the_result(run: Run) -> None:
    done = run("--target=good", stdin='cat result\necho "$FLAVOUR"\npwd\nexit 4\n')
    assert (done.returncode, done.stdout) == (4, "whole\nvanilla\n/work\n")
    assert "the build is good" in done.stderr


def test_much_output_comes_whole(run: Run) -> None:
    done = run("--target=good", "--command", "seq 1 200000")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "200000"
    assert len(done.stdout.splitlines()) == 200000


def test_no_shell_when_only_failures_are_of_interest(run: Run) -> None:
    done = run("--target=good", "--on-error", "--command", "echo never")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_copy_that_failed_shows_both_sides(run: Run) -> None:
    done = run("--target=missing", "--command", "pwd; ls /mnt/source; echo $FLAVOUR")
    assert (done.returncode, done.stdout) == (1, "/work\nDockerfile\nvanilla\n")
    assert "a shell in [missing 1/1] COPY nothere" in done.stderr


def test_a_result_without_a_shell_says_so(run: Run) -> None:
    done = run("--target=empty", "--command", "true")
    assert done.returncode != 0
    assert "/bin/sh" in done.stderr


def test_an_error_of_no_step_opens_no_shell(run: Run, project: Path) -> None:
    (project / "Dockerfile").write_text("FROM busybox\nRAN true\n")
    done = run("--command", "echo never")
    assert (done.returncode, done.stdout) == (1, "")
    assert ">>> RAN true" in done.stderr
    assert "no shell: the error names no step that failed" in done.stderr


def test_the_builds_record_says_that_it_failed(run: Run, buildkitd: BuildkitdService, project: Path) -> None:
    mark = f"mark{time.time_ns()}"
    (project / "Dockerfile").write_text(f"FROM busybox\nRUN exit 5; {mark}\n")
    assert run("--command", "true").returncode == 1
    with Client(buildkitd.address) as client:
        errors = [record.error.message for record in client.history.list() if record.error is not None]
    assert any(mark in message for message in errors)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output=type=local,dest=x"], "--output does not go with debug shell"),
        (["--tag=x"], "--tag does not go with debug shell"),
        (["--check"], "--call and --check do not go with debug shell"),
        (["--file=-"], "--file - reads standard input, which the shell needs"),
        (["--target=good", "--platform=linux/amd64,linux/arm64"], "name one with --platform"),
        (["--no-such-flag"], "unrecognized arguments"),
    ],
)
def test_what_does_not_go_together(run: Run, words: list[str], message: str) -> None:
    done = run(*words)
    assert done.returncode in (1, 2)
    assert message in done.stderr
