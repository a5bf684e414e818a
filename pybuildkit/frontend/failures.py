"""What the daemon is told of a frontend's failure, and what the function may catch."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from pybuildkit._version import __version__
from pybuildkit.errors import BuildError, BuildKitError, ConnectionLost, FrontendError, RPCError
from pybuildkit.gateway._status import encode_status
from pybuildkit.gateway.bridge import BUILDING
from pybuildkit.stacks import Frame, Stack

__all__ = ["cause_of", "explained", "status_of"]

_LIBRARY = str(Path(__file__).parents[1]) + os.sep


async def explained(error: RPCError) -> BuildKitError:
    """What the daemon said of a failed step, as the error that a client would get."""
    from pybuildkit.builderrors import build_error
    from pybuildkit.details import FailedVertex

    if isinstance(error, ConnectionLost):
        return error
    if error.method in BUILDING or any(isinstance(detail, FailedVertex) for detail in error.details):
        return build_error(error.code, error.message, error.details)
    return error


def cause_of(error: BaseException) -> BaseException:
    """The error in a group: the first that is of this library, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [cause_of(each) for each in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, BuildKitError)), leaves[0])


def status_of(error: BaseException, *, limit: int | None = None) -> bytes:
    """The status for an error: its text, its details, and the Python lines, which ``buildctl --debug`` shows.

    Args:
        error: no group.
        limit: characters of the text, and no details: for when the whole was refused.
    """
    shown = error if isinstance(error, BuildError | RPCError) else FrontendError(_text(error))
    if limit is not None:
        return encode_status(FrontendError(shown.message[:limit]))
    return encode_status(shown, [_stack(error)])


def _text(error: BaseException) -> str:
    """What is said of an error that is no build's: its kind, its text, and where it was raised."""
    if isinstance(error, BuildKitError):
        return str(error)
    if isinstance(error, SystemExit):
        text = f"the frontend's function called sys.exit({error.code!r})"
    else:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if not frame.filename.startswith(_LIBRARY)), None)
    return f"{text} ({Path(place.filename).name} line {place.lineno}, in {place.name})" if place else text


def _stack(error: BaseException) -> Stack:
    """Where an error was raised, in the form in which the daemon passes it on (C60)."""
    frames = [
        Frame(frame.name, frame.filename, frame.lineno or 0)
        for frame in reversed(traceback.extract_tb(error.__traceback__))
    ]
    return Stack(tuple(frames), tuple(sys.argv), os.getpid(), f"pybuildkit/{__version__}")
