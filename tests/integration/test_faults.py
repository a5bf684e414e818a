"""What happens to the daemon, or to the way to it, in whatever phase: it ends within seconds, and leaves nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient, llb
from pybuildkit.daemon import Buildkitd
from pybuildkit.errors import (
    BuildCancelled,
    ConnectError,
    ConnectionLost,
    SessionError,
)
from pybuildkit.session import watch
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdOptions
from tests.support.daemons import fresh_daemon
from tests.support.phases import (
    AT_ONCE,
    PHASES,
    in_phase,
    project,
    send_signal,
    started,
)
from tests.support.proxy import Proxy, proxy

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
def hub(registry: Registry) -> Generator[Proxy]:
    """A registry that can be slow, silent or gone."""
    with proxy(registry.host) as one:
        yield one


@pytest.fixture
async def behind(buildkitd_options: BuildkitdOptions) -> AsyncIterator[tuple[AsyncClient, Buildkitd, Proxy]]:
    """A daemon, the slow way to it, and a client that takes it."""
    async with fresh_daemon(buildkitd_options, stop_grace=0.5) as (_, daemon):
        with proxy(daemon.socket, listen=daemon.socket.parent / "proxy") as way:
            async with AsyncClient(way.address) as client:
                yield client, daemon, way


@pytest.mark.parametrize("name", PHASES)
async def test_cancel(
    behind: tuple[AsyncClient, Buildkitd, Proxy], hub: Proxy, tmp_path: Path, name: str
) -> None:
    """R15: the caller is free at once, the daemon soon, and no file is left half-written."""
    client, daemon, way = behind
    async with in_phase(name, client, way, hub, tmp_path) as build:
        started = time.monotonic()
        build.cancel()
        with anyio.fail_after(AT_ONCE), pytest.raises(BuildCancelled):
            await build.result()
    assert time.monotonic() - started < AT_ONCE
    way.slow_down(0)
    assert left_over(tmp_path / "out") == []
    if name == "import of a cache":
        hub.speak()  # this daemon waits for the registry all the same
    async with AsyncClient(daemon.address) as other:
        with anyio.fail_after(AT_ONCE):
            while await other.history.list(filters="status==running"):  # noqa: ASYNC110 - the history tells ends only
                await anyio.sleep(0.05)


def left_over(folder: Path) -> list[str]:
    """Files below a folder; a layout that was begun may have its blobs, which the next export goes on from."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and "layout" not in path.parts]


@pytest.mark.parametrize(
    "name",
    ["transfer of the context", "step", "secret", "export of a directory", "export of a layout", "push"],
)
async def test_a_daemon_that_is_killed(
    behind: tuple[AsyncClient, Buildkitd, Proxy], hub: Proxy, tmp_path: Path, name: str
) -> None:
    """R18, X1, X5."""
    client, daemon, way = behind
    async with in_phase(name, client, way, hub, tmp_path) as build:
        await run_sync(send_signal, daemon, signal.SIGKILL)
        way.slow_down(0)
        with anyio.fail_after(AT_ONCE), pytest.raises(ConnectionLost, match="still running") as caught:
            await build.result()
    assert way.address in str(caught.value)
    assert left_over(tmp_path / "out") == []
    with anyio.fail_after(AT_ONCE), pytest.raises((ConnectError, ConnectionLost)):
        await client.info()


async def test_a_daemon_that_is_restarted(buildkitd_options: BuildkitdOptions, tmp_path: Path) -> None:
    """R18: the client of before goes on with the daemon of after, and with its cache."""
    address = f"unix://{tmp_path}/buildkitd.sock"
    context = project(tmp_path / "context", "FROM busybox\nRUN head -c 16 /dev/urandom > /x\n")
    where: dict[str, Any] = {"address": address, "root": tmp_path / "root"}
    async with AsyncExitStack() as stack:
        _, daemon = await stack.enter_async_context(fresh_daemon(buildkitd_options, **where))
        client = await stack.enter_async_context(AsyncClient(address))
        await client.build(context)
        async with client.stream(project(tmp_path / "long", "FROM busybox\nRUN sleep 1234\n")) as build:
            await started(build, "[2/2] RUN")
            await run_sync(send_signal, daemon, signal.SIGKILL)
            with anyio.fail_after(AT_ONCE), pytest.raises(ConnectionLost):
                await build.result()
        await daemon.astop()
        async with fresh_daemon(buildkitd_options, **where):
            with anyio.fail_after(10):
                await client.build(context)


async def test_a_daemon_that_is_stopped(buildkitd_options: BuildkitdOptions, tmp_path: Path) -> None:
    """A daemon that is told to stop waits for builds, and then is gone: no hang, whichever it is."""
    context = project(tmp_path / "context", "FROM busybox\nRUN sleep 1234\n")
    async with (
        fresh_daemon(buildkitd_options, stop_grace=0.5) as (client, daemon),
        client.stream(context) as build,
    ):
        await started(build, "[2/2] RUN")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.astop)
            with (
                anyio.fail_after(10),
                pytest.raises((ConnectionLost, BuildCancelled, SessionError)) as caught,
            ):
                await build.result()
    assert "daemon" in str(caught.value)


@pytest.mark.parametrize("at", ["a solve", "the caller's own work"])
async def test_a_daemon_that_is_killed_under_a_gateway_build(
    buildkitd_options: BuildkitdOptions, tmp_path: Path, at: str
) -> None:
    """The block ends, even while it does something else."""
    slow = llb.image("busybox").run(f"sleep 1234 # {tmp_path}")
    async with (
        fresh_daemon(buildkitd_options, stop_grace=0.5) as (client, daemon),
        anyio.create_task_group() as tasks,
    ):

        async def kill() -> None:
            await anyio.sleep(1)
            await run_sync(send_signal, daemon, signal.SIGKILL)

        tasks.start_soon(kill)
        with anyio.fail_after(1 + AT_ONCE), pytest.raises(ConnectionLost, match="still running"):  # noqa: PT012
            async with client.gateway() as gateway:
                if at == "a solve":
                    await gateway.solve(slow, evaluate=True)
                else:
                    await anyio.sleep_forever()


# --- the way to the daemon ---


@pytest.mark.parametrize(
    "options", [{"own_session": True}, {"own_session": False}, {"transport": "grpc"}], ids=str
)
async def test_a_connection_that_is_cut(
    buildkitd_options: BuildkitdOptions, tmp_path: Path, options: dict[str, Any]
) -> None:
    context = project(tmp_path / "context", "FROM busybox\nRUN sleep 1234\n")
    async with fresh_daemon(buildkitd_options, stop_grace=0.5) as (_, daemon):
        with proxy(daemon.socket) as way:
            async with (
                AsyncClient(way.address, **options) as client,
                client.stream(context) as build,
            ):
                await started(build, "[2/2] RUN")
                way.cut()
                with anyio.fail_after(AT_ONCE), pytest.raises(ConnectionLost, match="tcp://"):
                    await build.result()


async def test_only_the_session_is_lost(
    behind: tuple[AsyncClient, Buildkitd, Proxy], hub: Proxy, tmp_path: Path
) -> None:
    """S15: nothing brings it back; the error says that it was the session."""
    client, _, way = behind
    async with in_phase("step", client, way, hub, tmp_path) as build:
        assert way.connections == 2
        way.cut(1)
        with anyio.fail_after(AT_ONCE), pytest.raises(ConnectionLost, match="session's connection"):
            await build.result()
    assert (await client.info()).version


@contextmanager
def silent(how: str, daemon: Buildkitd, way: Proxy) -> Iterator[None]:
    """The daemon is not heard any more, and no connection says so."""
    if how == "proxy":
        way.fall_silent()
        yield
        way.speak()
        return
    send_signal(daemon, signal.SIGSTOP)
    try:
        yield
    finally:
        send_signal(daemon, signal.SIGCONT)


@pytest.mark.parametrize("how", ["proxy", "frozen"])
async def test_a_daemon_that_is_not_heard_any_more(
    behind: tuple[AsyncClient, Buildkitd, Proxy],
    hub: Proxy,
    tmp_path: Path,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """X2: it would ask for health every five seconds."""
    monkeypatch.setattr(watch, "BEAT", 1.0)
    monkeypatch.setattr(watch, "SILENCE", 7.0)
    client, daemon, way = behind
    async with in_phase("step", client, way, hub, tmp_path) as build:
        with (
            silent(how, daemon, way),
            anyio.fail_after(14),
            pytest.raises(ConnectionLost, match="nothing was heard"),
        ):
            await build.result()
