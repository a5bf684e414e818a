"""From what users give as a graph to its definition, images looked up where the graph needs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from pybuildkit.errors import ConfigError, DefinitionError

if TYPE_CHECKING:
    from pybuildkit.llb import AsyncImageResolver, Definition, State
    from pybuildkit.llb.resolve import ImageQuery, ResolvedImage

__all__ = ["SMALL", "OpenImages", "definition_now", "to_definition", "to_definitions", "without_images"]

OpenImages: TypeAlias = "Callable[[], AbstractAsyncContextManager[AsyncImageResolver]]"
"""Gets ready to look up images. Only called for a graph that needs it."""


class _ImageNeeded(Exception):
    """A marshal came upon an image that must be looked up."""


SMALL = 100
"""Ops of a graph that is read in less time than a thread takes to be asked."""

_FEW_BYTES = 32 << 10


class _FirstTry:
    """The resolver of the first try: most graphs need none, and are marshalled once."""

    def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        raise _ImageNeeded


class _Nobody:
    """Can look up nothing."""

    async def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        raise DefinitionError(
            f"image {query.ref} was made with resolve=True, and there is no daemon to ask: solve it with a client"
        )


@asynccontextmanager
async def without_images() -> AsyncGenerator[AsyncImageResolver, None]:
    """Where there is nobody to ask."""
    yield _Nobody()


async def to_definition(target: object, images: OpenImages) -> Definition:
    """The definition of a graph.

    Args:
        target: a state, a definition, or an encoded one.
        images: looks up images; not called when the graph has none to look up.

    Raises:
        ConfigError: it is no graph.
        DefinitionError: the graph can not work.
        BuildError: an image could not be looked up.
    """
    from anyio import to_thread

    from pybuildkit.llb import Definition

    if isinstance(target, Definition) or (isinstance(target, bytes) and len(target) < _FEW_BYTES):
        found = definition_now(target)
    else:
        found = await to_thread.run_sync(definition_now, target)
    return found if found is not None else await _with_images(cast("State", target), images)


def definition_now(target: object) -> Definition | None:
    """The definition of a graph, None when images must be looked up for it. Reads Python files for the graph's sources.

    Raises:
        ConfigError: it is no graph.
        DefinitionError: the graph can not work.
    """
    from pybuildkit.llb import Definition, State

    if isinstance(target, Definition):
        return target
    if isinstance(target, bytes):
        return Definition.from_bytes(target)
    if not isinstance(target, State):
        raise ConfigError(
            f"a graph can not be {type(target).__name__}: give a State, a Definition or an encoded one"
        )
    try:
        return target.marshal(resolver=_FirstTry())
    except _ImageNeeded:
        return None


async def to_definitions(targets: Mapping[str, object] | None, images: OpenImages) -> dict[str, Definition]:
    """The definitions of several graphs, by name; see ``to_definition``."""
    return {name: await to_definition(target, images) for name, target in (targets or {}).items()}


async def _with_images(state: State, images: OpenImages) -> Definition:
    """Not ``marshal_async``: a marshal reads Python files, which belongs into a thread."""
    from anyio import to_thread

    from pybuildkit.llb.options import lay_over
    from pybuildkit.llb.resolve import resolve_all

    options: Mapping[str, Any] = lay_over(state.defaults, {})
    async with images() as resolver:
        known = await resolve_all(state, resolver, options)
    return await to_thread.run_sync(partial(state.marshal, resolver=known))
