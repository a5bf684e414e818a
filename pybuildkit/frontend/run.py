"""The process of a frontend's container: the daemon on standard input and output, one function, one result."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import anyio

from pybuildkit.errors import BuildKitError, ConnectionLost, RPCError
from pybuildkit.frontend.environ import Environment
from pybuildkit.frontend.failures import cause_of, explained, status_of
from pybuildkit.gateway import caps
from pybuildkit.gateway._messages import encode_return
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.gateway import Gateway
from pybuildkit.rpc.stdio import StdioChannel

if TYPE_CHECKING:
    from pybuildkit.frontend.define import Frontend

__all__ = ["FAILED", "WRONG_PLACE", "run"]

FAILED = 1
WRONG_PLACE = 2

GRACE = 5.0
"""Seconds that the function has to stop when the daemon is gone."""

LONGEST_TEXT = 64 << 10
"""Characters of an error's text that are sent when the whole error is refused."""

_log = logging.getLogger("pybuildkit.frontend")


def run(frontend: Frontend) -> NoReturn:
    """Run a frontend on standard input and output, and end the process."""
    told = Environment.parse(os.environ)
    if not told.started:
        sys.stderr.write(_wrong_place(frontend.name))
        raise SystemExit(WRONG_PLACE)
    from pybuildkit.llb import set_frame_capture

    read_fd, write_fd = _take_stdio()
    logging.basicConfig(stream=sys.stderr, format=f"{frontend.name}: %(levelname)s: %(message)s")
    # Errors show the lines of the user's input, not those of the program that read it.
    set_frame_capture(False)
    loop = asyncio.new_event_loop()
    code = FAILED
    try:
        code = loop.run_until_complete(_serve(frontend, told, StdioChannel(read_fd, write_fd)))
    finally:
        # Also when something else ends the loop, as sys.exit() in a task does: the daemon then names the exit code.
        _leave(code)


def _wrong_place(name: str) -> str:
    return (
        f"{name} is a BuildKit frontend: buildkitd runs it, from the image that a '# syntax=' line names, and talks to "
        "it over standard input and output.\nTo try it, give it to pybuildkit.testing.run_frontend().\n"
    )


def _take_stdio() -> tuple[int, int]:
    """Keep the daemon's pipes to ourselves: what the function prints must not get between the frames."""
    read_fd, write_fd = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    with contextlib.suppress(AttributeError, OSError):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return read_fd, write_fd


def _leave(code: int) -> NoReturn:
    """End the process now: a thread that the function has left behind must not hold up the build."""
    error = sys.exception()
    if error is not None:
        _log.error("the frontend ended without an answer to the daemon", exc_info=error)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


async def _serve(frontend: Frontend, told: Environment, channel: StdioChannel) -> int:
    bridge = Bridge(channel, explain=explained)
    try:
        await bridge.connect()
    except BuildKitError as exc:
        _log.error("%s", exc)
        return FAILED
    gateway = Gateway(bridge, options=told.options, session=told.session)
    code = FAILED
    async with anyio.create_task_group() as tasks:
        scope = tasks.cancel_scope
        tasks.start_soon(_watch, channel, scope)
        try:
            code = await _build(frontend, gateway, bridge)
        except BaseException as exc:
            if scope.cancel_called:
                raise
            await _fail(bridge, exc)
        scope.cancel()
    return code


async def _watch(channel: StdioChannel, scope: anyio.CancelScope) -> None:
    """A daemon that is gone wants no result: stop, and see to it that this process ends."""
    await channel.lost()
    _log.error("buildkitd has gone away in the middle of the build")
    timer = threading.Timer(GRACE, os._exit, (FAILED,))
    timer.daemon = True
    timer.start()
    scope.cancel()


async def _build(frontend: Frontend, gateway: Gateway, bridge: Bridge) -> int:
    """Run the function and give its result to the daemon."""
    result = await frontend(gateway)
    bridge.check("a frontend's result", caps.RETURN)
    if len(result.refs) > 1:
        bridge.check("a frontend's result with several platforms", caps.RETURN_MAP)
    if result.attestations:
        bridge.check("a frontend's result with attestations", caps.ATTESTATIONS)
    await bridge.send_return(encode_return(result, b"", bridge))
    return 0


async def _fail(bridge: Bridge, error: BaseException) -> None:
    """Tell the daemon why there is no result."""
    cause = cause_of(error)
    if not isinstance(cause, BuildKitError):
        _log.error("the function failed", exc_info=cause)
    with anyio.CancelScope(shield=True):
        try:
            await bridge.send_return(encode_return(None, status_of(cause), bridge))
        except ConnectionLost as exc:
            _log.error("buildkitd could not be told of the failure (%s): %s", exc, cause)
        except RPCError as exc:
            _log.error("the daemon does not take the error: %s", exc)
            await bridge.send_return(encode_return(None, status_of(cause, limit=LONGEST_TEXT), bridge))
