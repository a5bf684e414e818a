"""``pybuildkit build``: a Dockerfile directory, with the flags people know from ``docker build``."""

from __future__ import annotations

import argparse
from typing import Any

from pybuildkit.cli.outcome import add_build_flags, key_values, run_and_report, shared_options
from pybuildkit.cli.questions import Question, add_question_flags, parse_question
from pybuildkit.errors import ConfigError

DESCRIPTION = "Build a Dockerfile directory."
EXAMPLES = """examples:
  pybuildkit build . -o type=local,dest=out
  pybuildkit build . --check
  pybuildkit build . --target test --build-arg PY=3.13 --secret id=token,env=TOKEN
  pybuildkit build services/api -t registry.example/api:1.4 -o type=image,push=true --platform linux/amd64,linux/arm64
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("path", nargs="?", default=".", metavar="DIR", help="the directory, or a git or tar URL [.]")
    add(
        "--file", "-f", metavar="FILE", help="the Dockerfile [DIR/Dockerfile]; - reads it from standard input"
    )
    add("--target", metavar="STAGE", help="the stage to build")
    add(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a value for ARG; from the environment without one",
    )
    add("--label", action="append", default=[], metavar="KEY=VALUE", help="a label of the image")
    add(
        "--platform",
        action="append",
        default=[],
        metavar="PLATFORM",
        help="as linux/arm64; several, or with commas",
    )
    add("--tag", "-t", action="append", default=[], metavar="NAME", help="a name of the image")
    add(
        "--build-context",
        action="append",
        default=[],
        metavar="NAME=SOURCE",
        help="a named context: DIR, docker-image://..., URL",
    )
    add("--no-cache", action="store_true", help="run every step again")
    add(
        "--no-cache-filter",
        action="append",
        default=[],
        metavar="STAGE",
        help="run the steps of these stages again",
    )
    add("--pull", action="store_true", help="resolve base images anew")
    add("--add-host", action="append", default=[], metavar="HOST=ADDRESS", help="a host name for steps")
    add("--network", metavar="MODE", help="network of steps: default, none, host")
    add(
        "--cache-to",
        action="append",
        default=[],
        metavar="SPEC",
        help="export the cache, as type=local,dest=DIR",
    )
    add(
        "--cache-from",
        action="append",
        default=[],
        metavar="SPEC",
        help="import a cache, as type=local,src=DIR",
    )
    add_question_flags(parser)
    add_build_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Run the build."""
    options = options_from(args)
    question = parse_question(args.call)
    if question is not None:
        return _ask(question, options, args)
    return run_and_report(args.path, options, args)


def options_from(args: argparse.Namespace) -> dict[str, Any]:
    """The flags as options of the library's ``build``.

    Raises:
        ConfigError: a flag's value can not work.
    """
    if args.no_cache and args.no_cache_filter:
        raise ConfigError("--no-cache does not go with --no-cache-filter; give one of them")
    options = shared_options(args)
    options |= {
        "build_args": _build_args(args.build_arg),
        "labels": key_values("--label", args.label),
        "platforms": [name for text in args.platform for name in text.split(",") if name],
        "tags": args.tag,
        "contexts": key_values("--build-context", args.build_context),
        "no_cache": args.no_cache_filter or args.no_cache,
        "pull": args.pull,
        "add_hosts": _hosts(args.add_host),
        "cache_to": args.cache_to,
        "cache_from": args.cache_from,
    }
    if args.file == "-":
        import sys

        options["file"] = sys.stdin.buffer.read()
    elif args.file:
        options["file"] = args.file
    if args.target:
        options["target"] = args.target
    if args.network:
        options["network"] = args.network
    return options


def _ask(question: Question, options: dict[str, Any], args: argparse.Namespace) -> int:
    from pybuildkit.cli.questions import ask_and_print
    from pybuildkit.cli.run import connect, run_coroutine

    async def ask() -> int:
        async with connect(args) as client:
            return await ask_and_print(client, args.path, options, question, args)

    return run_coroutine(ask())


def _build_args(texts: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not name:
            raise ConfigError(f"invalid value {text!r} for --build-arg; write --build-arg NAME=VALUE")
        found[name] = value if separator else None
    return found


def _hosts(texts: list[str]) -> dict[str, str]:
    """``host=address``, or docker's older ``host:address``."""
    return key_values("--add-host", [text if "=" in text else text.replace(":", "=", 1) for text in texts])
