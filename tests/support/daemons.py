"""Daemons of a test's own, with nothing in them: what one has built another one has not."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pybuildkit import AsyncClient
from pybuildkit.daemon import Buildkitd
from pybuildkit.events import VertexCompleted
from pybuildkit.testing.service import BuildkitdOptions

__all__ = ["fresh_daemon", "steps_of"]


@asynccontextmanager
async def fresh_daemon(
    options: BuildkitdOptions, **more: Any
) -> AsyncGenerator[tuple[AsyncClient, Buildkitd]]:
    """A daemon like that of the test run, but new, and a client of it."""
    settings: dict[str, Any] = {"mirrors": options.mirrors, "entitlements": options.entitlements, **more}
    async with Buildkitd(options.binary, **settings) as daemon, AsyncClient(daemon.address) as client:
        yield client, daemon


async def steps_of(buildkit: AsyncClient, context: Path, **options: Any) -> dict[str, bool]:
    """Build; the RUN and COPY steps by what they do, and which of them came from a cache.

    A cached step may be at work several times, to compare the content of what it reads, and one of these times is called
    cached: not always the last.
    """
    found: dict[str, bool] = {}
    async with buildkit.stream(context, **options) as build:
        async for event in build:
            if not isinstance(event, VertexCompleted) or not re.search(r"\b(RUN|COPY)\b", event.name):
                continue
            name = event.name.rpartition("] ")[2]
            found[name] = found.get(name, False) or event.cached
        await build.result()
    return found
