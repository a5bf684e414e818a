"""The session with a real daemon, over both carriers, driven by raw solves: nothing of the client above it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from pybuildkit.control.solve import SOLVE, SolveRequest
from pybuildkit.daemon import Buildkitd
from pybuildkit.errors import ConnectionLost, RPCError, SessionError
from pybuildkit.fsutil.directory import Directory
from pybuildkit.rpc.aio import AioChannel
from pybuildkit.rpc.channel import Channel
from pybuildkit.rpc.h2 import H2Channel
from pybuildkit.session.calls import Call
from pybuildkit.session.carrier import CarrierFactory
from pybuildkit.session.filesync import FileSync
from pybuildkit.session.secrets import SecretsService
from pybuildkit.session.session import Session, new_id
from pybuildkit.session.socketcarrier import on_endpoint
from pybuildkit.session.stubcarrier import on_channel
from pybuildkit.testing.service import BuildkitdOptions, BuildkitdService
from pybuildkit.transport import dial
from tests.support.fakedaemon import serve_machine
from tests.support.rawgraph import RawGraph

pytestmark = pytest.mark.integration


class Way:
    """A channel for solves, and a way to carry sessions."""

    def __init__(self, channel: Channel, carrier: CarrierFactory) -> None:
        self.carrier = carrier
        # In a list, to be let go of: pytest keeps this object longer than grpc's may live.
        self.channels = [channel]

    async def solve(self, session: Session, graph: RawGraph, result: str) -> None:
        request = SolveRequest(new_id(), session.id, graph.encode(result))
        await self.channels[0].unary(SOLVE, request.encode())


@asynccontextmanager
async def way_to(address: str, kind: str) -> AsyncIterator[Way]:
    async with dial(address) as endpoint:
        channel: Channel = H2Channel(endpoint)
        if kind == "stub":
            channel = AioChannel(endpoint.target, address=address, authority=endpoint.authority)
        way = Way(channel, on_endpoint(endpoint) if kind == "own connection" else on_channel(channel))
        yield way
        way.channels.clear()
        del way.carrier
        await channel.aclose()


@pytest.fixture(params=["stub", "shared connection", "own connection"])
async def way(request: pytest.FixtureRequest, buildkitd: BuildkitdService) -> AsyncIterator[Way]:
    async with way_to(buildkitd.address, request.param) as one:
        yield one


async def token() -> bytes:
    return b"hunter2"


def needs_secret(script: str, name: str = "token") -> tuple[RawGraph, str]:
    graph = RawGraph()
    return graph, graph.shell(graph.busybox(), script, secrets=(name,))


async def test_a_secret_reaches_the_build(way: Way) -> None:
    """S2, S3, S86."""
    session = Session([SecretsService({"token": token})])
    graph, result = needs_secret('test "$(cat /run/secrets/token)" = hunter2')
    async with session.open(way.carrier) as live:
        await way.solve(session, graph, result)
    assert live.error is None


async def test_a_missing_secret_is_told_and_remembered(way: Way) -> None:
    """S86: the daemon answers with its own text; we know which id it was."""
    secrets = SecretsService({})
    session = Session([secrets])
    graph, result = needs_secret("true", "absent")
    with pytest.raises(RPCError, match="absent: not found"):
        async with session.open(way.carrier):
            await way.solve(session, graph, result)
    assert secrets.missing == ("absent",)


async def test_what_is_not_announced_is_not_asked_for(way: Way) -> None:
    """S3: the session has no secrets at all."""
    session = Session()
    graph, result = needs_secret("true")
    with pytest.raises(RPCError, match=r"no sessions|not found"):
        async with session.open(way.carrier):
            await way.solve(session, graph, result)


async def test_one_session_for_several_solves_at_once(way: Way) -> None:
    """S18, S20."""
    asked = 0

    async def slow() -> bytes:
        nonlocal asked
        asked += 1
        await anyio.sleep(0.1)
        return b"hunter2"

    session = Session([SecretsService({"token": slow})])
    async with session.open(way.carrier), anyio.create_task_group() as tasks:
        for number in range(8):
            graph, result = needs_secret(f'test "$(cat /run/secrets/token)" = hunter2 && : {number}')
            tasks.start_soon(way.solve, session, graph, result)
    assert asked == 8


async def test_closing_takes_no_time(way: Way) -> None:
    """S12: the daemon ends its side when ours has ended."""
    session = Session()
    for _ in range(3):
        async with session.open(way.carrier):
            graph = RawGraph()
            await way.solve(session, graph, graph.busybox())
            started = time.monotonic()
        assert time.monotonic() - started < 1


@pytest.mark.slow
async def test_a_session_lives_as_long_as_it_is_needed(way: Way) -> None:
    """T6: without health checks answered the daemon drops it after ten seconds."""
    session = Session([SecretsService({"token": token})])
    graph, result = needs_secret("sleep 12")
    async with session.open(way.carrier):
        await way.solve(session, graph, result)
        graph, result = needs_secret("true # and again")
        await way.solve(session, graph, result)


def big_folder(tmp_path: Path) -> Path:
    """400 MB."""
    folder = tmp_path / "big"
    folder.mkdir()
    with (folder / "file").open("wb") as file:
        file.truncate(400 << 20)
    return folder


async def test_health_is_answered_while_a_transfer_runs_at_full_speed(way: Way, tmp_path: Path) -> None:
    """T6, S9, S10: the daemon waits one second for each answer, and drops the session at the first miss."""
    folder = Directory(big_folder(tmp_path))
    session = Session([FileSync(lambda name: folder)], health_timeout=1)
    started = time.monotonic()
    async with session.open(way.carrier) as live:
        # Under a new name each time: the daemon has nothing to compare with.
        while time.monotonic() - started < 4:
            graph = RawGraph()
            await way.solve(session, graph, graph.local(f"big-{new_id()}"))
    assert live.error is None


async def test_a_stalled_event_loop_does_not_stall_a_connection_of_its_own(
    buildkitd: BuildkitdService,
) -> None:
    """Session-speed, point 3: what the user's code does in the loop does not matter to the session's thread."""
    session = Session(health_timeout=1)
    graph = RawGraph()
    result = graph.shell(graph.busybox(), "sleep 4")
    async with (
        way_to(buildkitd.address, "own connection") as way,
        session.open(way.carrier),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(way.solve, session, graph, result)
        await anyio.sleep(0.5)
        time.sleep(3)  # noqa: ASYNC251 - on purpose


async def test_a_directory_from_another_session(way: Way, tmp_path: Path) -> None:
    """S19: a source may name the session that has it."""
    (tmp_path / "file").write_text("x")
    files = FileSync(lambda name: Directory(tmp_path))
    one, other = Session(), Session([files])
    graph = RawGraph()
    result = graph.local(f"dir-{new_id()}", session=other.id)
    async with one.open(way.carrier), other.open(way.carrier):
        await way.solve(one, graph, result)
    assert len(files.transfers) == 1


@pytest.mark.slow
async def test_a_session_that_is_not_there(way: Way, tmp_path: Path) -> None:
    """S16, S17, T14: waited for for five seconds, then any session of the build is asked; without one it fails."""
    (tmp_path / "file").write_text("x")
    session = Session([FileSync(lambda name: Directory(tmp_path))])
    graph = RawGraph()
    result = graph.local(f"dir-{new_id()}", session="nosuchsession")
    started = time.monotonic()
    async with session.open(way.carrier):
        await way.solve(session, graph, result)
    assert 4 < time.monotonic() - started < 9
    fresh = RawGraph()
    with pytest.raises(RPCError, match="no active session for"):
        await way.solve(Session(), fresh, fresh.local(f"dir-{new_id()}"))


class Stuck:
    """A transfer that blocks the session's thread, as no machine should."""

    def __init__(self, call: Call) -> None:
        time.sleep(3)

    def message(self, data: bytes) -> None:
        pass

    def half_closed(self) -> None:
        pass

    def pull(self) -> bool:
        return False

    def closed(self) -> None:
        pass


async def test_a_session_that_does_not_answer_is_dropped_and_says_so(way: Way) -> None:
    """S9, S10, S14: with a patience of one second. Solve alone would not tell the cause."""
    session = Session([serve_machine("/moby.filesync.v1.FileSync/DiffCopy", Stuck)], health_timeout=1)
    graph = RawGraph()
    result = graph.local(f"stuck-{new_id()}")
    started = time.monotonic()
    with pytest.raises(SessionError, match="the daemon gave up the session"):
        async with session.open(way.carrier):
            await way.solve(session, graph, result)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("kind", ["stub", "own connection"])
async def test_a_daemon_that_dies(
    kind: str, buildkitd_options: BuildkitdOptions, buildkitd: BuildkitdService
) -> None:
    """R18, X1: a named error at once, no hang."""
    if buildkitd.kind != "binary":
        pytest.skip("needs a daemon that may be killed")
    async with Buildkitd(buildkitd_options.binary) as daemon, way_to(daemon.address, kind) as way:
        session = Session([SecretsService({"token": token})])
        graph, result = needs_secret("sleep 60")
        killer = asyncio.get_running_loop().call_later(1, kill, daemon.socket.parent, signal.SIGKILL)
        started = time.monotonic()
        with pytest.raises(ConnectionLost):
            async with session.open(way.carrier):
                await way.solve(session, graph, result)
        assert time.monotonic() - started < 20
        killer.cancel()


@pytest.mark.parametrize("kind", ["stub", "own connection"])
async def test_a_daemon_that_is_told_to_stop_ends_what_it_has_begun(
    kind: str, buildkitd_options: BuildkitdOptions, buildkitd: BuildkitdService
) -> None:
    """Its refusal of new calls must not break the session of the build under way."""
    if buildkitd.kind != "binary":
        pytest.skip("needs a daemon that may be stopped")
    async with Buildkitd(buildkitd_options.binary) as daemon, way_to(daemon.address, kind) as way:
        session = Session([SecretsService({"token": token})])
        graph, result = needs_secret("sleep 2")
        second = graph.shell(result, 'test "$(cat /run/secrets/token)" = hunter2', secrets=("token",))
        stopper = asyncio.get_running_loop().call_later(1, kill, daemon.socket.parent, signal.SIGTERM)
        async with session.open(way.carrier):
            await way.solve(session, graph, second)
        stopper.cancel()


def kill(folder: Path, how: signal.Signals) -> None:
    """Send a signal to the daemon whose configuration is in that folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"buildkitd") and any(str(folder).encode() in word for word in words):
                    os.kill(int(entry.name), how)
