"""The frontend's own image, as a graph (V60, V69)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

if TYPE_CHECKING:
    from pybuildkit.llb import State

__all__ = ["current_frontend"]

_METADATA = Path("/run/config/buildkit/metadata/frontend.bin")


async def current_frontend() -> State | None:
    """The files of the image that this frontend runs from, to copy tools out of it; None where it runs from none.

    Raises:
        DefinitionError: what the daemon says can not be read.
    """
    from pybuildkit import llb

    try:
        data = await to_thread.run_sync(_METADATA.read_bytes)
    except FileNotFoundError:
        return None
    return llb.definition(data)
