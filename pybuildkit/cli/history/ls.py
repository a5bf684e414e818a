"""``pybuildkit history ls``: the builds that the daemon remembers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pybuildkit.cli.formats import add_format, print_aligned, template_of, write
from pybuildkit.cli.gotime import local_rfc3339

if TYPE_CHECKING:
    from pybuildkit.history import HistoryRecord

DESCRIPTION = "List the builds that the daemon remembers, and those that run, the newest first."
EXAMPLES = """examples:
  pybuildkit history ls --limit 10
  pybuildkit history ls --filter status==error --filter status==canceled
  pybuildkit history ls --filter 'startedAt>=1h,duration>10s' --format '{{.Ref}}'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add(
        "--filter",
        "-f",
        action="append",
        default=[],
        metavar="FILTER",
        help="on ref, status, repository, startedAt, completedAt, duration; commas in one mean and, several mean or",
    )
    add("--limit", "-n", type=int, default=0, metavar="N", help="so many at most")
    add("--active", action="store_true", help="only builds that run")
    add("--quiet", "-q", action="store_true", help="print refs only")
    add_format(parser, "{{.Ref}}, for each record")


async def run(args: argparse.Namespace) -> int:
    """Print the records."""
    from pybuildkit.cli.run import connect

    template = template_of(args)
    async with connect(args) as client:
        records = await client.history.list(filters=args.filter, limit=args.limit, active_only=args.active)
    if template is not None:
        from pybuildkit.cli.goviews import record_view

        for record in records:
            write(template, record_view(record))
    elif args.quiet:
        for record in records:
            print(record.ref)
    else:
        print_aligned(["REF\tSTATUS\tCREATED\tDURATION\tSTEPS\tPINNED\tNAME", *map(_row, records)])
    return 0


def _row(record: HistoryRecord) -> str:
    cells = (
        record.ref,
        record.status,
        local_rfc3339(record.created_ns),
        f"{record.duration:.1f}s",
        f"{record.completed_steps}/{record.total_steps}" if record.completed_ns is not None else "",
        "*" if record.pinned else "",
        build_name(record),
    )
    return "\t".join(cells)


def build_name(record: HistoryRecord) -> str:
    """What the build was, as far as its record tells: frontend, Dockerfile, target, remote context."""
    attrs = record.frontend_attrs
    words = [
        record.frontend,
        attrs.get("source", ""),
        attrs.get("context", ""),
        attrs.get("filename", ""),
        attrs.get("target", ""),
    ]
    return " ".join(word for word in words if word) or "-"
