"""``pybuildkit history follow``: what happens to builds, as it happens."""

from __future__ import annotations

import argparse
from contextlib import aclosing

from pybuildkit.cli.formats import add_format, template_of, write
from pybuildkit.cli.gotime import local_rfc3339

DESCRIPTION = "Print what happens to builds, as it happens, beginning with those that run; Ctrl-C ends it."
EXAMPLES = """examples:
  pybuildkit history follow
  pybuildkit history follow --all --format json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("ref", nargs="?", default="", metavar="REF", help="only this build [all builds]")
    parser.add_argument("--all", action="store_true", help="begin with builds that have ended")
    add_format(parser, "{{.Type}} {{.Record.Ref}}, for each event")


async def run(args: argparse.Namespace) -> int:
    """Print events until the daemon ends or somebody has seen enough."""
    from pybuildkit.cli.run import connect

    template = template_of(args)
    async with connect(args) as client:
        follow = client.history.follow(args.ref, active_only=not args.all)
        async with aclosing(follow) as events:
            async for event in events:
                if template is not None:
                    from pybuildkit.cli.goviews import event_view

                    write(template, event_view(event))
                    continue
                record = event.record
                what = event.type if event.type != "complete" else record.status
                when = local_rfc3339(
                    record.completed_ns if event.type == "complete" else record.created_ns or None
                )
                print(f"{when or '-':<25} {what:<9} {record.ref}", flush=True)
    return 0
