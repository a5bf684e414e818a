"""Running a command's coroutine: the event loop, signals, and builds with their display."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, cast

import anyio

from pybuildkit.cli.direct import OWN_SESSION, TRANSPORT
from pybuildkit.cli.interrupted import GRACE, Interrupted
from pybuildkit.errors import BuildCancelled, ConfigError

if TYPE_CHECKING:
    from pybuildkit.build import Build
    from pybuildkit.client import AsyncClient, Transport
    from pybuildkit.result import Result
    from pybuildkit.tls import TLS
    from pybuildkit.ui import Display

__all__ = ["Interrupted", "connect", "run_coroutine", "watch"]

T = TypeVar("T")


def run_coroutine(command: Awaitable[T]) -> T:
    """Run a command to its exit code, or part of one to its result."""
    return asyncio.run(_guarded(command))


async def _guarded(command: Awaitable[T]) -> T:
    """SIGTERM ends a command as Ctrl-C does; what a build does on signals is in ``watch``."""
    loop = asyncio.get_running_loop()
    caught: list[int] = []
    try:
        async with anyio.create_task_group() as tasks:

            def stop(number: int) -> None:
                caught.append(number)
                tasks.cancel_scope.cancel()

            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop, number)
            try:
                result = await command
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.remove_signal_handler(number)
            tasks.cancel_scope.cancel()
            return result
    except BaseExceptionGroup as group:
        raise _only(group) from None
    if caught:
        raise Interrupted(caught[0])
    raise AssertionError("unreachable")


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error in a group that a task group made of it."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found


def tls_from(args: argparse.Namespace) -> TLS | None:
    """The TLS flags as a value, None when there are none of them (B4, B5)."""
    if not (args.tlsdir or args.tlscacert or args.tlscert or args.tlskey):
        if args.tlsservername:
            raise ConfigError("--tlsservername needs --tlscacert, or --tlscert and --tlskey")
        return None
    from pybuildkit.tls import TLS

    if args.tlsdir:
        if args.tlscacert or args.tlscert or args.tlskey:
            raise ConfigError(
                "--tlsdir does not go with --tlscacert, --tlscert and --tlskey; give one or the others"
            )
        return TLS.from_dir(args.tlsdir, server_name=args.tlsservername)
    return TLS(
        ca=args.tlscacert or None,
        cert=args.tlscert or None,
        key=args.tlskey or None,
        server_name=args.tlsservername,
    )


@asynccontextmanager
async def connect(args: argparse.Namespace) -> AsyncIterator[AsyncClient]:
    """A connected client as the global flags say."""
    from pybuildkit.client import AsyncClient

    async with AsyncClient(
        args.addr,
        tls=tls_from(args),
        timeout=args.timeout,
        wait=args.wait,
        own_session=_own_session(),
        transport=cast("Transport | None", os.environ.get(TRANSPORT) or None),  # the client checks it
    ) as client:
        yield client


def _own_session() -> bool | None:
    """What the environment says of the session's connection, None when it says nothing."""
    value = os.environ.get(OWN_SESSION, "")
    if value not in ("", "0", "1"):
        raise ConfigError(f"${OWN_SESSION} is {value!r}; set it to 0 or 1, or not at all")
    return value == "1" if value else None


async def watch(build: Build, display: Display) -> Result:
    """Show a build until it ends; the first signal stops it in the daemon, a second one leaves at once."""
    from pybuildkit.ui.feed import show

    loop = asyncio.get_running_loop()
    caught: list[int] = []
    enough = anyio.CancelScope()

    def stop(number: int) -> None:
        caught.append(number)
        build.cancel()
        if len(caught) > 1:
            enough.cancel()
        else:
            loop.call_later(GRACE, enough.cancel)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    with enough:
        await show(build, display)
        try:
            return await build.result()
        except BuildCancelled:
            if not caught:
                raise
    sys.stderr.flush()
    raise Interrupted(caught[0], "the build")
