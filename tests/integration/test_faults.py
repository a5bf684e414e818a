"""What goes wrong around a build: each ends within seconds, leaves nothing, and its error names the cause."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient, llb
from pybuildkit.build import Build
from pybuildkit.caches import GHACache, RegistryCache
from pybuildkit.daemon import Buildkitd
from pybuildkit.errors import (
    BuildCancelled,
    BuildError,
    ConnectError,
    ConnectionLost,
    ExecError,
    SessionError,
)
from pybuildkit.events import VertexStarted
from pybuildkit.outputs import OCI, Image, Local, Tar
from pybuildkit.session import watch
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdOptions
from tests.support.daemons import fresh_daemon
from tests.support.ghacache import runtime_token
from tests.support.proxy import Proxy, proxy

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

AT_ONCE = 5.0
"""Seconds for what this side knows at once; on an idle machine it takes a tenth of that."""

BIG = 20_000_000
SLOW = 400_000
"""Bytes, and bytes a second, that hold a transfer up for long enough."""


@pytest.fixture
def hub(registry: Registry) -> Generator[Proxy]:
    """A registry that can be slow, silent or gone."""
    with proxy(registry.host) as one:
        yield one


def host(of: Proxy) -> str:
    return of.address.removeprefix("tcp://")


def project(folder: Path, dockerfile: str, *, big: bool = False) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"{dockerfile}# {folder}\n")
    if big:
        (folder / "big").write_bytes(os.urandom(BIG))
    return folder


# --- phases: what a build can be at when something happens ---


@dataclass(frozen=True)
class Phase:
    """A build that stays in one phase for long.

    Attributes:
        vertex: begins the name of the vertex that is at work then.
        options: of the build.
        slow: what holds it up: the way to the daemon, the registry, or the build itself.
    """

    dockerfile: str
    vertex: str
    slow: str
    options: Callable[[Path, str], dict[str, Any]] = field(default=lambda _out, _hub: {})
    big: bool = False


async def never() -> bytes:
    await anyio.sleep_forever()
    raise AssertionError


MAKE_BIG = (
    f"FROM busybox AS work\nRUN head -c {BIG} /dev/urandom > /big\nFROM scratch\nCOPY --from=work /big /\n"
)

PHASES = {
    "transfer of the context": Phase(
        "FROM scratch\nCOPY big /\n", "[internal] load build context", "way", big=True
    ),
    "lookup of an image": Phase("FROM {hub}/library/busybox\n", "[internal] load metadata", "silent hub"),
    "step": Phase("FROM busybox\nRUN sleep 1234\n", "[2/2] RUN", ""),
    "step of a build with hidden credentials": Phase(
        "FROM busybox\nRUN sleep 1234\n",
        "[2/2] RUN",
        "",
        lambda _out, _hub: {"cache_from": GHACache(url="http://127.0.0.1:9", token=runtime_token())},
    ),
    "secret": Phase(
        "FROM busybox\nRUN --mount=type=secret,id=a cat /run/secrets/a\n",
        "[stage-0 2/2] RUN",
        "",
        lambda _out, _hub: {"secrets": {"a": never}},
    ),
    "export of a directory": Phase(
        MAKE_BIG, "exporting to client directory", "way", lambda out, _hub: {"outputs": Local(out / "dir")}
    ),
    "export of a tar": Phase(
        MAKE_BIG, "exporting to client tarball", "way", lambda out, _hub: {"outputs": Tar(out / "tar")}
    ),
    "export of an image": Phase(
        MAKE_BIG, "exporting to oci image format", "way", lambda out, _hub: {"outputs": OCI(out / "oci")}
    ),
    "export of a layout": Phase(
        MAKE_BIG,
        "exporting to oci image format",
        "way",
        lambda out, _hub: {"outputs": OCI(out / "layout", tar=False)},
    ),
    "push": Phase(
        MAKE_BIG,
        "exporting to image",
        "slow hub",
        lambda _out, hub: {"outputs": Image(f"{hub}/faults/pushed:1", push=True, insecure=True)},
    ),
    "import of a cache": Phase(
        "FROM busybox\nRUN true\n",
        "importing cache manifest",
        "silent hub",
        lambda _out, hub: {"cache_from": RegistryCache(f"{hub}/faults/cache:1", insecure=True)},
    ),
    "export of a cache": Phase(
        MAKE_BIG,
        "exporting cache to registry",
        "slow hub",
        lambda _out, hub: {"cache_to": RegistryCache(f"{hub}/faults/cache:2", insecure=True)},
    ),
}


@asynccontextmanager
async def in_phase(
    name: str, client: AsyncClient, way: Proxy, hub: Proxy, folder: Path
) -> AsyncIterator[Build]:
    """A build that is at a phase."""
    phase = PHASES[name]
    context = project(folder / "context", phase.dockerfile.format(hub=host(hub)), big=phase.big)
    out = folder / "out"
    out.mkdir()
    if phase.slow == "silent hub":
        hub.fall_silent()
    elif phase.slow == "slow hub":
        hub.slow_down(SLOW)
    async with client.stream(context, **phase.options(out, host(hub))) as build:
        if phase.slow == "way":
            way.slow_down(SLOW)
        with anyio.fail_after(30):
            async for event in build:
                if isinstance(event, VertexStarted) and event.name.startswith(phase.vertex):
                    break
            else:
                await build.result()
                pytest.fail(f"no vertex began with {phase.vertex!r}")
        await anyio.sleep(0.3)
        assert not build.done
        yield build


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


def send_signal(daemon: Buildkitd, how: signal.Signals) -> None:
    """To the daemon itself, not to the guard around it."""
    sent = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"buildkitd") and str(daemon._running().config).encode() in words:
                    os.kill(int(entry.name), how)
                    sent += 1
    assert sent == 1


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


async def started(build: Build, name: str) -> None:
    """Wait until a vertex is at work."""
    async for event in build:
        if isinstance(event, VertexStarted) and event.name.startswith(name):
            return
    await build.result()


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


@contextmanager
def network(name: str) -> Iterator[str]:
    """A network of its own, as another machine has it; the address there that this machine reaches."""
    number = os.getpid() % 250
    near, far = f"198.18.{number}.1", f"198.18.{number}.2"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    ip("netns", "add", name)
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{near}/30", "dev", name)
        ip("link", "set", name, "up")
        ip("-n", name, "addr", "add", f"{far}/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        yield far
    finally:
        ip("netns", "del", name)


def listening_in(name: str, host: str) -> socket.socket:
    """A TCP socket that is bound in a network; a thread of its own goes there to make it."""

    def make() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{name}") as there:
            assert libc.setns(there.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
        made.append(socket.create_server((host, 0)))

    made: list[socket.socket] = []
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


async def test_a_cable_that_is_pulled(
    buildkitd_options: BuildkitdOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X2, X5: packets go nowhere, and no reset comes back."""
    monkeypatch.setattr(watch, "BEAT", 1.0)
    monkeypatch.setattr(watch, "SILENCE", 7.0)
    name = f"pbkf{os.getpid()}"
    context = project(tmp_path / "context", "FROM busybox\nRUN sleep 1234\n")
    async with fresh_daemon(buildkitd_options, stop_grace=0.5) as (_, daemon):
        with (
            network(name) as host,
            proxy(daemon.socket, listen=await run_sync(listening_in, name, host)) as way,
        ):
            async with AsyncClient(way.address) as client, client.stream(context) as build:
                await started(build, "[2/2] RUN")
                await anyio.run_process(["ip", "link", "set", name, "down"])
                with anyio.fail_after(14), pytest.raises(ConnectionLost, match="nothing was heard"):
                    await build.result()


# --- what the daemon needs ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A folder for a daemon, with 60 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


async def test_a_full_disk(buildkitd_options: BuildkitdOptions, small_disk: Path, tmp_path: Path) -> None:
    """In a step, in a transfer and in an export; and after a prune all is well again."""
    fill = "RUN dd if=/dev/zero of=/big bs=1M count=100\n"
    async with fresh_daemon(buildkitd_options, root=small_disk / "root") as (client, _):

        async def fails(context: Path, **options: Any) -> BuildError:
            with anyio.fail_after(30), pytest.raises(BuildError) as caught:
                await client.build(context, **options)
            assert "disk" in caught.value.remedy
            assert "prune" in caught.value.remedy
            return caught.value

        step = await fails(project(tmp_path / "step", f"FROM busybox\n{fill}"))
        assert isinstance(step, ExecError)
        big = project(tmp_path / "transfer", "FROM scratch\nCOPY huge /\n")
        (big / "huge").write_bytes(bytes(100_000_000))
        await fails(big)
        half = project(tmp_path / "half", "FROM busybox\nRUN head -c 35000000 /dev/urandom > /big\n")
        await client.prune(all=True)
        await client.build(half)
        await fails(half, outputs=OCI(tmp_path / "image.tar"))
        await client.prune(all=True)
        await client.build(project(tmp_path / "small", "FROM busybox\nRUN true\n"))


async def test_a_registry_that_is_down(buildkit: AsyncClient, tmp_path: Path) -> None:
    """X5: what could not be reached, by whom, and where from."""
    pull = project(tmp_path / "pull", "FROM 127.0.0.1:9/a/b\n")
    with anyio.fail_after(30), pytest.raises(BuildError, match=r"127\.0\.0\.1:9.*daemon can not reach it"):
        await buildkit.build(pull)
    context = project(tmp_path / "push", "FROM scratch\nCOPY Dockerfile /\n")
    to = Image("127.0.0.1:9/a/b", push=True, insecure=True)
    with anyio.fail_after(30), pytest.raises(BuildError, match=r"127\.0\.0\.1:9.*daemon can not reach it"):
        await buildkit.build(context, outputs=to)


async def test_a_registry_that_goes_away(buildkit: AsyncClient, hub: Proxy, tmp_path: Path) -> None:
    """In the middle of a push."""
    context = project(tmp_path / "context", MAKE_BIG)
    hub.slow_down(SLOW)
    to = Image(f"{host(hub)}/faults/away:1", push=True, insecure=True)
    async with buildkit.stream(context, outputs=to) as build:
        await started(build, "exporting to image")
        with anyio.fail_after(10):
            while hub.passed < SLOW / 4:  # noqa: ASYNC110 - a proxy tells nobody
                await anyio.sleep(0.02)
        await run_sync(hub.close)
        with anyio.fail_after(60), pytest.raises(BuildError, match=host(hub).replace(".", r"\.")):
            await build.result()


async def test_a_registry_that_is_slow(buildkit: AsyncClient, hub: Proxy, tmp_path: Path) -> None:
    """It takes its time, and that is no error."""
    hub.slow_down(600_000)
    context = project(tmp_path / "context", f"FROM {host(hub)}/library/busybox\n")
    with anyio.fail_after(30):
        await buildkit.build(context, outputs=OCI(tmp_path / "image.tar"))
    assert (tmp_path / "image.tar").stat().st_size > 500_000


async def test_a_registry_that_never_answers(buildkit: AsyncClient, hub: Proxy, tmp_path: Path) -> None:
    """The daemon would wait; the caller need not: any timeout around the call ends it."""
    hub.fall_silent()
    context = project(tmp_path / "context", f"FROM {host(hub)}/library/silent\n")
    began = time.monotonic()
    with anyio.move_on_after(1.0) as scope:
        await buildkit.build(context)
    assert scope.cancelled_caught
    assert time.monotonic() - began < 1.0 + AT_ONCE


# --- several at once ---


async def test_one_ref_for_two_builds(buildkit: AsyncClient, tmp_path: Path) -> None:
    """C15: the second is refused while the first one runs, and the first is none the worse."""
    context = project(tmp_path / "context", "FROM busybox\nRUN sleep 2\n")
    ref = f"ref-{tmp_path.name}-{os.getpid()}"
    async with buildkit.stream(context, ref=ref) as build:
        await started(build, "[2/2] RUN")
        with anyio.fail_after(AT_ONCE), pytest.raises(BuildError, match="another build has this ref"):
            await buildkit.build(context, ref=ref)
        with anyio.fail_after(AT_ONCE), pytest.raises(BuildError, match="another build has this ref"):
            async with buildkit.gateway(ref=ref):
                pytest.fail("two builds have one ref")
        assert (await build.result()).ref == ref
    # The daemon keeps the name for ten seconds more, for whoever still wants to hear of the first one.
    with pytest.raises(BuildError, match="ended ten seconds ago at most"):
        await buildkit.build(context, ref=ref)
