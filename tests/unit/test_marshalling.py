"""From graphs to definitions: images are only looked up where it is needed, and once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from pybuildkit import llb
from pybuildkit.errors import ConfigError, DefinitionError
from pybuildkit.llb import ImageQuery, ResolvedImage
from pybuildkit.marshalling import to_definition, to_definitions, without_images

pytestmark = pytest.mark.anyio


class Images:
    """Answers, and remembers."""

    def __init__(self) -> None:
        self.opened = 0
        self.asked: list[str] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Images]:
        self.opened += 1
        yield self

    async def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        self.asked.append(query.ref)
        await anyio.lowlevel.checkpoint()
        if "none" in query.ref:
            raise DefinitionError("there is none")
        return ResolvedImage(b'{"config":{"WorkingDir":"/w"}}')


async def test_most_graphs_need_nobody() -> None:
    images = Images()
    definition = await to_definition(llb.image("a").run("b"), images.open)
    assert await to_definition(definition, images.open) is definition
    assert await to_definition(definition.to_bytes(), images.open) == definition
    assert images.opened == 0


async def test_images_of_a_graph() -> None:
    images = Images()
    one = llb.image("a", resolve=True).run("x")
    two = llb.image("b", resolve=True).run("x", mounts={"/o": llb.image("a", resolve=True).run("y")})
    definition = await to_definition(llb.merge(one, two), images.open)
    assert images.opened == 1
    assert sorted(images.asked) == ["docker.io/library/a:latest", "docker.io/library/b:latest"]
    assert sum(b"/w" in op for op in definition.ops) == 3


async def test_errors_come_out_as_they_are() -> None:
    images = Images()
    with pytest.raises(DefinitionError, match="there is none"):
        await to_definition(llb.image("none", resolve=True).run("x"), images.open)
    with pytest.raises(DefinitionError, match="no daemon to ask"):
        await to_definition(llb.image("a", resolve=True).run("x"), without_images)
    with pytest.raises(ConfigError, match="can not be int"):
        await to_definition(5, images.open)


async def test_several() -> None:
    images = Images()
    found = await to_definitions(
        {"a": llb.image("a"), "b": llb.image("b", resolve=True).run("x")}, images.open
    )
    assert list(found) == ["a", "b"]
    assert await to_definitions(None, images.open) == {}
