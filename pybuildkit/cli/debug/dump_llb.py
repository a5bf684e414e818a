"""``pybuildkit debug dump-llb``: a definition for people (B45); needs no daemon."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pybuildkit.errors import ConfigError

DESCRIPTION = "Print an LLB definition as a JSON object for each operation, or as a graph for Graphviz. Needs no daemon."
EXAMPLES = """examples:
  python graph.py | pybuildkit debug dump-llb
  pybuildkit debug dump-llb --dot graph.bin | dot -Tsvg > graph.svg
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="the definition [standard input]"
    )
    parser.add_argument("--dot", action="store_true", help="print a graph in the dot language")


def run(args: argparse.Namespace) -> int:
    """Read, decode, print."""
    from pybuildkit.llb import dump

    if args.file == "-":
        if sys.stdin.isatty():
            raise ConfigError("give a FILE, or pipe an LLB definition into standard input")
        data = sys.stdin.buffer.read()
    else:
        try:
            data = Path(args.file).read_bytes()
        except OSError as exc:
            raise ConfigError(f"{args.file} can not be read: {exc.strerror}") from exc
    sys.stdout.write(dump(data, dot=args.dot))
    return 0
