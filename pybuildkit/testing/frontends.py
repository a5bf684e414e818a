"""Running a frontend against a daemon without making an image of it first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Unpack

from anyio import to_thread

from pybuildkit._values import dataclass
from pybuildkit.frontend.define import BuildFunction, Frontend
from pybuildkit.gateway.results import GatewayResult

if TYPE_CHECKING:
    from pybuildkit.client import AsyncClient
    from pybuildkit.gateway.build import GatewayBuild
    from pybuildkit.options import BuildOptions, Context, SolveTarget
    from pybuildkit.result import Result

__all__ = ["FrontendRun", "open_frontend", "run_frontend"]


@dataclass(frozen=True, slots=True)
class FrontendRun:
    """What a frontend's function gave, in a build that is still open.

    Attributes:
        gateway: the build: solve more, open containers on what came out.
        result: what the function gave; its references can be looked into.
    """

    gateway: GatewayBuild
    result: GatewayResult


@asynccontextmanager
async def open_frontend(
    function: BuildFunction,
    client: AsyncClient,
    *,
    context: Context | None = None,
    opts: Mapping[str, str] | None = None,
    inputs: Mapping[str, SolveTarget] | None = None,
    **options: Unpack[BuildOptions],
) -> AsyncGenerator[FrontendRun, None]:
    """Run a frontend in this process, and look at what it gave.

    ::

        async with open_frontend(services, buildkit, context=tmp_path) as run:
            assert await run.result.ref.read_file("/etc/motd") == b"hello"

    Args:
        function: made with ``@frontend``, or a function that could be.
        client: connected.
        context: a directory or a tree in memory, from which the main file comes too.
        opts: options as ``buildctl --opt`` gives them; they win over those that follow from the others.
        inputs: graphs for it, by name.
        **options: those of ``build``; ``file`` is a path in the context, or a file's content as bytes.

    Raises:
        ConfigError: an option can not work; nothing was sent.
        BuildError: the build failed, in a step or in the function.
    """
    attrs, others = await to_thread.run_sync(_split, context, dict(options))
    attrs |= opts or {}
    made = function if isinstance(function, Frontend) else Frontend(function)
    async with client.gateway(attrs=attrs, inputs=inputs or {}, **others) as gateway:
        yield FrontendRun(gateway, await made(gateway))


async def run_frontend(
    function: BuildFunction,
    client: AsyncClient,
    *,
    context: Context | None = None,
    opts: Mapping[str, str] | None = None,
    inputs: Mapping[str, SolveTarget] | None = None,
    **options: Unpack[BuildOptions],
) -> Result:
    """Run a frontend in this process, and export what it gave.

    ::

        result = await run_frontend(services, buildkit, context="services/api", outputs=Local("out"))

    An error of the function comes out as it is, with the lines that it blames.

    Args:
        function: made with ``@frontend``, or a function that could be.
        client: connected.
        context: see ``open_frontend``.
        opts: likewise.
        inputs: likewise.
        **options: likewise; without outputs the result stays in the daemon's cache.

    Raises:
        ConfigError: an option can not work; nothing was sent.
        BuildError: the build failed, in a step or in the function.
    """
    run_options: Any = options
    opened = open_frontend(function, client, context=context, opts=opts, inputs=inputs, **run_options)
    async with opened as run:
        return await run.gateway.finish(run.result)


def _split(context: Context | None, options: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The frontend's attributes, and what remains for the build."""
    from pybuildkit.dockerfile.split import split_options
    from pybuildkit.fsutil import MemoryTree
    from pybuildkit.fsutil.coerce import as_tree

    # A tree, so that nothing is looked for: which file is the main one is the frontend's own business.
    tree = MemoryTree({}) if context is None else as_tree(context, "the context")
    request, others = split_options(tree, options)
    if context is None:
        del others["locals"]["context"]
        if not isinstance(options.get("file"), bytes):
            del others["locals"]["dockerfile"]
    return dict(request.attrs), others
