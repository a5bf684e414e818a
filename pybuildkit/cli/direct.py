"""Builds without an event loop, where that is possible: most of a small build's time would be spent on importing one."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from pybuildkit.cli.interrupted import GRACE, Interrupted
from pybuildkit.errors import BuildCancelled

if TYPE_CHECKING:
    from pybuildkit.direct.build import DirectBuild
    from pybuildkit.result import Result
    from pybuildkit.transport import Endpoint
    from pybuildkit.ui import Display

__all__ = ["OWN_SESSION", "TRANSPORT", "build_directly"]

OWN_SESSION = "PYBUILDKIT_OWN_SESSION"
TRANSPORT = "PYBUILDKIT_TRANSPORT"
"""Environment variables for comparisons: see ``AsyncClient``'s ``own_session`` and ``transport``."""


def build_directly(
    target: Any,
    options: dict[str, Any],
    args: argparse.Namespace,
    display: Display,
    ended: Callable[[str], object],
) -> Result | None:
    """Run a build, and show it.

    Args:
        target: what ``AsyncClient.stream`` takes.
        options: likewise.
        args: the command line.
        display: shows it.
        ended: told the build's id when it has ended, well or badly.

    Returns:
        The result; None when the build needs an event loop: nothing has happened then.

    Raises:
        Interrupted: a signal ended it.
        BuildKitError: as ``AsyncClient.stream`` and ``Build.result`` do.
    """
    endpoint = _endpoint(args)
    if endpoint is None:
        return None
    from pybuildkit.direct.build import DirectBuild
    from pybuildkit.direct.channel import open_channel
    from pybuildkit.planning import plan_now

    channel = open_channel(endpoint, timeout=args.timeout, wait=args.wait)
    try:
        plan = plan_now(target, options)
        if plan.hides:
            return None
        build = DirectBuild(channel, plan, display)
        try:
            return _watched(build, display)
        finally:
            ended(build.ref)
    finally:
        channel.close()


def _endpoint(args: argparse.Namespace) -> Endpoint | None:
    """Where to, if a socket can be connected to it."""
    if args.tlsdir or args.tlscacert or args.tlscert or args.tlskey or args.tlsservername:
        return None
    if os.environ.get(OWN_SESSION) or os.environ.get(TRANSPORT):
        return None
    from pybuildkit.transport import default_address, parse_address, translate

    address = args.addr or default_address()
    return translate(parse_address(address), address) if address else None


def _watched(build: DirectBuild, display: Display) -> Result:
    """Run a build; the first signal stops it in the daemon, a second one leaves at once."""
    caught: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        caught.append(number)
        build.cancel(grace=GRACE if len(caught) == 1 else 0)

    with _handling(stop):
        try:
            return build.run()
        except BuildCancelled:
            if caught:
                raise Interrupted(caught[0], "the build") from None
            raise
        finally:
            display.done()


@contextmanager
def _handling(handler: Any) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
