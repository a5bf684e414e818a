"""``pybuildkit debug histories``: build records, as buildctl lists them (B42)."""

from __future__ import annotations

import argparse

from pybuildkit.cli.formats import add_format, print_aligned, template_of, write
from pybuildkit.cli.history.table import in_daemons_order, record_row

DESCRIPTION = "List build records. `pybuildkit history ls` tells more, and takes filters."
EXAMPLES = """examples:
  pybuildkit debug histories
  pybuildkit debug histories --format '{{.Type}} {{.Record.Ref}}'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_format(parser, "{{.Record.Ref}}, for each record")


async def run(args: argparse.Namespace) -> int:
    """Print the records, those that run first."""
    from pybuildkit.cli.run import connect
    from pybuildkit.history import HistoryEvent

    template = template_of(args)
    async with connect(args) as client:
        records = in_daemons_order(await client.history.list())
    events = [HistoryEvent("started" if r.completed_ns is None else "complete", r) for r in records]
    if template is not None:
        from pybuildkit.cli.goviews import event_view

        for event in events:
            write(template, event_view(event))
        return 0
    rows = [record_row(event, pinned=True) for event in events]
    # The header and the first row are one block, each other row is one: they come one by one.
    print_aligned(["TYPE\tREF\tCREATED\tCOMPLETED\tGENERATION\tPINNED", *rows[:1]])
    for row in rows[1:]:
        print_aligned([row])
    return 0
