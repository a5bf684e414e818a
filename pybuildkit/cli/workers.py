"""``pybuildkit workers``: the daemon's workers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pybuildkit.workers import GCPolicy, Worker

__all__ = ["register"]


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "workers",
        parents=[shared],
        help="list the daemon's workers",
        description="List the daemon's workers with their platforms; --verbose adds labels and garbage collection.",
        epilog="example: pybuildkit workers --filter platform==linux/arm64 --format json",
    )
    parser.add_argument(
        "--filter", "-f", action="append", default=[], metavar="FILTER", help="containerd filter"
    )
    parser.add_argument("--verbose", action="store_true", help="show all there is")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print it [text]")
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace) -> int:
    """Print the workers."""
    from pybuildkit.cli.run import connect

    async with connect(args) as client:
        workers = await client.workers(args.filter)
    if args.format == "json":
        import json

        print(json.dumps([_document(worker) for worker in workers]))
    elif args.verbose:
        for worker in workers:
            _print_verbose(worker)
    else:
        _print_table([("ID", "PLATFORMS")] + [(w.id, ",".join(map(str, w.platforms))) for w in workers])
    return 0


def _print_table(rows: list[tuple[str, str]]) -> None:
    width = max(len(row[0]) for row in rows) + 1
    for left, right in rows:
        print(f"{left:<{width}} {right}")


def _print_verbose(worker: Worker) -> None:
    print(f"ID:\t\t{worker.id}")
    print(f"Platforms:\t{','.join(map(str, worker.platforms))}")
    if worker.info is not None:
        print(f"BuildKit:\t{worker.info.package} {worker.info.version} {worker.info.revision}")
    if worker.labels:
        print("Labels:")
        for key in sorted(worker.labels):
            print(f"\t{key}:\t{worker.labels[key]}")
    for device in worker.devices:
        print(f"Device:\t\t{device.name}" + (" (allowed)" if device.auto_allow else ""))
    for number, policy in enumerate(worker.gc_policy):
        print(f"GC policy rule#{number}:")
        for name, value in _policy_lines(policy):
            print(f"\t{name}:\t{value}")
    print()


def _policy_lines(policy: GCPolicy) -> Iterable[tuple[str, Any]]:
    yield "All", policy.all
    if policy.filters:
        yield "Filters", ",".join(policy.filters)
    if policy.keep_duration:
        yield "Keep duration", f"{policy.keep_duration:g}s"
    for name, value in (
        ("Reserved space", policy.reserved_space),
        ("Max used space", policy.max_used_space),
        ("Min free space", policy.min_free_space),
    ):
        if value:
            yield name, f"{value / 1e9:.2f}GB"


def _document(worker: Worker) -> dict[str, Any]:
    return {
        "id": worker.id,
        "labels": dict(worker.labels),
        "platforms": [str(platform) for platform in worker.platforms],
        "gcPolicy": [
            {
                "all": policy.all,
                "filters": list(policy.filters),
                "keepDuration": policy.keep_duration,
                "reservedSpace": policy.reserved_space,
                "maxUsedSpace": policy.max_used_space,
                "minFreeSpace": policy.min_free_space,
            }
            for policy in worker.gc_policy
        ],
        "version": worker.info.version if worker.info is not None else "",
        "devices": [device.name for device in worker.devices],
    }
