"""``pybuildkit history rm``: forget builds."""

from __future__ import annotations

import argparse

from pybuildkit.cli.history.refs import chosen
from pybuildkit.errors import ConfigError

DESCRIPTION = "Forget builds: their records, logs and traces. Builds that run stay."
EXAMPLES = """examples:
  pybuildkit history rm ivzbr3ah
  pybuildkit history rm --all --filter 'completedAt<24h'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("ref", nargs="*", metavar="REF", help="the build's id, or the beginning of it")
    add("--all", action="store_true", help="all that are not pinned")
    add(
        "--filter",
        "-f",
        action="append",
        default=[],
        metavar="FILTER",
        help="of --all only these; see history ls",
    )


async def run(args: argparse.Namespace) -> int:
    """Delete, and print the refs of what --all has deleted."""
    from pybuildkit.cli.run import connect

    if args.all == bool(args.ref) or (args.filter and not args.all):
        raise ConfigError("give REFs, or --all with or without --filter")
    async with connect(args) as client:
        if args.all:
            for record in await client.history.prune(filters=args.filter):
                print(record.ref)
        for ref in args.ref:
            await client.history.delete((await chosen(client, ref)).ref)
    return 0
