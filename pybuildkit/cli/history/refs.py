"""Which build is meant: by its ref, by the beginning of one, or the newest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pybuildkit.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from pybuildkit.client import AsyncClient
    from pybuildkit.history import HistoryRecord

__all__ = ["add_ref", "chosen"]


def add_ref(parser: argparse.ArgumentParser) -> None:
    """The argument that names a build."""
    parser.add_argument(
        "ref",
        nargs="?",
        default="",
        metavar="REF",
        help="the build's id, or the beginning of it [the newest build]",
    )


async def chosen(client: AsyncClient, ref: str) -> HistoryRecord:
    """The record that is meant.

    Raises:
        NotFound: there is none.
        ConfigError: it can not be told which.
    """
    if not ref:
        newest = await client.history.list(limit=1)
        if not newest:
            raise NotFound("the daemon's history is empty", code="NOT_FOUND")
        return newest[0]
    try:
        return await client.history.get(ref)
    except NotFound:
        found = [record for record in await client.history.list() if record.ref.startswith(ref)]
        if not found:
            raise
    if len(found) > 1:
        raise ConfigError(
            f"{len(found)} builds begin with {ref!r}: {', '.join(r.ref for r in found[:5])}; write more"
        )
    return found[0]
