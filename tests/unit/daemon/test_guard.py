"""The guard, with plain programs as its daemon; its namespaces are tested with the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest

from pybuildkit.daemon.guarded import DaemonLog, Guarded
from pybuildkit.errors import DaemonError

ROOT = Path(__file__).parents[3]

Start = Callable[..., Guarded]


@pytest.fixture
def start() -> Generator[Start]:
    started: list[Guarded] = []

    def start(argv: Sequence[str], *, grace: float = 5.0, remove: Sequence[Path] = ()) -> Guarded:
        guarded = Guarded(
            argv, environ=dict(os.environ), log=DaemonLog(None), isolate=False, remove=remove, grace=grace
        )
        started.append(guarded)
        return guarded

    yield start
    for guarded in started:
        guarded.stop()
        guarded.log.close()


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def child_of(pid: int) -> int:
    """The daemon of a guard, once it is there."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    until(lambda: path.read_text().split())
    return int(path.read_text().split()[0])


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_stop_ends_it_and_removes_what_was_said(start: Start, tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    (folder / "below").mkdir(parents=True)
    file.touch()
    guarded = start(["/bin/sleep", "60"], remove=[folder, file, tmp_path / "never made"])
    pid = child_of(guarded.pid)
    assert guarded.alive
    assert os.getsid(guarded.pid) == guarded.pid, "Ctrl-C goes to the terminal's session"
    guarded.stop()
    assert guarded.code == 128 + signal.SIGTERM
    assert gone(pid)
    assert list(tmp_path.iterdir()) == []
    guarded.stop()
    assert guarded.log.tail() == ""


def test_a_stop_at_once_is_not_lost(start: Start) -> None:
    for _ in range(10):
        guarded = start(["/bin/sleep", "60"], grace=30)
        child_of(guarded.pid)
        began = time.monotonic()
        guarded.stop()
        assert time.monotonic() - began < 10
        assert guarded.code == 128 + signal.SIGTERM


def test_a_deaf_daemon_is_killed(start: Start, tmp_path: Path) -> None:
    script = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
    guarded = start(["/bin/sh", "-c", script], grace=0.3, remove=[tmp_path / "x"])
    (tmp_path / "x").touch()
    until(guarded.log.tail)
    guarded.stop()
    assert guarded.code == 128 + signal.SIGKILL
    assert "the daemon did not end within 0.3 s; killing it" in guarded.log.tail()
    assert not (tmp_path / "x").exists()


def test_an_end_of_its_own(start: Start, tmp_path: Path) -> None:
    guarded = start(["/bin/sh", "-c", "echo out; echo err >&2; exit 7"], remove=[tmp_path / "x"])
    (tmp_path / "x").touch()
    until(lambda: not guarded.alive)
    assert guarded.code == 7
    assert guarded.log.tail() == "out\nerr\n"
    assert not (tmp_path / "x").exists()


def test_a_daemon_that_can_not_be_executed(start: Start) -> None:
    guarded = start(["/nowhere/buildkitd"])
    until(lambda: not guarded.alive)
    assert guarded.code == 121
    assert "No such file or directory" in guarded.log.tail()


def test_signals_and_input_are_as_new(start: Start) -> None:
    """An ignored signal would stay ignored in every container below."""
    script = (
        "import signal, sys; print([s for s in signal.Signals if signal.getsignal(s) is signal.SIG_IGN]); "
    )
    guarded = start(
        [sys.executable, "-c", script + "print(repr(sys.stdin.read())); print(signal.pthread_sigmask(0, []))"]
    )
    until(lambda: not guarded.alive)
    # Python itself ignores SIGPIPE and SIGXFSZ.
    assert guarded.log.tail() == "[<Signals.SIGPIPE: 13>, <Signals.SIGXFSZ: 25>]\n''\nset()\n"


def test_sigterm_to_the_guard_stops_the_daemon(start: Start) -> None:
    guarded = start(["/bin/sleep", "60"])
    pid = child_of(guarded.pid)
    os.kill(guarded.pid, signal.SIGINT)
    os.kill(guarded.pid, signal.SIGHUP)
    time.sleep(0.05)
    assert guarded.alive
    os.kill(guarded.pid, signal.SIGTERM)
    until(lambda: not guarded.alive)
    assert gone(pid)


def test_a_killed_guard_takes_the_daemon_along(start: Start) -> None:
    guarded = start(["/bin/sleep", "60"])
    pid = child_of(guarded.pid)
    os.kill(guarded.pid, signal.SIGKILL)
    until(lambda: gone(pid))


PARENT = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from pybuildkit.daemon.guarded import DaemonLog, Guarded
guarded = Guarded(["/bin/sleep", "60"], environ={{}}, log=DaemonLog(None), isolate=False,
                  remove=[Path({folder!r})], grace=5)
if {fork}:
    if os.fork() == 0:  # a child that inherits the pipe to the guard, and outlives us
        time.sleep(60)
        os._exit(0)
print(guarded.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("fork", [False, True], ids=["alone", "with a forked child"])
def test_a_killed_parent(tmp_path: Path, fork: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    script = PARENT.format(root=str(ROOT), folder=str(folder), fork=fork)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        guard = int(parent.stdout.readline())
        pid = child_of(guard)
        parent.kill()
        until(lambda: gone(pid) and gone(guard))
        assert not folder.exists()
        if fork:
            os.killpg(parent.pid, signal.SIGKILL)


def test_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    log = DaemonLog(path)
    log.file.write(b"line\n" * 20_000)
    log.file.flush()
    tail = log.tail()
    assert set(tail.split("\n")) == {"line", ""}
    assert 65_000 < len(tail) <= 65_536
    log.close()
    assert path.read_text().startswith("old\nline\n")
    with pytest.raises(DaemonError, match=r"log '/nowhere/x' can not be opened"):
        DaemonLog(Path("/nowhere/x"))


def test_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    log = DaemonLog(None)
    with pytest.raises(DaemonError, match="guard can not be started by '/nowhere/python'"):
        Guarded(["/bin/true"], environ={}, log=log, grace=1)
    log.close()
