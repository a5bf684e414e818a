"""``pybuildkit history trace``: a build's OpenTelemetry spans."""

from __future__ import annotations

import argparse
import sys

from pybuildkit.cli.history.refs import add_ref, chosen

DESCRIPTION = "Print the spans of a build's trace, a JSON object each."
EXAMPLES = """example:
  pybuildkit history trace ivzbr3ah | jq .Name
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_ref(parser)


async def run(args: argparse.Namespace) -> int:
    """Print the trace."""
    from pybuildkit.cli.run import connect

    async with connect(args) as client:
        record = await chosen(client, args.ref)
        trace = await client.history.trace(record.ref)
    sys.stdout.buffer.write(trace)
    sys.stdout.buffer.flush()
    return 0
