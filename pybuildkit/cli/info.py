"""``pybuildkit info``: the daemon's version."""

from __future__ import annotations

import argparse

__all__ = ["register"]


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        parents=[shared],
        help="show the daemon's version",
        description="Show the daemon's version.",
        epilog="example: pybuildkit --addr tcp://127.0.0.1:1234 info --format json",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print it [text]")
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace) -> int:
    """Print what the daemon says of itself."""
    from pybuildkit.cli.run import connect

    async with connect(args) as client:
        info = await client.info()
        address = client.address
    if args.format == "json":
        import json

        print(
            json.dumps(
                {
                    "buildkitVersion": {
                        "package": info.package,
                        "version": info.version,
                        "revision": info.revision,
                        "dockerfileVersion": info.dockerfile_version,
                    }
                }
            )
        )
        return 0
    print(f"Address:    {address}")
    print(f"BuildKit:   {info.package} {info.version} {info.revision}")
    if info.dockerfile_version:
        print(f"Dockerfile: {info.dockerfile_version}")
    return 0
