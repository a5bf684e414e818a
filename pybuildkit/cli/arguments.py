"""From words to arguments.

Only the parser of the command that is used is made: making all of them takes longer than a cached build.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache

from pybuildkit._version import __version__
from pybuildkit.cli.commands import COMMANDS, Command, find

__all__ = ["PROG", "leaves", "parse_arguments", "parser_of"]

PROG = "pybuildkit"

_ABOUT = "Talk to a BuildKit daemon: run builds, and ask it about itself."
_NO_ADDRESS = (
    "Without --addr and $BUILDKIT_HOST the usual sockets are tried, then a private daemon is started."
)


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Read a command line; wrong usage ends the process with exit code 2, as argparse does.

    The result has ``module``, the command's module, beside the arguments.
    """
    args = _group_parser(PROG, _ABOUT, COMMANDS, epilog=_NO_ADDRESS, top=True).parse_args(words)
    commands: tuple[Command, ...] = COMMANDS
    path, parser = [PROG], None
    while True:
        word, *rest = args.command
        command = find(commands, word)
        if command is None:
            names = ", ".join(c.name for c in commands if not c.hidden)
            (parser or _group_parser(" ".join(path), _ABOUT, commands, top=len(path) == 1)).error(
                f"{word!r} is no command; there are {names}"
            )
        path.append(command.name)
        parser = parser_of(command, path)
        args = parser.parse_args(rest, args)
        if not command.commands:
            args.module = command.load()
            return args
        commands = command.commands


def parser_of(command: Command, path: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of one command, or of a group's own words."""
    if command.commands:
        return _group_parser(" ".join(path), f"{command.summary.capitalize()}.", command.commands)
    module = command.load()
    parser = argparse.ArgumentParser(
        prog=" ".join(path),
        description=module.DESCRIPTION,
        epilog=module.EXAMPLES,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    _add_global_flags(parser, defaults=False)
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """argparse makes a formatter for each argument, which asks ``shutil`` for the terminal each time; this asks itself, once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width() - 2)


@cache
def _width() -> int:
    """Columns as ``shutil.get_terminal_size`` finds them, whose import takes longer than all arguments together."""
    try:
        columns = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        columns = 0
    if columns <= 0 and sys.__stdout__ is not None:
        with suppress(OSError, ValueError):
            columns = os.get_terminal_size(sys.__stdout__.fileno()).columns
    return columns if columns > 0 else 80


def leaves(
    commands: tuple[Command, ...] = COMMANDS, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Every command that can be run, with its words."""
    for command in commands:
        words = (*path, command.name)
        if command.commands:
            yield from leaves(command.commands, words)
        else:
            yield words, command


def _group_parser(
    prog: str, about: str, commands: tuple[Command, ...], *, epilog: str = "", top: bool = False
) -> argparse.ArgumentParser:
    width = max(len(c.name) for c in commands if not c.hidden)
    listed = "\n".join(f"  {c.name:<{width}}  {c.summary}" for c in commands if not c.hidden)
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [FLAG ...] COMMAND [ARGUMENT ...]",
        description=f"{about}\n\ncommands:\n{listed}",
        epilog=f"{epilog}\n`{prog} COMMAND --help` tells about a command.".strip(),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    if top:
        parser.add_argument("--version", "-v", action="version", version=f"{PROG} {__version__}")
    _add_global_flags(parser, defaults=top)
    parser.add_argument("command", nargs=argparse.PARSER, metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def _add_global_flags(parser: argparse.ArgumentParser, *, defaults: bool) -> None:
    """The flags that every command takes, before or behind its name; only the first place sets defaults."""
    group = parser.add_argument_group("flags of all commands")

    def add(flag: str, default: object, **kwargs: object) -> None:
        group.add_argument(flag, default=default if defaults else argparse.SUPPRESS, **kwargs)  # type: ignore[arg-type]

    add(
        "--addr",
        None,
        metavar="ADDRESS",
        help="the daemon, as unix:///path, tcp://host:port [$BUILDKIT_HOST]",
    )
    add("--tlsservername", "", metavar="NAME", help="server name to expect in the daemon's certificate")
    add("--tlscacert", "", metavar="FILE", help="CA certificate that signed the daemon's")
    add("--tlscert", "", metavar="FILE", help="client certificate")
    add("--tlskey", "", metavar="FILE", help="client key")
    add(
        "--tlsdir",
        "",
        metavar="DIR",
        help="folder with ca.pem, cert.pem and key.pem, or ca.crt, tls.crt and tls.key",
    )
    add(
        "--timeout",
        5.0,
        metavar="SECONDS",
        type=float,
        help="how long to wait for the daemon's first answer [5]",
    )
    add("--wait", False, action="store_true", help="keep trying until --timeout while nobody listens")
    add("--debug", False, action="store_true", help="print stack traces on errors, the daemon's and our own")
    add(
        "--log-format",
        "text",
        choices=("text", "json"),
        metavar="FORMAT",
        help="of our own warnings: text, json [text]",
    )
