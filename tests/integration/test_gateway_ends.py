"""How gateway builds end when they do not end well: nothing hangs, nothing is left, the cause is named."""

# ruff: noqa: PT012 - what raises is a whole build
from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.control.solve import SolveRequest
from pybuildkit.daemon import Buildkitd
from pybuildkit.errors import (
    BuildCancelled,
    BuildError,
    ConfigError,
    ConnectionLost,
    ExecError,
    RPCError,
    Unsupported,
)
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway.caps import GatewayCaps
from pybuildkit.outputs import Local
from tests.conftest import find_tool

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

BUSYBOX = llb.image("busybox")


def mark() -> str:
    """A number of seconds that no other process sleeps."""
    return f"{time.time_ns() % 10**9}33"


def running(seconds: str) -> bool:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"sleep\0{seconds}".encode() in (folder / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


async def until_running(seconds: str, wanted: bool = True) -> None:
    with anyio.fail_after(20):
        while await to_thread.run_sync(running, seconds) is not wanted:  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.05)


async def record(buildkit: AsyncClient, ref: str) -> Any:
    return await buildkit.history.get(ref)


class Whim(Exception):
    """The user's own error."""


async def test_an_error_of_the_users_comes_out_as_it_is(buildkit: AsyncClient) -> None:
    """V65: the daemon is told, so that the history says why; the error itself is the one that was raised."""
    whim = Whim("not today")
    with pytest.raises(Whim) as caught:
        async with buildkit.gateway() as gateway:
            await gateway.solve(BUSYBOX)
            raise whim
    assert caught.value is whim
    found = await record(buildkit, gateway.ref)
    assert found.error is not None
    assert "Whim: not today" in found.error.message
    with pytest.raises(ConfigError, match="has failed"):
        await gateway.solve(BUSYBOX)


async def test_a_failed_build_keeps_its_details_in_the_history(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V65: typed details travel back: the vertex, the exit code, the lines."""
    with pytest.raises(ExecError) as caught:
        async with buildkit.gateway() as gateway:
            await gateway.solve(BUSYBOX.run(f": {tmp_path}; exit 6"), evaluate=True)
    assert caught.value.exit_code == 6
    error = await buildkit.history.error(gateway.ref)
    assert error is not None
    kinds = {type(detail).__name__ for detail in error.details}
    assert {"FailedVertex", "ExitMessage", "SourceError", "Solve"} <= kinds


async def test_errors_from_several_tasks(buildkit: AsyncClient, tmp_path: Path) -> None:
    """A task group of the user's makes a group of them; that is what comes out."""
    with pytest.raises(ExceptionGroup) as caught:
        async with buildkit.gateway() as gateway, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: gateway.solve(BUSYBOX.run(f": {tmp_path}; exit 6"), evaluate=True))
    assert caught.group_contains(ExecError)
    found = await record(buildkit, gateway.ref)
    assert "exit code: 6" in found.error.message


async def test_without_finish_nothing_is_exported(buildkit: AsyncClient, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"finish\(\)"):
        async with buildkit.gateway(outputs=Local(tmp_path / "out")) as gateway:
            await gateway.solve(BUSYBOX)
    assert not (tmp_path / "out").exists()
    async with buildkit.gateway() as gateway:  # where nothing is to be exported it is not needed
        await gateway.solve(BUSYBOX)
    assert (await record(buildkit, gateway.ref)).error is None


async def test_cancel_from_inside(buildkit: AsyncClient) -> None:
    seconds = mark()
    with anyio.fail_after(20), pytest.raises(BuildCancelled):
        async with buildkit.gateway() as gateway, anyio.create_task_group() as tasks:

            async def stop() -> None:
                await until_running(seconds)
                gateway.cancel()

            tasks.start_soon(stop)
            await gateway.solve(BUSYBOX.run(f"sleep {seconds}"), evaluate=True)
    await until_running(seconds, wanted=False)


async def test_cancel_from_outside(buildkit: AsyncClient) -> None:
    """The block's task is cancelled: its step is stopped in the daemon."""
    seconds = mark()

    async def build() -> None:
        async with buildkit.gateway() as gateway:
            await gateway.solve(BUSYBOX.run(f"sleep {seconds}"), evaluate=True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(build)
        await until_running(seconds)
        tasks.cancel_scope.cancel()
    await until_running(seconds, wanted=False)


async def test_one_call_can_be_given_up(buildkit: AsyncClient, tmp_path: Path) -> None:
    """A timeout on a solve is the end of that solve only."""
    seconds = mark()
    async with buildkit.gateway() as gateway:
        with anyio.move_on_after(1) as scope:
            await gateway.solve(BUSYBOX.run(f"sleep {seconds}"), evaluate=True)
        assert scope.cancelled_caught
        await until_running(seconds, wanted=False)
        solved = await gateway.solve(BUSYBOX.run(f"echo {tmp_path} > /f"))
        assert await solved.ref.read_file("/f") == f"{tmp_path}\n".encode()


async def test_a_request_that_is_refused_at_once(buildkit: AsyncClient) -> None:
    """The daemon never opens the gateway; the reason is the solve's, and comes at once."""
    with anyio.fail_after(15), pytest.raises(BuildError, match="nonsense"):
        async with buildkit.gateway(outputs="type=nonsense"):
            raise AssertionError("the block must not begin")


async def test_two_builds_of_one_id(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        with anyio.fail_after(15), pytest.raises(BuildError, match="exists"):
            async with buildkit.gateway(ref=gateway.ref):
                await anyio.sleep_forever()  # it may begin: until it is refused, the first one answers


async def test_nobody_opens_the_gateway(buildkit: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """T14: a daemon that never gets ready is given up, with its own words."""
    monkeypatch.setattr("pybuildkit.gateway.build.OPEN_PATIENCE", 0.5)
    encode = SolveRequest.encode

    def another(request: SolveRequest) -> bytes:
        return (
            encode(SolveRequest("someone-else", request.session)) if not request.frontend else encode(request)
        )

    monkeypatch.setattr(SolveRequest, "encode", another)
    with anyio.fail_after(20), pytest.raises(RPCError, match="no such job"):
        async with buildkit.gateway():
            raise AssertionError("the block must not begin")


async def test_what_progress_raises_ends_the_build(buildkit: AsyncClient) -> None:
    def whim(_: object) -> None:
        raise Whim("can not show that")

    with anyio.fail_after(15), pytest.raises(Whim):
        async with buildkit.gateway(progress=whim) as gateway:
            await gateway.solve(BUSYBOX, evaluate=True)
            await anyio.sleep_forever()


async def test_a_container_that_nobody_releases(buildkit: AsyncClient) -> None:
    """The daemon releases it with the build, its process with it."""
    seconds = mark()
    async with buildkit.gateway() as gateway:
        ref = (await gateway.solve(BUSYBOX, evaluate=True)).ref
        mount = p.text(3, "/") + p.text(23, ref.id)
        await gateway._bridge.call("NewContainer", p.text(1, "left") + p.message(2, mount))
        async with gateway._bridge.duplex("ExecProcess") as stream:
            meta = p.texts(1, ["sleep", seconds]) + p.text(3, "/")
            await stream.send(p.text(1, "left:1") + p.message(2, p.text(1, "left") + p.message(2, meta)))
            await stream.receive()
            await until_running(seconds)
    await until_running(seconds, wanted=False)


async def test_finish_inside_a_containers_block(buildkit: AsyncClient, tmp_path: Path) -> None:
    seconds = mark()
    async with buildkit.gateway(outputs=Local(tmp_path / "out")) as gateway:
        ref = (await gateway.solve(llb.scratch().mkfile("/f", data=b"x"))).ref
        async with gateway.container(BUSYBOX) as container, container.start(["sleep", seconds]):
            await until_running(seconds)
            await gateway.finish(ref)
    await until_running(seconds, wanted=False)
    assert (tmp_path / "out" / "f").read_text() == "x"


async def test_an_error_inside_a_container(buildkit: AsyncClient) -> None:
    seconds = mark()
    with pytest.raises(Whim):
        async with (
            buildkit.gateway() as gateway,
            gateway.container(BUSYBOX) as container,
            container.start(["sleep", seconds]),
        ):
            await until_running(seconds)
            raise Whim
    await until_running(seconds, wanted=False)


async def test_capabilities_that_the_daemon_lacks(buildkit: AsyncClient) -> None:
    """V75: each call says which one it needs, and sends nothing."""
    async with buildkit.gateway() as gateway:
        ref = (await gateway.solve(BUSYBOX)).ref
        bridge = gateway._bridge
        known = bridge.caps
        bridge.caps = GatewayCaps(["return"])
        for call, name in (
            (gateway.solve(BUSYBOX), "solve.base"),
            (ref.read_file("/x"), "readfile"),
            (ref.read_dir("/"), "readdir"),
            (ref.stat("/"), "statfile"),
            (ref.evaluate(), "gateway.evaluate"),
            (gateway.inputs(), "frontend.inputs"),
            (gateway.warn("x"), "gateway.warnings"),
            (gateway.resolve_image("busybox"), "resolveimage"),
            (gateway.resolve_image("busybox", attestations=["x"]), "source.metaresolver"),
            (gateway.container(ref).__aenter__(), "gateway.exec"),
        ):
            with pytest.raises(Unsupported) as caught:
                await call
            assert caught.value.capability == name
            assert name in str(caught.value)
        found = await gateway.resolve_source("https://example.test")
        assert (found.identifier, found.http) == (
            "https://example.test",
            None,
        )  # V67: as long as there was no call
        bridge.caps = known
        bridge.llb_caps = GatewayCaps(["constraints", "platform"])
        with pytest.raises(Unsupported, match=r"the graph needs the capability source\.image"):
            await gateway.solve(BUSYBOX)


async def test_older_daemons_are_asked_in_other_ways(buildkit: AsyncClient) -> None:
    """V62, V63, V67: without these capabilities there were others."""
    async with buildkit.gateway() as gateway:
        bridge = gateway._bridge
        names = ("solve.base", "statfile", "resolveimage", "resolveimage.resolvemode", "return")
        bridge.caps = GatewayCaps(names)
        found = await gateway.resolve_image("busybox", platform="linux/arm64", resolve_mode="pull")
        assert found.document()["architecture"] == "arm64"
        assert found.digest.startswith("sha256:")
        bad = BUSYBOX.run("exit 8")
        with pytest.raises(ExecError):
            await gateway.solve(bad, evaluate=True)
        with pytest.raises(ExecError):
            await (await gateway.solve(bad)).ref.evaluate()


def test_an_error_in_blocking_code(buildkit_client: Client) -> None:
    with pytest.raises(Whim), buildkit_client.gateway() as gateway:
        gateway.solve(BUSYBOX)
        raise Whim
    with pytest.raises(BuildCancelled), buildkit_client.gateway() as gateway:
        gateway.cancel()
        gateway.solve(BUSYBOX.run("sleep 100"), evaluate=True)
        time.sleep(20)


# --- the daemon's own end: one of our own, to be killed ----------------------------------------------------


def daemon_pid(daemon: Buildkitd) -> int:
    """The daemon itself: its guard is its parent."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"buildkitd") and str(daemon.root).encode() in b" ".join(words):
            return int(folder.name)
    raise AssertionError("there is no daemon")


@pytest.mark.parametrize("where", ["in a call", "between calls", "in a container"])
async def test_the_daemon_dies(where: str, buildkitd: Any, tmp_path: Path) -> None:
    options = buildkitd.options
    async with (
        Buildkitd(find_tool("buildkitd"), mirrors=options.mirrors) as daemon,
        AsyncClient(daemon.address) as buildkit,
    ):
        with anyio.fail_after(30), pytest.raises(ConnectionLost):
            async with buildkit.gateway(outputs=Local(tmp_path / "out")) as gateway:
                await gateway.solve(BUSYBOX, evaluate=True)
                pid = await to_thread.run_sync(daemon_pid, daemon)
                if where == "between calls":
                    os.kill(pid, signal.SIGKILL)
                    await anyio.sleep_forever()
                async with anyio.create_task_group() as tasks:

                    async def kill() -> None:
                        await anyio.sleep(0.5)
                        os.kill(pid, signal.SIGKILL)

                    tasks.start_soon(kill)
                    try:
                        if where == "in a call":
                            await gateway.solve(BUSYBOX.run("sleep 100"), evaluate=True)
                        else:
                            async with gateway.container(BUSYBOX) as container:
                                await container.run(["sleep", "100"])
                    except ConnectionLost as exc:
                        lost = exc
                raise lost
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
