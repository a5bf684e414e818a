"""Images whose configuration the daemon looks up when a graph is solved (L32, X20)."""

from __future__ import annotations

from typing import Any

import pytest

from pybuildkit import AsyncClient, llb
from pybuildkit.errors import BuildKitError
from pybuildkit.testing.images import OCIImage, busybox_layer, image
from pybuildkit.testing.push import push
from tests.support.graphs import texts

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture(scope="module")
def configured(registry: Any) -> OCIImage:
    """An image that says much of itself, as ``acme/configured`` of docker.io."""
    made = image([busybox_layer()], env=["PATH=/bin", "COLOUR=blue"], WorkingDir="/srv", User="1000:1000")
    push(made, f"{registry.host}/acme/configured:1")
    return made


def report(state: llb.State) -> llb.State:
    out = llb.scratch().mkdir("/o", chown=1000)
    return state.run("echo $COLOUR $SIZE $(pwd) $(id -u) > /out/o/x", mounts={"/out": out})["/out"]


async def test_settings_come_from_the_image(buildkit: AsyncClient, configured: OCIImage) -> None:
    state = llb.image("acme/configured:1", resolve=True).env(SIZE="9").dir("below")
    assert await texts(buildkit, report(state)) == {"o/x": "blue 9 /srv/below 1000\n"}
    plain = llb.image("acme/configured:1").env(PATH="/bin")
    assert await texts(buildkit, report(plain)) == {"o/x": "/ 0\n"}


async def test_pinning_names_the_digest(buildkit: AsyncClient, configured: OCIImage) -> None:
    """The source that runs is the one whose configuration was read."""
    state = report(llb.image("acme/configured:1", pin=True))
    names = set()
    async with buildkit.stream(state) as build:
        async for batch in build.status():
            names |= {vertex.name for vertex in batch.vertexes}
        await build.result()
    assert f"docker-image://docker.io/acme/configured:1@{configured.digest}" in names


async def test_an_image_that_is_not_there(buildkit: AsyncClient) -> None:
    with pytest.raises(BuildKitError, match="acme/nowhere"):
        await buildkit.solve(llb.image("acme/nowhere", resolve=True).run("true"))
