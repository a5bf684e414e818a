"""Builds of ``AsyncClient`` that run in threads: what they leave in the event loop, and how they end."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest

from pybuildkit import AsyncClient, Local
from pybuildkit.errors import BuildKitError, ExecError, SecretNotFound
from pybuildkit.fsutil import MemoryTree
from pybuildkit.testing.service import BuildkitdService

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

HELLO = MemoryTree({"Dockerfile": "FROM scratch\nCOPY file /\n", "file": "hello"})
SLEEP = MemoryTree({"Dockerfile": "FROM busybox\nRUN sleep 60\n"})
SECRET = MemoryTree(
    {"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=s grep -q sesame /run/secrets/s\n"}
)

caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that records spans builds in an event loop; other tests may have made this process one."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)


@pytest.fixture
async def client(buildkitd: BuildkitdService) -> AsyncClient:
    return buildkitd.client()


async def wait_until_idle(client: AsyncClient, seconds: float = 10) -> None:
    with anyio.fail_after(seconds):
        while await client.history.list(active_only=True):  # noqa: ASYNC110
            await anyio.sleep(0.05)


async def until_it_runs(client: AsyncClient) -> None:
    with anyio.fail_after(20):
        while not await client.history.list(active_only=True):  # noqa: ASYNC110
            await anyio.sleep(0.02)
    await anyio.sleep(0.3)


def build_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pybuildkit-build"]


def test_what_is_imported(buildkitd: BuildkitdService, tmp_path: Path) -> None:
    """Nothing of anyio's event loop for a build that calls no coroutine."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    program = f"""
import asyncio, sys
from pybuildkit import AsyncClient
async def main():
    async with AsyncClient({buildkitd.address!r}) as client:
        await client.build({str(tmp_path)!r})
asyncio.run(main())
found = {{"anyio._backends", "pybuildkit.build", "pybuildkit.session.session", "grpc"}} & {{*sys.modules}}
assert not found, found
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


async def test_the_event_loop_goes_on(client: AsyncClient) -> None:
    """Files are read and sent elsewhere: a loop that waited for them would beat once or twice."""
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.002)
            beats += 1

    tree = MemoryTree({"Dockerfile": "FROM scratch\nCOPY . /\n", "file": os.urandom(64 << 20)})
    async with client, anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        await client.build(tree)
        tasks.cancel_scope.cancel()
    assert beats > 10


async def test_coroutines_run_in_the_callers_loop_and_context(client: AsyncClient) -> None:
    loop, seen = asyncio.get_running_loop(), []

    async def secret() -> bytes:
        seen.append((asyncio.get_running_loop() is loop, threading.get_ident(), caller.get()))
        return b"open sesame"

    caller.set("test")
    async with client:
        await client.build(SECRET, secrets={"s": secret}, no_cache=True)
    assert seen == [(True, threading.get_ident(), "test")]
    assert not build_threads()


async def test_errors_come_as_ever(client: AsyncClient) -> None:
    async with client:
        with pytest.raises(ExecError, match="exit code: 3"):
            await client.build(MemoryTree({"Dockerfile": "FROM busybox\nRUN exit 3\n"}))
        with pytest.raises(SecretNotFound):
            await client.build(
                MemoryTree({"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=x,required true\n"})
            )
        await client.build(HELLO)


async def test_many_at_once(client: AsyncClient, tmp_path: Path) -> None:
    async with client, anyio.create_task_group() as tasks:
        for number in range(20):
            tree = MemoryTree({"Dockerfile": "FROM scratch\nCOPY file /\n", "file": str(number)})

            async def build(number: int = number, tree: MemoryTree = tree) -> None:
                await client.build(tree, outputs=Local(tmp_path / str(number)))

            tasks.start_soon(build)
    assert [(tmp_path / str(number) / "file").read_text() for number in range(20)] == [
        str(number) for number in range(20)
    ]
    assert not build_threads()


@pytest.mark.parametrize("how", ["task", "scope"])
async def test_a_cancel_reaches_the_daemon(client: AsyncClient, how: str) -> None:
    async with client:
        started = time.monotonic()
        if how == "task":
            task = asyncio.create_task(client.build(SLEEP, no_cache=True))
            await until_it_runs(client)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: client.build(SLEEP, no_cache=True))
                await until_it_runs(client)
                tasks.cancel_scope.cancel()
        assert time.monotonic() - started < 30
        assert not build_threads()
        await wait_until_idle(client)
        await client.build(HELLO)


@pytest.mark.parametrize("delay", [0, 0.0005, 0.002, 0.005, 0.01, 0.02])
async def test_a_cancel_at_any_time(client: AsyncClient, delay: float) -> None:
    """Before the thread has begun, while it plans, connects, or sends."""
    async with client:
        task = asyncio.create_task(client.build(SLEEP, no_cache=True))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not build_threads()
        await wait_until_idle(client)


async def test_a_cancel_ends_the_coroutines_first(client: AsyncClient) -> None:
    """A secret that takes its time is cancelled, and has cleaned up, when the build is over."""
    asked, cleaned = asyncio.Event(), False

    async def secret() -> bytes:
        nonlocal cleaned
        asked.set()
        try:
            await asyncio.sleep(60)
        finally:
            cleaned = True
        return b""

    async with client:
        task = asyncio.create_task(client.build(SECRET, secrets={"s": secret}, no_cache=True))
        await asyncio.wait_for(asked.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cleaned
        assert not build_threads()
        await wait_until_idle(client)


async def test_closing_the_client_ends_its_builds(client: AsyncClient, buildkitd: BuildkitdService) -> None:
    async with client:
        task = asyncio.create_task(client.build(SLEEP, no_cache=True))
        await until_it_runs(client)
    with pytest.raises(BuildKitError):
        await task
    async with buildkitd.client() as other:
        await wait_until_idle(other)
