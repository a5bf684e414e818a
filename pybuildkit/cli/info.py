"""``pybuildkit info``: the daemon's version, and where it is."""

from __future__ import annotations

import argparse

from pybuildkit.cli.debug.info import configure as configure
from pybuildkit.cli.debug.info import show

DESCRIPTION = "Show the daemon's version and its address."
EXAMPLES = """examples:
  pybuildkit --addr tcp://127.0.0.1:1234 info
  pybuildkit info --format '{{.BuildkitVersion.Version}}'
"""


async def run(args: argparse.Namespace) -> int:
    """Print what the daemon says of itself."""
    return await show(args, with_address=True)
