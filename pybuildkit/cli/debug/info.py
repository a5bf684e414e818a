"""``pybuildkit debug info``: the daemon's version, as buildctl prints it (B39)."""

from __future__ import annotations

import argparse

from pybuildkit.cli.formats import add_format, print_aligned, template_of, write

DESCRIPTION = "Show the daemon's version."
EXAMPLES = """examples:
  pybuildkit debug info
  pybuildkit debug info --format '{{.BuildkitVersion.Version}}'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_format(parser, "{{.BuildkitVersion.Version}}")


async def run(args: argparse.Namespace) -> int:
    """Print what the daemon says of itself."""
    return await show(args, with_address=False)


async def show(args: argparse.Namespace, *, with_address: bool) -> int:
    """Print what the daemon says of itself, perhaps with where it is."""
    from pybuildkit.cli.run import connect

    template = template_of(args)
    async with connect(args) as client:
        info = await client.info()
        address = client.address
    if template is not None:
        from pybuildkit.cli.goviews import info_view

        write(template, info_view(info))
        return 0
    lines = [f"Address:\t{address}"] if with_address else []
    lines.append(f"BuildKit:\t{info.package} {info.version} {info.revision}")
    if info.dockerfile_version:
        lines.append(f"Dockerfile:\t{info.dockerfile_version}")
    print_aligned(lines, pad=" ")
    return 0
