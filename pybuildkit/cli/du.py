"""``pybuildkit du``: what is in the daemon's cache (B35)."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pybuildkit.cli.formats import add_format, fixed_size, print_aligned, template_of, write

if TYPE_CHECKING:
    from pybuildkit.usage import UsageRecord

DESCRIPTION = "Show what is in the daemon's cache, and how much of it could be removed."
EXAMPLES = """examples:
  pybuildkit du
  pybuildkit du --filter type==source.local --verbose
  pybuildkit du --format '{{range .}}{{.ID}} {{.Size}}{{println}}{{end}}'
"""

HEADER = "ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_filter(parser)
    parser.add_argument("--verbose", "-v", action="store_true", help="show all there is of each record")
    add_format(parser, "{{json .}}")


def add_filter(parser: argparse.ArgumentParser) -> None:
    """The ``--filter`` flag of commands on the cache."""
    parser.add_argument(
        "--filter",
        "-f",
        action="append",
        default=[],
        metavar="FILTER",
        help="containerd filter, as type==exec.cachemount; several are alternatives",
    )


async def run(args: argparse.Namespace) -> int:
    """Print the records and the sums."""
    from pybuildkit.cli.run import connect

    template = template_of(args)
    async with connect(args) as client:
        records = await client.disk_usage(filters=args.filter)
    if template is not None:
        from pybuildkit.cli.goviews import usage_list_view

        write(template, usage_list_view(records))
        return 0
    if args.verbose:
        print_aligned(line for record in records for line in verbose_lines(record))
    else:
        print_aligned([HEADER, *map(row, records)])
    if not args.filter:
        print_aligned(_sums(records))
    return 0


def row(record: UsageRecord) -> str:
    """A record as a row of the table."""
    name = f"{record.id}{'*' if record.mutable else ''}"
    size = f"{fixed_size(record.size)}{'*' if record.shared else ''}"
    return f"{name:<71}\t{_word(record.reclaimable):<11}\t{size}\t"


def verbose_lines(record: UsageRecord) -> Iterator[str]:
    """All there is of a record, and a blank line."""
    from pybuildkit.cli.gotime import Time

    def line(key: str, value: Any) -> str:
        return f"{key}:\t{_word(value) if isinstance(value, bool) else value}"

    yield line("ID", record.id)
    if record.parents:
        yield line("Parents", ";".join(record.parents))
    yield line("Created at", Time(record.created_ns))
    yield line("Mutable", record.mutable)
    yield line("Reclaimable", record.reclaimable)
    yield line("Shared", record.shared)
    yield line("Size", fixed_size(record.size))
    if record.description:
        yield from line("Description", record.description).split("\n")
    yield line("Usage count", record.usage_count)
    if record.last_used_ns is not None:
        yield line("Last used", Time(record.last_used_ns))
    if record.record_type:
        yield line("Type", record.record_type)
    yield ""


def _sums(records: Iterable[UsageRecord]) -> Iterator[str]:
    total = reclaimable = shared = 0
    for record in records:
        total += max(record.size, 0)
        if record.reclaimable:
            reclaimable += max(record.size, 0)
        if record.shared:
            shared += record.size
    if shared > 0:
        yield f"Shared:\t{fixed_size(shared)}"
        yield f"Private:\t{fixed_size(total - shared)}"
    yield f"Reclaimable:\t{fixed_size(reclaimable)}"
    yield f"Total:\t{fixed_size(total)}"


def _word(value: bool) -> str:
    return "true" if value else "false"
