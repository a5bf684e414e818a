"""``pybuildkit workers``: the daemon's workers (B39)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pybuildkit.cli.formats import add_format, print_aligned, shortest_size, template_of, write

if TYPE_CHECKING:
    from pybuildkit.workers import Device, GCPolicy, Worker

DESCRIPTION = (
    "List the daemon's workers with their platforms; --verbose adds labels, devices and garbage collection."
)
EXAMPLES = """examples:
  pybuildkit workers
  pybuildkit workers --filter platform==linux/arm64 --verbose
  pybuildkit workers --format '{{range .}}{{.ID}} {{len .Platforms}}{{println}}{{end}}'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--filter", "-f", action="append", default=[], metavar="FILTER", help="containerd filter"
    )
    parser.add_argument("--verbose", "-v", action="store_true", help="show all there is")
    add_format(parser, "{{json .}}")


async def run(args: argparse.Namespace) -> int:
    """Print the workers."""
    from pybuildkit.cli.run import connect

    template = template_of(args)
    async with connect(args) as client:
        workers = await client.workers(args.filter)
    if template is not None:
        from pybuildkit.cli.goviews import workers_view

        write(template, workers_view(workers))
    elif args.verbose:
        print_aligned(line for worker in workers for line in _verbose(worker))
    else:
        print_aligned(["ID\tPLATFORMS", *(f"{w.id}\t{_platforms(w)}" for w in workers)])
    return 0


def _platforms(worker: Worker) -> str:
    return ",".join(map(str, worker.platforms))


def _verbose(worker: Worker) -> Iterator[str]:
    yield f"ID:\t{worker.id}"
    yield f"Platforms:\t{_platforms(worker)}"
    info = worker.info
    yield f"BuildKit:\t{info.package} {info.version} {info.revision}" if info else "BuildKit:\t  "
    if info and info.dockerfile_version:
        yield f"Dockerfile:\t{info.dockerfile_version}"
    yield "Labels:"
    for key in sorted(worker.labels):
        yield f"\t{key}:\t{worker.labels[key]}"
    if worker.devices:
        yield "Devices:"
        for device in worker.devices:
            yield from _device(device)
        yield ""
    for number, policy in enumerate(worker.gc_policy):
        yield f"GC Policy rule#{number}:"
        yield from _policy(policy)
    yield ""


def _device(device: Device) -> Iterator[str]:
    yield f"\tName:\t{device.name}"
    if device.on_demand:
        yield "\tOnDemand:\ttrue"
    else:
        yield f"\tAutoAllow:\t{'true' if device.auto_allow else 'false'}"
    for key in sorted(device.annotations):
        yield f"\tAnnotations:\t{key}:\t{device.annotations[key]}"


def _policy(policy: GCPolicy) -> Iterator[str]:
    from pybuildkit.cli.gotime import Duration

    yield f"\tAll:\t{'true' if policy.all else 'false'}"
    if policy.filters:
        yield f"\tFilters:\t{' '.join(policy.filters)}"
    if policy.keep_duration > 0:
        yield f"\tKeep duration:\t{Duration(round(policy.keep_duration * 1e9))}"
    for name, value in (
        ("Reserved space", policy.reserved_space),
        ("Minimum free space", policy.min_free_space),
        ("Maximum used space", policy.max_used_space),
    ):
        if value > 0:
            yield f"\t{name}:\t{shortest_size(value)}"
