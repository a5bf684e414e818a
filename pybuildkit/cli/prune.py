"""``pybuildkit prune``: remove what is not in use from the daemon's cache (B36)."""

from __future__ import annotations

import argparse
from contextlib import aclosing

from pybuildkit.cli.du import HEADER, add_filter, row, verbose_lines
from pybuildkit.cli.formats import add_format, fixed_size, print_aligned, template_of, write
from pybuildkit.errors import ConfigError

DESCRIPTION = (
    "Remove what is not in use from the daemon's cache. The rules say what is left; without any, nothing is."
)
EXAMPLES = """examples:
  pybuildkit prune --keep-duration 48h
  pybuildkit prune --filter type==exec.cachemount
  pybuildkit prune --all --format '{{.ID}}'
"""

MEGABYTE = 1_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add(
        "--keep-duration",
        default="0",
        metavar="TIME",
        help="leave what was used within that time, as 48h or 1h30m",
    )
    add("--keep-storage", type=float, default=0.0, metavar="MB", help="leave so much at most")
    add("--keep-storage-min", type=float, default=0.0, metavar="MB", help="always leave so much")
    add(
        "--free-storage", type=float, default=0.0, metavar="MB", help="have so much free on the daemon's disk"
    )
    add_filter(parser)
    add("--all", action="store_true", help="also internal records and those of frontends")
    add("--verbose", "-v", action="store_true", help="show all there was of each record")
    add_format(parser, "{{.ID}}, for each record")


async def run(args: argparse.Namespace) -> int:
    """Prune, and print each record as it goes."""
    from pybuildkit.cli.gotime import parse_duration
    from pybuildkit.cli.run import connect

    template = template_of(args)
    keep_duration = parse_duration(args.keep_duration, "--keep-duration")
    rules = {
        "max_used_space": _bytes(args.keep_storage, "--keep-storage"),
        "reserved_space": _bytes(args.keep_storage_min, "--keep-storage-min"),
        "min_free_space": _bytes(args.free_storage, "--free-storage"),
    }
    total = count = 0
    async with connect(args) as client:
        removed = client.prune_each(filters=args.filter, all=args.all, keep_duration=keep_duration, **rules)
        async with aclosing(removed) as records:
            async for record in records:
                total += record.size
                if template is not None:
                    from pybuildkit.cli.goviews import usage_view

                    write(template, usage_view(record))
                elif args.verbose:
                    print_aligned(verbose_lines(record))
                else:
                    # Each row by itself, but for the first: they are printed as they come.
                    print_aligned([row(record)] if count else [HEADER, row(record)])
                count += 1
    if template is None:
        print_aligned([f"Total:\t{fixed_size(total)}"])
    return 0


def _bytes(megabytes: float, flag: str) -> int:
    if not 0 <= megabytes < 1e13:
        raise ConfigError(f"{flag} {megabytes!r} must be a number of megabytes from 0 on")
    return int(megabytes * MEGABYTE)
