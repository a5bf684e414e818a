"""``pybuildkit debug get``: a blob of the daemon's content store (B44)."""

from __future__ import annotations

import argparse
import sys
from contextlib import aclosing

DESCRIPTION = "Print a blob of the daemon's content store, and check that it has that digest."
EXAMPLES = """example:
  pybuildkit debug get sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 > blob
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("digest", metavar="DIGEST", help="as sha256:...")


async def run(args: argparse.Namespace) -> int:
    """Copy the blob to standard output."""
    from pybuildkit.cli.run import connect

    async with connect(args) as client, aclosing(client.content.stream(args.digest)) as pieces:
        async for piece in pieces:
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return 0
