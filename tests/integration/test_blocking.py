"""Builds of the blocking client: by the thread that asks, without an event loop where none is needed; and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

from pybuildkit import Client, Local, SolveStatus, llb
from pybuildkit.daemon import Buildkitd
from pybuildkit.errors import BuildCancelled, BuildKitError, ConfigError, ConnectError, ExecError
from pybuildkit.fsutil import MemoryTree
from pybuildkit.testing.service import BuildkitdService
from tests.conftest import find_tool

pytestmark = pytest.mark.integration

HELLO = MemoryTree({"Dockerfile": "FROM scratch\nCOPY file /\n", "file": "hello"})
SLEEP = MemoryTree({"Dockerfile": "FROM busybox\nRUN echo asleep; sleep 60\n"})


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that records spans builds in an event loop; other tests may have made this process one."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def is_idle(buildkitd: BuildkitdService) -> bool:
    with buildkitd.blocking_client() as client:
        return not client.history.list(active_only=True)


def test_no_event_loop_is_needed(buildkitd: BuildkitdService, tmp_path: Path) -> None:
    """Files both ways, a graph, a frontend, and an error of the daemon's: nothing of asyncio is imported."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    program = f"""
import sys
from pybuildkit import BuildError, Client, Local, llb
with Client({buildkitd.address!r}) as client:
    client.build({str(tmp_path)!r}, outputs=Local({str(tmp_path / "out")!r}))
    client.solve(frontend="dockerfile.v0", locals={{"context": {str(tmp_path)!r}, "dockerfile": {str(tmp_path)!r}}})
    client.solve(llb.scratch().file(llb.mkdir("/a")))
    try:
        client.build({str(tmp_path)!r}, target="nowhere")
    except BuildError as exc:
        assert "nowhere" in str(exc)
    else:
        raise AssertionError
assert {{"asyncio", "anyio._backends", "ssl", "grpc"}}.isdisjoint(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=environment())
    assert (tmp_path / "out" / "Dockerfile").exists()


def test_coroutines_run_in_one_event_loop(buildkitd: BuildkitdService) -> None:
    """A secret from a coroutine function, twice: both in the client's loop, which the other calls share."""
    loops: list[asyncio.AbstractEventLoop] = []
    threads: list[int] = []

    async def secret() -> bytes:
        loops.append(asyncio.get_running_loop())
        threads.append(threading.get_ident())
        return b"open sesame"

    with buildkitd.blocking_client() as client:
        tree_text = "FROM busybox\nRUN --mount=type=secret,id=s grep -q 'open sesame' /run/secrets/s\n"
        tree = MemoryTree({"Dockerfile": tree_text})
        for _ in range(2):
            client.build(tree, secrets={"s": secret}, no_cache=True)
        client.info()
        assert len(set(map(id, loops))) == 1
        assert len(loops) == 2
        assert threading.get_ident() not in threads


def test_threads_share_a_client(buildkitd: BuildkitdService, tmp_path: Path) -> None:
    with buildkitd.blocking_client() as client, ThreadPoolExecutor(8) as pool:

        def build(number: int) -> str:
            tree = MemoryTree({"Dockerfile": "FROM scratch\nCOPY file /\n", "file": str(number)})
            client.build(tree, outputs=Local(tmp_path / str(number)))
            return (tmp_path / str(number) / "file").read_text()

        assert list(pool.map(build, range(24))) == [str(number) for number in range(24)]


def test_progress_is_told_in_the_thread_that_builds(buildkitd: BuildkitdService) -> None:
    told: list[SolveStatus] = []
    threads: set[int] = set()

    def listen(status: SolveStatus) -> None:
        told.append(status)
        threads.add(threading.get_ident())

    with buildkitd.blocking_client() as client:
        client.build(HELLO, progress=listen)
    assert threads == {threading.get_ident()}
    assert any("COPY file /" in vertex.name for status in told for vertex in status.vertexes)


def test_what_a_listener_raises_ends_the_build(buildkitd: BuildkitdService) -> None:
    class Enough(Exception):
        pass

    def listen(status: SolveStatus) -> None:
        if any(b"asleep" in log.data for log in status.logs):
            raise Enough

    with buildkitd.blocking_client() as client:
        started = time.monotonic()
        with pytest.raises(Enough):
            client.build(SLEEP, no_cache=True, progress=listen)
        assert time.monotonic() - started < 30
        wait_for(lambda: is_idle(buildkitd))
        client.build(HELLO)


@pytest.mark.parametrize("mode", ["plain", "quiet"])
def test_progress_by_name(
    buildkitd: BuildkitdService, mode: Literal["plain", "quiet"], capsys: pytest.CaptureFixture[str]
) -> None:
    with buildkitd.blocking_client() as client:
        client.build(HELLO, progress=mode)
    assert ("COPY file /" in capsys.readouterr().err) == (mode == "plain")


def test_progress_that_is_neither(buildkitd: BuildkitdService) -> None:
    with buildkitd.blocking_client() as client, pytest.raises(ConfigError, match="progress=3 is neither"):
        client.build(HELLO, progress=3)  # type: ignore[arg-type]


def test_errors_leave_the_connection_to_the_next_build(buildkitd: BuildkitdService) -> None:
    with buildkitd.blocking_client() as client:
        for number in range(6):
            tree = MemoryTree({"Dockerfile": f"FROM busybox\nRUN exit {number + 1}\n"})
            with pytest.raises(ExecError) as caught:
                client.build(tree)
            assert caught.value.exit_code == number + 1
        client.build(HELLO)


def test_ctrl_c_stops_the_build_in_the_daemon(buildkitd: BuildkitdService) -> None:
    """And the client goes on: the connection that was left in the middle is not used again."""
    program = f"""
from pybuildkit import Client
from pybuildkit.fsutil import MemoryTree
sleep = MemoryTree({{"Dockerfile": "FROM busybox\\nRUN echo asleep; sleep 60\\n"}})
hello = MemoryTree({{"Dockerfile": "FROM scratch\\nCOPY file /\\n", "file": "hello"}})
with Client({buildkitd.address!r}) as client:
    def listen(status):
        if any(b"asleep" in log.data for log in status.logs):
            print("asleep", flush=True)
    try:
        client.build(sleep, no_cache=True, progress=listen)
    except KeyboardInterrupt:
        client.build(hello)
        print("went on", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n"
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "went on\n"
    assert process.returncode == 0
    assert time.monotonic() - started < 15
    wait_for(lambda: is_idle(buildkitd))


def test_closing_ends_builds_of_other_threads(buildkitd: BuildkitdService) -> None:
    asleep = threading.Event()
    errors: list[BaseException] = []

    def listen(status: SolveStatus) -> None:
        if any(b"asleep" in log.data for log in status.logs):
            asleep.set()

    client = buildkitd.blocking_client()

    def build() -> None:
        try:
            client.build(SLEEP, no_cache=True, progress=listen)
        except BuildKitError as exc:
            errors.append(exc)

    with client:
        thread = threading.Thread(target=build)
        thread.start()
        assert asleep.wait(30)
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(errors[0], BuildCancelled)
    wait_for(lambda: is_idle(buildkitd))
    with pytest.raises(ConfigError, match="not connected"):
        client.build(HELLO)
    with client:  # and it can be opened again
        client.build(HELLO)


def test_a_fork_does_not_share_connections(buildkitd: BuildkitdService) -> None:
    """Parent and child build at the same time; what needs the parent's event loop says so."""
    program = f"""
import os, sys, threading
from pybuildkit import Client, ConfigError
from pybuildkit.fsutil import MemoryTree
def build(client, word):
    for number in range(10):
        client.build(MemoryTree({{"Dockerfile": "FROM scratch\\nCOPY f /\\n", "f": word + str(number)}}))
client = Client({buildkitd.address!r})
client.__enter__()
build(client, "before")
client.info()
child = os.fork()
build(client, "child" if child == 0 else "parent")
if child == 0:
    try:
        client.info()
    except ConfigError as exc:
        assert "fork" in str(exc)
        os._exit(7)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
build(client, "after")
client.info()
client.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=environment(), timeout=60)


def test_a_daemon_that_was_started_again_is_found(tmp_path: Path) -> None:
    binary = find_tool("buildkitd")
    if binary is None:
        pytest.skip("buildkitd is not there; run 'make tools'")
    socket = tmp_path / "socket"
    with Buildkitd(binary=binary, root=tmp_path / "root") as daemon:
        socket.symlink_to(daemon.address.removeprefix("unix://"))
        client = Client(f"unix://{socket}")
        client.__enter__()
        client.build(HELLO)
    try:
        with pytest.raises(ConnectError):
            client.build(HELLO)
        socket.unlink()
        with Buildkitd(binary=binary, root=tmp_path / "root2") as daemon:
            socket.symlink_to(daemon.address.removeprefix("unix://"))
            client.build(HELLO)
    finally:
        client.close()


def test_what_needs_an_event_loop_gets_one(buildkitd: BuildkitdService, tmp_path: Path) -> None:
    """A shared session, inputs, images to be looked up, an output that is chosen late: the same client does them all."""
    with buildkitd.blocking_client() as client:
        with client.session(locals={"context": HELLO}) as session:
            client.build(HELLO, session=session)
        client.solve(
            frontend="dockerfile.v0",
            inputs={
                "dockerfile": llb.scratch().file(llb.mkfile("/Dockerfile", b"FROM scratch\nLABEL a=b\n"))
            },
        )
        client.solve(llb.image("busybox", resolve=True).run("true"))
        client.build(HELLO, late_outputs=lambda _: [Local(tmp_path / "late")])
        assert (tmp_path / "late" / "file").read_text() == "hello"


def test_a_chosen_carrier_is_used(buildkitd: BuildkitdService, tmp_path: Path) -> None:
    for own in (True, False):
        with buildkitd.blocking_client(own_session=own) as client:
            assert client._builds is None
            client.build(HELLO, outputs=Local(tmp_path / str(own)))
        assert (tmp_path / str(own) / "file").read_text() == "hello"
