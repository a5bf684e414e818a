"""``pybuildkit history pin``."""

from __future__ import annotations

import argparse

from pybuildkit.cli.history.refs import chosen

DESCRIPTION = "Keep the records of builds, whatever the daemon's rules say."
EXAMPLES = """example:
  pybuildkit history pin ivzbr3ah
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("ref", nargs="+", metavar="REF", help="the build's id, or the beginning of it")


async def run(args: argparse.Namespace) -> int:
    """Change the records."""
    from pybuildkit.cli.run import connect

    async with connect(args) as client:
        for ref in args.ref:
            await client.history.pin((await chosen(client, ref)).ref)
    return 0
