"""``pybuildkit prune-histories``: forget all builds that are not pinned (B37)."""

from __future__ import annotations

import argparse
from contextlib import suppress

from pybuildkit.cli.formats import add_format, print_aligned, template_of, write
from pybuildkit.errors import NotFound

DESCRIPTION = "Forget all builds that have ended and are not pinned."
EXAMPLES = """examples:
  pybuildkit prune-histories
  pybuildkit prune-histories --format '{{.Record.Ref}}'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_format(parser, "{{.Record.Ref}}, for each record")


async def run(args: argparse.Namespace) -> int:
    """Delete the records, and print each."""
    from pybuildkit.cli.history.table import in_daemons_order, record_row
    from pybuildkit.cli.run import connect
    from pybuildkit.history import HistoryEvent

    template = template_of(args)
    rows = ["TYPE\tREF\tCREATED\tCOMPLETED\tGENERATION"] if template is None else []
    async with connect(args) as client:
        for record in in_daemons_order(await client.history.list()):
            if record.pinned or record.completed_ns is None:
                continue
            with suppress(NotFound):  # somebody was faster
                await client.history.delete(record.ref)
            event = HistoryEvent("complete", record)
            if template is not None:
                from pybuildkit.cli.goviews import event_view

                write(template, event_view(event))
            else:
                print_aligned([*rows, record_row(event, pinned=False)])
                rows.clear()
    print_aligned(rows)
    return 0
