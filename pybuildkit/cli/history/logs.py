"""``pybuildkit history logs``: a build's progress again, or as it goes (B41)."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pybuildkit.cli.history.refs import add_ref, chosen
from pybuildkit.cli.outcome import add_progress

if TYPE_CHECKING:
    from pybuildkit.client import AsyncClient

DESCRIPTION = "Show the progress of a build that has ended again, or follow one that runs to its end."
EXAMPLES = """examples:
  pybuildkit history logs
  pybuildkit history logs ivzbr3ah --progress rawjson
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_ref(parser)
    add_progress(parser)


async def run(args: argparse.Namespace) -> int:
    """Print the progress to standard output."""
    from pybuildkit.cli.run import connect

    async with connect(args) as client:
        record = await chosen(client, args.ref)
        await replay(client, record.ref, args.progress)
    return 0


async def replay(client: AsyncClient, ref: str, mode: str) -> None:
    """Show the progress of a build on standard output.

    Raises:
        NotFound: there is no such build.
    """
    from pybuildkit.ui import open_display
    from pybuildkit.ui.feed import show_batches

    await show_batches(client.history.logs(ref), open_display(mode, sys.stdout, live=False))
