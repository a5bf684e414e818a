"""``pybuildkit debug ctl``: pin, unpin or delete a build record (B43)."""

from __future__ import annotations

import argparse

DESCRIPTION = "Pin, unpin or delete a build record."
EXAMPLES = """example:
  pybuildkit debug ctl --pin ivzbr3ahwvjo9hbpsm1c5ptxh
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("ref", metavar="REF", help="the build's id")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--pin", action="store_true", help="keep it, whatever the daemon's rules say")
    kind.add_argument("--unpin", action="store_true", help="let the daemon forget it")
    kind.add_argument("--delete", action="store_true", help="forget it now")


async def run(args: argparse.Namespace) -> int:
    """Do it."""
    from pybuildkit.cli.run import connect

    async with connect(args) as client:
        if args.delete:
            await client.history.delete(args.ref)
        elif args.pin:
            await client.history.pin(args.ref)
        else:
            await client.history.unpin(args.ref)
    return 0
