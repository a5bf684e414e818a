"""How frontends end in a real daemon, well or badly: errors, crashes, cancels, a daemon that is killed; what they can do."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from pybuildkit import AsyncClient, Buildkitd, llb
from pybuildkit.details import FrontendCap, Stack
from pybuildkit.errors import BuildCancelled, BuildError, ConnectionLost, ExecError, FrontendError
from pybuildkit.frontend import Frontend, GatewayResult, image_config
from pybuildkit.outputs import Image, Local
from pybuildkit.testing.push import push
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdOptions, BuildkitdService
from tests.support.daemons import fresh_daemon
from tests.support.pythonimage import python_image

pytestmark = [pytest.mark.integration, pytest.mark.anyio, pytest.mark.usefixtures("runner")]

RUNNER = b"""
import os, sys
code = next(v.partition("=")[2] for v in os.environ.values() if v.startswith("build-arg:CODE="))
source = "import asyncio\\nfrom pybuildkit import llb\\nfrom pybuildkit.errors import *\\nfrom pybuildkit.frontend import *\\n"
exec(compile(source + code, "/frontend.py", "exec"))
build.run()
"""


@pytest.fixture(scope="module")
def runner(buildkitd: BuildkitdService, registry: Registry) -> str:
    """An image that runs whatever the option ``build-arg:CODE`` says, as a frontend that has inputs."""
    push(python_image(), f"{registry.host}/test/python:1")
    name = f"{registry.host}/test/runner:1"

    async def make() -> None:
        base = llb.image(f"{registry.host}/test/python:1")
        state = base.copy(modules(), "/", "/lib", contents_only=True).mkfile("/runner.py", RUNNER)
        async with buildkitd.client() as client, client.gateway(outputs=Image(name, push=True)) as gateway:
            solved = await gateway.solve(state)
            config = image_config(
                env={"PATH": "/usr/local/bin:/bin", "PYTHONPATH": "/lib"},
                entrypoint=["python3", "/runner.py"],
                labels=Frontend(nothing, capabilities=["inputs"]).labels,
            )
            await gateway.finish(GatewayResult.image(solved.single, config))

    anyio.run(make)
    return name


async def nothing(_: object) -> None:
    """Never called."""


def modules() -> llb.State:
    state = llb.scratch()
    for name in ("anyio", "idna", "sniffio", "typing_extensions", "pybuildkit"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        place = Path(spec.origin)
        folder = place.parents[1] if spec.submodule_search_locations else place.parent
        pattern = f"{name}/**" if spec.submodule_search_locations else place.name
        tree = llb.local(folder, include=[pattern], exclude=["**/__pycache__", "pybuildkit/_pb"])
        state = state.copy(tree, "/", "/", contents_only=True)
    return state


def attrs(runner: str, code: str, **more: str) -> dict[str, str]:
    return {"source": runner, "build-arg:CODE": code, **more}


async def run(
    client: AsyncClient, runner: str, body: str, out: Path | None = None, **options: object
) -> None:
    """Run a function's body as a frontend."""
    code = "@frontend\nasync def build(gateway):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    await client.solve(
        frontend="gateway.v0",
        attrs=attrs(runner, code),
        outputs=[Local(out)] if out is not None else [],
        **options,  # type: ignore[arg-type]
    )


async def test_inputs_and_the_frontends_own_image(buildkit: AsyncClient, runner: str, tmp_path: Path) -> None:
    body = """
inputs = await gateway.inputs()
assert list(inputs) == ["words"], inputs
own = await current_frontend()
copied = llb.scratch().copy(inputs["words"], "/w", "/w").copy(own, "/runner.py", "/own")
return copied
"""
    words = llb.scratch().mkfile("/w", "hello")
    await run(buildkit, runner, body, tmp_path / "out", inputs={"words": words})
    assert (tmp_path / "out/w").read_text() == "hello"
    assert (tmp_path / "out/own").read_bytes() == RUNNER


async def test_decisions_references_and_containers_inside(
    buildkit: AsyncClient, runner: str, tmp_path: Path
) -> None:
    """The same gateway as in a client's build, over the pipes: files, containers, output both ways."""
    body = """
base = llb.image("busybox")
first = await gateway.solve(base.run("seq 1 200000 > /numbers"))
numbers = await first.ref.read_file("/numbers")
assert numbers.endswith(b"200000\\n") and len(numbers) > 1_000_000
async with gateway.container(first.ref) as container:
    done = await container.run(["wc", "-l"], input=numbers)
    size = done.stdout.decode().strip()
stat = await first.ref.stat("/numbers")
assert stat.size == len(numbers)
image = await gateway.resolve_image("busybox")
return llb.scratch().mkfile("/lines", size).mkfile("/digest", image.digest)
"""
    await run(buildkit, runner, body, tmp_path / "out")
    assert (tmp_path / "out/lines").read_text() == "200000"
    assert (tmp_path / "out/digest").read_text().startswith("sha256:")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('x')", r"KeyError: 'x' \(frontend.py line 7, in build\)"),
        ("import sys; sys.exit(3)", r"called sys.exit\(3\)"),
        ("import os; os._exit(4)", r"exit code: 4"),
        ("import ctypes; ctypes.string_at(0)", r"exit code: 139|did not complete"),
        ("return object()", r"gave object; it must give"),
        ("print('x' * 100_000); raise ValueError('after much output')", r"after much output"),
    ],
    ids=["error", "sys.exit", "os._exit", "crash", "result", "output"],
)
async def test_the_cause_of_a_bad_end_is_named(
    buildkit: AsyncClient, runner: str, body: str, message: str
) -> None:
    started = time.monotonic()
    with pytest.raises(BuildError, match=message):
        await run(buildkit, runner, body)
    assert time.monotonic() - started < 20


async def test_python_lines_are_among_the_stacks(buildkit: AsyncClient, runner: str) -> None:
    """C60: what ``buildctl --debug`` shows."""
    with pytest.raises(BuildError) as caught:
        await run(buildkit, runner, "raise KeyError('x')")
    frames = [
        frame for detail in caught.value.details if isinstance(detail, Stack) for frame in detail.frames
    ]
    assert any((frame.name, frame.file, frame.line) == ("build", "/frontend.py", 7) for frame in frames)


async def test_a_failed_step_keeps_what_is_known_of_it(buildkit: AsyncClient, runner: str) -> None:
    """W6: through two gateways."""
    body = 'await gateway.solve(llb.image("busybox").run("echo said; exit 9"), evaluate=True)'
    with pytest.raises(ExecError) as caught:
        await run(buildkit, runner, body)
    error = caught.value
    assert error.exit_code == 9
    assert error.argv == ("/bin/sh", "-c", "echo said; exit 9")


async def test_a_capability_that_it_does_not_have_is_refused_by_name(
    buildkit: AsyncClient, runner: str
) -> None:
    """V59."""
    code = attrs(runner, "", **{"frontend.caps": "moby.buildkit.frontend.contexts"})
    with pytest.raises(FrontendError, match=r"moby\.buildkit\.frontend\.contexts") as caught:
        await buildkit.solve(frontend="gateway.v0", attrs=code)
    assert any(isinstance(detail, FrontendCap) for detail in caught.value.details)


def frontends(mark: str) -> list[int]:
    """Processes that were told this in their options."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"a mark: {mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


async def until_running(mark: str, wanted: bool = True) -> None:
    with anyio.fail_after(20):
        while bool(await to_thread.run_sync(frontends, mark)) is not wanted:  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.05)


def sleeping(runner: str, mark: str) -> dict[str, str]:
    return attrs(
        runner, f"@frontend\nasync def build(gateway):\n    await asyncio.sleep(600)  # a mark: {mark}\n"
    )


async def test_a_build_that_is_cancelled_takes_its_frontend_with_it(
    buildkit: AsyncClient, runner: str
) -> None:
    mark = f"{time.time_ns()}"
    async with buildkit.stream(frontend="gateway.v0", attrs=sleeping(runner, mark)) as build:
        await until_running(mark)
        build.cancel()
        with anyio.fail_after(20), pytest.raises(BuildCancelled):
            await build.result()
    await until_running(mark, wanted=False)


async def test_a_client_that_leaves_takes_its_frontend_with_it(
    buildkitd: BuildkitdService, runner: str
) -> None:
    mark = f"{time.time_ns()}"
    async with (
        buildkitd.client() as client,
        client.stream(frontend="gateway.v0", attrs=sleeping(runner, mark)),
    ):
        await until_running(mark)
    await until_running(mark, wanted=False)


async def test_a_daemon_that_is_killed_takes_its_frontend_with_it(
    buildkitd_options: BuildkitdOptions, runner: str
) -> None:
    """The process sees by itself that the pipes are closed; see ``test_run`` for what it does then."""
    mark = f"{time.time_ns()}"
    async with fresh_daemon(buildkitd_options) as (client, daemon):
        async with client.stream(frontend="gateway.v0", attrs=sleeping(runner, mark)) as build:
            await until_running(mark)
            await to_thread.run_sync(kill, daemon)
            with anyio.fail_after(20), pytest.raises(ConnectionLost):
                await build.result()
        await until_running(mark, wanted=False)


def kill(daemon: Buildkitd) -> None:
    """The daemon itself, and not the guard around it."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"buildkitd") and os.fsencode(daemon.root) in b" ".join(words):
                os.kill(int(folder.name), signal.SIGKILL)
                return
    raise AssertionError("the daemon is not there")
