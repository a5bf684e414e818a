"""The door: read the arguments, run the command, turn errors into texts and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pybuildkit.cli.arguments import parse_arguments

__all__ = ["main"]

FAILED = 1
INTERRUPTED = 130


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
    args = parse_arguments(sys.argv[1:] if argv is None else argv)
    from pybuildkit.cli.interrupted import Interrupted
    from pybuildkit.cli.log import show_warnings
    from pybuildkit.errors import BuildKitError

    show_warnings(args.log_format)
    try:
        return _run(args)
    except Interrupted as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    except BuildKitError as exc:
        from pybuildkit.cli.failure import print_failure

        print_failure(exc, args)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _run(args: object) -> int:
    import inspect

    module = args.module  # type: ignore[attr-defined]
    if not inspect.iscoroutinefunction(module.run):
        code: int = module.run(args)
        return code
    from pybuildkit.cli.run import run_command

    result: int = run_command(module.run, args)  # type: ignore[arg-type]
    return result
