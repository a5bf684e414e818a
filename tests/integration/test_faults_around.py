"""What fails around a build: networks, disks, registries, names. Each ends within seconds, and the error says what."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient
from pybuildkit.errors import (
    BuildError,
    ConnectionLost,
    ExecError,
)
from pybuildkit.outputs import OCI, Image
from pybuildkit.session import watch
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdOptions
from tests.support.daemons import fresh_daemon
from tests.support.phases import (
    AT_ONCE,
    MAKE_BIG,
    SLOW,
    host,
    project,
    started,
)
from tests.support.proxy import Proxy, proxy

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
def hub(registry: Registry) -> Generator[Proxy]:
    """A registry that can be slow, silent or gone."""
    with proxy(registry.host) as one:
        yield one


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
