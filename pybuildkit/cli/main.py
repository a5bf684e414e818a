"""The door: read the arguments, run the command, turn errors into texts and exit codes."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import NoReturn

from pybuildkit.cli.arguments import parse_arguments

__all__ = ["main", "run"]

FAILED = 1
INTERRUPTED = 130

_MOMENT = 0.02


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


def run() -> NoReturn:
    """The process' own main program: ``main``, without what only a long-running program needs.

    An interpreter that ends takes all its modules apart: that is a tenth of a cached build, and nobody's gain.
    """
    gc.set_threshold(20_000, 20, 20)  # most of what a command makes, it keeps until it ends
    code = main()
    if _alone():
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # Python itself reports it
            sys.exit(code)
        atexit._run_exitfuncs()  # noqa: SLF001 - os._exit leaves them out
        os._exit(code)
    sys.exit(code)


def _alone() -> bool:
    """No thread runs beside this one, or will in a moment: those of an event loop end just after it."""
    threading = sys.modules.get("threading")
    if threading is None:
        return True
    until = time.monotonic() + _MOMENT
    while threading.active_count() > 1 and time.monotonic() < until:
        time.sleep(0.0002)
    return bool(threading.active_count() == 1)


def _run(args: object) -> int:
    outcome: int | Coroutine[object, object, int] = args.module.run(args)  # type: ignore[attr-defined]
    if isinstance(outcome, int):
        return outcome
    from pybuildkit.cli.run import run_coroutine

    return run_coroutine(outcome)
