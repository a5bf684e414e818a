"""``pybuildkit debug monitor``: events of the build history, as buildctl prints them (B40)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from pybuildkit.cli.goviews import descriptor_text

if TYPE_CHECKING:
    from pybuildkit.history import HistoryEvent, ResultInfo

DESCRIPTION = "Print what happens to builds, as it happens; Ctrl-C ends it."
EXAMPLES = """examples:
  pybuildkit debug monitor
  pybuildkit debug monitor --completed --ref ivzbr3ahwvjo9hbpsm1c5ptxh
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--completed", action="store_true", help="begin with builds that have ended")
    parser.add_argument("--ref", default="", metavar="REF", help="only this build")


async def run(args: argparse.Namespace) -> int:
    """Print events until the daemon ends or somebody has seen enough."""
    from pybuildkit.cli.run import connect

    async with connect(args) as client:
        follow = client.history.follow(args.ref, active_only=not args.completed)
        async with aclosing(follow) as events:
            async for event in events:
                print("\n".join(_lines(event)), flush=True)
    return 0


def _lines(event: HistoryEvent) -> Iterator[str]:
    record = event.record
    yield f"event: {event.type.upper()} ref:{record.ref}"
    if record.total_steps:
        yield f"  cache: {record.cached_steps}/{record.total_steps}"
    if record.warnings:
        yield f"  warnings: {record.warnings}"
    if record.logs is not None:
        yield f"  logs: {descriptor_text(record.logs)}"
    if record.trace is not None:
        yield f"  trace: {descriptor_text(record.trace)}"
    if record.result is not None:
        yield from _result(record.result, "")
    for platform in sorted(record.results):
        yield from _result(record.results[platform], f"[{platform}] ")


def _result(info: ResultInfo, prefix: str) -> Iterator[str]:
    for number in sorted(info.results):
        yield f"  {prefix}descriptor: {descriptor_text(info.results[number])}"
    for attestation in info.attestations:
        yield f"  {prefix}attestation: {descriptor_text(attestation)}"
