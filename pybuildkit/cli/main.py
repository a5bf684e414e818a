"""The door: read the arguments, run the command, turn errors into texts and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pybuildkit._version import __version__
from pybuildkit.cli import build, info, solve, workers

__all__ = ["main"]

FAILED = 1
USAGE = 2
INTERRUPTED = 130
TERMINATED = 143

_COMMANDS = (solve, build, info, workers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pybuildkit",
        description="Talk to a BuildKit daemon: run builds, and ask it about itself.",
        epilog="Without --addr and $BUILDKIT_HOST the usual sockets are tried, then a private daemon is started.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", "-v", action="version", version=f"pybuildkit {__version__}")
    _add_global_flags(parser, defaults=True)
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_global_flags(shared, defaults=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.register(commands, shared)
    return parser


def _add_global_flags(parser: argparse.ArgumentParser, *, defaults: bool) -> None:
    """The flags that every command takes, before or behind its name; only the first place sets defaults."""
    group = parser.add_argument_group("connection")

    def add(flag: str, default: object, **kwargs: object) -> None:
        group.add_argument(flag, default=default if defaults else argparse.SUPPRESS, **kwargs)  # type: ignore[arg-type]

    add(
        "--addr",
        None,
        metavar="ADDRESS",
        help="daemon address, as unix:///path, tcp://host:port [$BUILDKIT_HOST]",
    )
    add("--tlsservername", "", metavar="NAME", help="server name to expect in the daemon's certificate")
    add("--tlscacert", "", metavar="FILE", help="CA certificate that signed the daemon's")
    add("--tlscert", "", metavar="FILE", help="client certificate")
    add("--tlskey", "", metavar="FILE", help="client key")
    add(
        "--tlsdir",
        "",
        metavar="DIR",
        help="folder with ca.pem, cert.pem and key.pem, instead of the three flags",
    )
    add(
        "--timeout",
        5.0,
        metavar="SECONDS",
        type=float,
        help="how long to wait for the daemon's first answer [5]",
    )
    add("--wait", False, action="store_true", help="keep trying until --timeout while nobody listens")
    add(
        "--debug",
        False,
        action="store_true",
        help="on an error, print stack traces: the daemon's and our own",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; the process' own by default.

    Returns:
        The exit code: 0, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    # gRPC's fork handlers print to stderr when a child is started; none of our children needs them.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    args = _parser().parse_args(argv)
    from pybuildkit.cli.run import Interrupted, run_command
    from pybuildkit.errors import BuildKitError, ConfigError, DefinitionError

    try:
        return run_command(args.run, args)
    except (ConfigError, DefinitionError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return USAGE if args.debug is None else FAILED
    except BuildKitError as exc:
        _print_failure(exc, debug=args.debug)
        return FAILED
    except Interrupted as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _print_failure(error: Exception, *, debug: bool) -> None:
    from pybuildkit.details import Stack
    from pybuildkit.errors import BuildError

    if isinstance(error, BuildError) and error.source is not None:
        print(error.source.render(), file=sys.stderr)
    text = error.message if isinstance(error, BuildError) else str(error)
    print(f"error: {text}", file=sys.stderr)
    if debug:
        import traceback

        for detail in getattr(error, "details", ()):
            if isinstance(detail, Stack):
                print(detail.render(), file=sys.stderr)
        traceback.print_exception(error, file=sys.stderr)
