"""What the command line prints when something fails (B16): source lines, a policy's reasons, the error."""

from __future__ import annotations

import argparse
import sys

from pybuildkit.details import DecisionResponse, SourceError, Stack
from pybuildkit.errors import BuildError, BuildKitError

__all__ = ["print_failure"]


def print_failure(error: BuildKitError, args: argparse.Namespace) -> None:
    """Print an error to stderr, with stack traces when ``--debug`` asks for them."""
    details = getattr(error, "details", ())
    if isinstance(error, BuildError) and error.log and not getattr(args, "log_shown", True):
        _print(f"------\n > {error.vertex}:\n{error.log.rstrip()}\n------")
    for text in dict.fromkeys(d.render() for d in details if isinstance(d, SourceError)):
        if text:
            _print(text)
    for detail in details:
        if isinstance(detail, DecisionResponse):
            for message in detail.messages:
                _print(f"policy deny: {message}")
    text = f"failed to solve: {error.message}" if isinstance(error, BuildError) else str(error)
    if not args.debug:
        _print(f"error: {text}")
        return
    import traceback

    from pybuildkit.stacks import render_stacks

    _print(f"error: {render_stacks(text, [d for d in details if isinstance(d, Stack)])}".rstrip())
    traceback.print_exception(error, file=sys.stderr)


def _print(text: str) -> None:
    print(text, file=sys.stderr)
