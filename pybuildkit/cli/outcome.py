"""What both build commands share: flags, running, and the files they leave about the result."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from pybuildkit.client import AsyncClient

__all__ = ["add_build_flags", "key_values", "run_and_report", "shared_options"]

PROGRESS = ("auto", "plain", "tty", "quiet", "rawjson", "none")


def add_build_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that ``solve`` and ``build`` have in common."""
    add = parser.add_argument
    add(
        "--output",
        "-o",
        action="append",
        default=[],
        metavar="SPEC",
        help="where a result goes, as type=local,dest=out",
    )
    add(
        "--secret",
        action="append",
        default=[],
        metavar="SPEC",
        help="a secret, as id=token,src=FILE or id=token,env=NAME",
    )
    add(
        "--ssh",
        action="append",
        default=[],
        metavar="SPEC",
        help="an SSH agent or keys: default or ID[=SOCKET|KEY[,KEY]]",
    )
    add(
        "--allow",
        action="append",
        default=[],
        metavar="ENTITLEMENT",
        help="network.host, security.insecure, device",
    )
    add("--progress", choices=PROGRESS, default="auto", metavar="MODE", help=f"{', '.join(PROGRESS)} [auto]")
    add("--metadata-file", metavar="FILE", help="write the result's metadata there as JSON")
    add("--ref-file", metavar="FILE", help="write the build's id there, however it ends")
    add("--source-policy-file", metavar="FILE", help="a source policy in JSON")


def shared_options(args: argparse.Namespace) -> dict[str, Any]:
    """The common flags as options of the library."""
    options: dict[str, Any] = {
        "outputs": args.output,
        "secrets": args.secret,
        "ssh": args.ssh,
        "entitlements": args.allow,
    }
    if args.source_policy_file:
        options["source_policy"] = args.source_policy_file
    return options


def key_values(flag: str, texts: list[str]) -> dict[str, str]:
    """Read ``key=value`` arguments; a later one wins.

    Raises:
        ConfigError: one has no equals sign, or no key.
    """
    found = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ConfigError(f"invalid value {text!r} for {flag}; write {flag} KEY=VALUE")
        found[key] = value
    return found


async def run_and_report(
    client: AsyncClient, target: Any, options: dict[str, Any], args: argparse.Namespace
) -> int:
    """Run a build with its display, and write the files that were asked for."""
    import json

    from pybuildkit._files import write_atomically
    from pybuildkit.cli.run import watch
    from pybuildkit.ui import open_display

    display = open_display(args.progress)
    async with client.stream(target, **options) as build:
        try:
            result = await watch(build, display)
        finally:
            if args.ref_file:
                write_atomically(args.ref_file, build.ref.encode())
    if args.metadata_file:
        # Sorted and indented as buildctl writes it (V49).
        document = json.dumps(result.metadata_document(), indent=2, sort_keys=True, ensure_ascii=False)
        write_atomically(args.metadata_file, document.encode())
    _print_subrequest(result.metadata)
    return 0


def _print_subrequest(metadata: Any) -> None:
    """V80: a subrequest has no result but a text; print it."""
    text = metadata.get("result.txt")
    if text is not None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    for key in sorted(metadata):
        if key.startswith("result."):
            print(metadata[key])
