"""``llb.image(..., resolve=True)``: the daemon says what an image's configuration is, where a graph needs it (L32, X20)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.errors import BuildError
from pybuildkit.outputs import Local
from pybuildkit.rpc.channel import Metadata
from pybuildkit.testing.images import OCIImage, busybox_layer, file, image, layer
from pybuildkit.testing.push import push
from pybuildkit.testing.registry import Registry
from tests.support.graphs import texts

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture(scope="module")
def configured(buildkitd: Any) -> OCIImage:
    """An image with a configuration of its own, as ``docker.io/library/configured``."""
    made = image(
        [busybox_layer(), layer([file("etc/passwd", b"root:x:0:0::/:/bin/sh\nworker:x:7:8::/:/bin/sh\n")])],
        env=["PATH=/bin:/usr/bin", "FLAVOUR=mint"],
        WorkingDir="/srv/dir",
        User="worker",
    )
    push(made, f"{buildkitd.registry.host}/library/configured:latest")
    return made


@pytest.fixture(scope="module")
def numeric(registry: Registry) -> str:
    """The name of one that says more, and whose user is a number."""
    made = image([busybox_layer()], env=["PATH=/bin", "COLOUR=blue"], WorkingDir="/srv", User="1000:1000")
    push(made, f"{registry.host}/acme/configured:1")
    return "acme/configured:1"


@pytest.fixture
def counted(buildkit: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that the client makes."""
    calls: list[str] = []
    channel: Any = buildkit._channel
    unary = channel.unary

    async def counting(
        method: str, request: bytes = b"", *, metadata: Metadata = (), **options: Any
    ) -> bytes:
        calls.append(method.rpartition("/")[2])
        found: bytes = await unary(method, request, metadata=metadata, **options)
        return found

    monkeypatch.setattr(channel, "unary", counting)
    return calls


def showing(base: llb.State) -> llb.State:
    """What a command sees: its environment, directory and user."""
    command = "echo $FLAVOUR $(pwd) $(id -u) > /mnt/out/seen"
    run = base.run(command, mounts={"/mnt": llb.scratch().mkdir("/out", 0o777)})
    return llb.scratch().copy(run["/mnt"], "/out/seen", "/seen")


async def test_environment_directory_and_user_are_the_images(
    buildkit: AsyncClient, configured: OCIImage, tmp_path: Path
) -> None:
    await buildkit.solve(showing(llb.image("configured", resolve=True)), outputs=Local(tmp_path / "user"))
    assert (tmp_path / "user" / "seen").read_text() == "mint /srv/dir 7\n"
    await buildkit.solve(showing(llb.image("configured")), outputs=Local(tmp_path / "plain"))
    assert (tmp_path / "plain" / "seen").read_text() == "/ 0\n"


async def test_what_the_graph_says_is_added(buildkit: AsyncClient, numeric: str) -> None:
    """Variables come to the image's or replace them, a relative directory is below the image's; users may be numbers."""

    def report(state: llb.State) -> llb.State:
        out = llb.scratch().mkdir("/o", chown=1000)
        return state.run("echo $COLOUR $SIZE $(pwd) $(id -u) > /out/o/x", mounts={"/out": out})["/out"]

    state = llb.image(numeric, resolve=True).env(SIZE="9").dir("below")
    assert await texts(buildkit, report(state)) == {"o/x": "blue 9 /srv/below 1000\n"}
    assert await texts(buildkit, report(state.env(COLOUR="red"))) == {"o/x": "red 9 /srv/below 1000\n"}
    plain = llb.image(numeric).env(PATH="/bin")
    assert await texts(buildkit, report(plain)) == {"o/x": "/ 0\n"}


async def test_only_graphs_that_need_it_ask(
    buildkit: AsyncClient, counted: list[str], configured: OCIImage, tmp_path: Path
) -> None:
    """An ordinary solve is one call; with images to look up it is a build for all of them before it."""
    await buildkit.solve(llb.image("busybox"))
    assert counted == ["Solve"]
    counted.clear()
    both = [llb.image(name, pin=True) for name in ("configured", "busybox")]
    await buildkit.solve(llb.merge(*both))
    assert sorted(counted) == ["Ping", "ResolveSourceMeta", "ResolveSourceMeta", "Return", "Solve", "Solve"]


async def test_nothing_of_it_is_left_in_the_history(buildkit: AsyncClient, configured: OCIImage) -> None:
    before = {record.ref for record in await buildkit.history.list()}
    result = await buildkit.solve(llb.image("configured", pin=True))
    after = {record.ref for record in await buildkit.history.list()}
    assert after - before == {result.ref}


async def test_the_digest_pins_the_image(buildkit: AsyncClient, configured: OCIImage) -> None:
    """The source that runs is the one whose configuration was read."""
    async with buildkit.stream(llb.image("configured", pin=True)) as build:
        await build.result()
        names = [vertex.name for vertex in build.progress.vertices]
    assert f"docker-image://docker.io/library/configured:latest@{configured.digest}" in names


async def test_inputs_of_frontends(buildkit: AsyncClient, configured: OCIImage, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM base\nCOPY --from=seen /seen /copied\n")
    await buildkit.solve(
        frontend="dockerfile.v0",
        attrs={"context:base": "input:base", "context:seen": "input:seen"},
        inputs={
            "base": llb.image("busybox", resolve=True),
            "seen": showing(llb.image("configured", resolve=True)),
        },
        locals={"context": tmp_path, "dockerfile": tmp_path},
        outputs=Local(tmp_path / "out"),
    )
    assert (tmp_path / "out" / "copied").read_text() == "mint /srv/dir 7\n"


async def test_inside_a_gateway_build(
    buildkit: AsyncClient, counted: list[str], configured: OCIImage
) -> None:
    """There the build itself asks: no other one is needed."""
    async with buildkit.gateway() as gateway:
        solved = await gateway.solve(showing(llb.image("configured", resolve=True)))
        assert await solved.ref.read_file("seen") == b"mint /srv/dir 7\n"
    assert counted.count("Ping") == 1
    assert counted.count("ResolveSourceMeta") == 1


async def test_an_image_that_is_not_there(buildkit: AsyncClient) -> None:
    """The error is the registry's, with the image's name, and not one in a group."""
    missing = llb.image("no-such-image", pin=True)
    with pytest.raises(BuildError, match=r"no-such-image.* not found"):
        await buildkit.solve(missing)
    with pytest.raises(BuildError, match=r"acme/nowhere.* not found"):
        await buildkit.solve(llb.image("acme/nowhere", resolve=True).run("true"))
    with pytest.raises(BuildError, match="not found"):
        await buildkit.solve(llb.merge(missing, llb.image("no-such-other", pin=True)))


async def test_the_blocking_client(buildkitd: Any, configured: OCIImage, tmp_path: Path) -> None:
    def solve() -> None:
        with Client(buildkitd.address) as client:
            state = showing(llb.image("configured", resolve=True))
            client.solve(state, outputs=Local(tmp_path / "out"))

    await to_thread.run_sync(solve)
    assert (tmp_path / "out" / "seen").read_text() == "mint /srv/dir 7\n"
