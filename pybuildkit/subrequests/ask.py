"""Asking a frontend: a gateway build whose solve has a ``requestid``, and gives nothing but metadata (V80)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from pybuildkit.errors import ConfigError
from pybuildkit.gateway.build import run_gateway
from pybuildkit.plan import SolvePlan
from pybuildkit.planning import dockerfile_build
from pybuildkit.rpc.channel import Channel
from pybuildkit.session.carrier import CarrierFactory
from pybuildkit.subrequests.requests import Answer

if TYPE_CHECKING:
    from pybuildkit.fsutil import FS

__all__ = ["FRONTEND_CAPS", "ask_frontend"]

FRONTEND_CAPS = "moby.buildkit.frontend.subrequests+forward"
"""V59, V78: a frontend that can not be asked says so, instead of building something; ``+forward`` asks the one that a
``# syntax=`` line names."""

_EXPORTING = ("outputs", "late_outputs", "on_exported", "cache_to", "tags")


async def ask_frontend(
    channel: Channel,
    request: str,
    path: str | os.PathLike[str] | FS,
    options: Mapping[str, Any],
    *,
    carrier: CarrierFactory | None = None,
) -> Answer:
    """Ask the frontend of a Dockerfile directory.

    Args:
        channel: to the daemon.
        request: the question, as ``frontend.lint``.
        path: as for ``build()``.
        options: as for ``build()``, without those that export something.
        carrier: what carries the session; the channel when None.

    Raises:
        ConfigError: an argument can not work.
        FrontendError: the frontend can not be asked that, or can not read the Dockerfile.
        BuildError: something else failed.
    """
    given = {key: value for key, value in options.items() if value is not None and value != ""}
    for name in _EXPORTING:
        if given.get(name):
            raise ConfigError(
                f"{name}= does not go with a question: nothing is built, so nothing is exported"
            )
    progress = given.pop("progress", None)
    made = await to_thread.run_sync(dockerfile_build, path, given)
    if given.get("session") is not None:
        given["session"].claim(made)
    frontend, made.frontend = made.frontend, ""
    plan = await to_thread.run_sync(SolvePlan, made)
    attrs = dict(made.attrs)
    attrs["frontend.caps"] = ",".join(filter(None, (attrs.get("frontend.caps"), FRONTEND_CAPS)))
    attrs["requestid"] = request
    async with run_gateway(channel, plan, progress=progress, carrier=carrier) as gateway:
        found = await gateway.solve(frontend=frontend, attrs=attrs)
        await gateway.finish(found)
    return Answer(found.metadata)
