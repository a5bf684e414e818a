"""``pybuildkit solve``: what ``buildctl build`` does, with the same flags (B17 to B34)."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from pybuildkit.cli.outcome import add_build_flags, key_values, run_and_report, shared_options
from pybuildkit.errors import ConfigError

DESCRIPTION = "Run a frontend, or without --frontend the LLB definition on standard input."
EXAMPLES = """examples:
  pybuildkit solve --frontend dockerfile.v0 --local context=. --local dockerfile=. -o type=local,dest=out
  pybuildkit solve --frontend dockerfile.v0 --opt build-arg:PY=3.13 --opt target=test --local context=. --local dockerfile=.
  pybuildkit solve --frontend dockerfile.v0 --opt requestid=frontend.outline --local context=. --local dockerfile=.
  python graph.py | pybuildkit solve --local src=. -o type=oci,dest=image.tar
"""

EPOCH = "SOURCE_DATE_EPOCH"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""

    def add_list(name: str, metavar: str, about: str) -> None:
        parser.add_argument(name, action="append", default=[], metavar=metavar, help=about)

    parser.add_argument(
        "--frontend", default="", metavar="NAME", help="dockerfile.v0, or gateway.v0 with --opt source=IMAGE"
    )
    add_list("--opt", "KEY=VALUE", "tell the frontend something")
    add_list("--local", "NAME=DIR", "let the build read a directory")
    add_list("--oci-layout", "ID=DIR", "let the build read an OCI layout")
    parser.add_argument("--no-cache", action="store_true", help="run every step again")
    add_list("--export-cache", "SPEC", "export the cache, as type=local,dest=DIR")
    add_list("--import-cache", "SPEC", "import a cache, as type=local,src=DIR")
    add_build_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Run the build."""
    options = shared_options(args)
    options |= {
        "locals": key_values("--local", args.local),
        "oci_layouts": key_values("--oci-layout", args.oci_layout),
        "cache_to": args.export_cache,
        "cache_from": args.import_cache,
        "no_cache": args.no_cache,
    }
    for flag, texts in (("--export-cache", args.export_cache), ("--import-cache", args.import_cache)):
        _warn_of_old_caches(flag, texts)
    attrs = _attrs(args.opt)
    target = None
    if args.frontend:
        options |= {"frontend": args.frontend, "attrs": attrs}
    else:
        options["outputs"] = _for_a_graph(attrs, args.output)
        target = _definition()
    return run_and_report(target, options, args)


def _warn_of_old_caches(flag: str, texts: list[str]) -> None:
    for text in texts:
        if "type=" not in text:
            from pybuildkit.cli.log import warn

            warn(f"{flag} {text} is deprecated; write {flag} type=registry,ref={text}")


def _attrs(texts: list[str]) -> dict[str, str]:
    """The options; ``$SOURCE_DATE_EPOCH`` is one of them (B12)."""
    attrs = {}
    if EPOCH in os.environ:
        attrs[f"build-arg:{EPOCH}"] = os.environ[EPOCH]
    return attrs | key_values("--opt", texts)


def _for_a_graph(attrs: dict[str, str], outputs: list[str]) -> list[str]:
    """A graph has no frontend to tell anything; only the epoch means something to it, in its outputs (C29)."""
    from pybuildkit.cli.log import warn

    epoch = attrs.pop(f"build-arg:{EPOCH}", "")
    for key in attrs:
        warn(f"--opt {key}=... has no effect without --frontend: a definition takes no options")
    if not epoch:
        return outputs
    return [o if "source-date-epoch=" in o else f"{o},source-date-epoch={epoch}" for o in outputs]


def _definition() -> Any:
    """The definition on standard input (B22)."""
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError("give --frontend, or pipe an LLB definition into standard input")
    from pybuildkit.llb import Definition

    data = sys.stdin.buffer.read()
    if not data:
        raise ConfigError("standard input is empty: no definition to solve; give --frontend instead?")
    return Definition.from_bytes(data)
