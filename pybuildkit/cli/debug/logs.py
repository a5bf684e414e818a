"""``pybuildkit debug logs``: a build's progress again, or its trace (B41)."""

from __future__ import annotations

import argparse
import sys

from pybuildkit.cli.history.logs import replay
from pybuildkit.cli.outcome import add_progress

DESCRIPTION = "Show the progress of a build again, on standard output; with --trace its spans as JSON."
EXAMPLES = """examples:
  pybuildkit debug logs ivzbr3ahwvjo9hbpsm1c5ptxh
  pybuildkit debug logs --trace ivzbr3ahwvjo9hbpsm1c5ptxh
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("ref", metavar="REF", help="the build's id")
    add_progress(parser)
    parser.add_argument("--trace", action="store_true", help="print the trace instead")


async def run(args: argparse.Namespace) -> int:
    """Print the progress or the trace."""
    from pybuildkit.cli.run import connect

    async with connect(args) as client:
        if args.trace:
            sys.stdout.buffer.write(await client.history.trace(args.ref))
            sys.stdout.buffer.flush()
        else:
            await replay(client, args.ref, args.progress)
    return 0
