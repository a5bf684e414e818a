"""``pybuildkit solve``: what ``buildctl build`` does, with the same flags (B17 to B34)."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pybuildkit.cli.outcome import add_build_flags, key_values, run_and_report, shared_options
from pybuildkit.errors import ConfigError

__all__ = ["register"]

_EXAMPLES = """examples:
  pybuildkit solve --frontend dockerfile.v0 --local context=. --local dockerfile=. -o type=local,dest=out
  pybuildkit solve --frontend dockerfile.v0 --opt build-arg:PY=3.13 --opt target=test --local context=. --local dockerfile=.
  python graph.py | pybuildkit solve --local src=. -o type=oci,dest=image.tar
"""


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "solve",
        parents=[shared],
        help="run a frontend, or a graph from standard input",
        description="Run a frontend, or without --frontend the LLB definition on standard input.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--frontend", default="", metavar="NAME", help="dockerfile.v0, or gateway.v0 with --opt source=IMAGE")
    add("--opt", action="append", default=[], metavar="KEY=VALUE", help="tell the frontend something")
    add("--local", action="append", default=[], metavar="NAME=DIR", help="let the build read a directory")
    add(
        "--oci-layout", action="append", default=[], metavar="ID=DIR", help="let the build read an OCI layout"
    )
    add("--no-cache", action="store_true", help="run every step again")
    add(
        "--export-cache",
        action="append",
        default=[],
        metavar="SPEC",
        help="export the cache, as type=local,dest=DIR",
    )
    add(
        "--import-cache",
        action="append",
        default=[],
        metavar="SPEC",
        help="import a cache, as type=local,src=DIR",
    )
    add("--proxy-network", action="store_true", help="send the steps' network through the daemon's proxy")
    add_build_flags(parser)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace) -> int:
    """Run the build."""
    from pybuildkit.cli.run import connect

    options = shared_options(args)
    options |= {
        "locals": key_values("--local", args.local),
        "oci_layouts": key_values("--oci-layout", args.oci_layout),
        "cache_to": args.export_cache,
        "cache_from": args.import_cache,
        "no_cache": args.no_cache,
        "proxy_network": args.proxy_network,
    }
    target = None
    if args.frontend:
        options |= {"frontend": args.frontend, "attrs": key_values("--opt", args.opt)}
    else:
        if args.opt:
            raise ConfigError("--opt needs --frontend; a definition takes no options")
        target = _definition()
    async with connect(args) as client:
        return await run_and_report(client, target, options, args)


def _definition() -> Any:
    """The definition on standard input (B22)."""
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError("give --frontend, or pipe an LLB definition into standard input")
    from pybuildkit.llb import Definition

    data = sys.stdin.buffer.read()
    if not data:
        raise ConfigError("standard input is empty: no definition to solve; give --frontend instead?")
    return Definition.from_bytes(data)
