"""A process in a container on this process' own terminal: what is typed goes in, what is printed comes out."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Unpack

import anyio
from anyio import to_thread

from pybuildkit._concurrent import run_all

if TYPE_CHECKING:
    from anyio.abc import ByteReceiveStream

    from pybuildkit.gateway.container import Container, ProcessOptions
    from pybuildkit.gateway.process import Process

__all__ = ["attach", "raw_terminal", "run_attached"]

CHUNK = 32 << 10
"""Bytes of input that are sent at once."""


async def run_attached(
    container: Container,
    args: Sequence[str],
    *,
    stdin: int = 0,
    stdout: int = 1,
    stderr: int = 2,
    **options: Unpack[ProcessOptions],
) -> int:
    """Run a process with this process' own input and output, with a terminal where this process has one.

    Args:
        container: where.
        args: the command, without a shell.
        stdin: a file descriptor: what is read from it goes to the process.
        stdout: likewise: what the process prints goes there.
        stderr: likewise for errors, unless there is a terminal, where they are in the output.
        **options: see ``ProcessOptions``.

    Returns:
        The process' exit code; 128 and more for a signal.

    Raises:
        ExecError: it could not be started.
        RPCError: the daemon went away.
        OSError: output could not be written.
    """
    tty = os.isatty(stdin) and os.isatty(stdout)
    if tty:
        options["env"] = {"TERM": os.environ.get("TERM") or "xterm", **options.get("env", {})}
    async with container.start(args, stdin=True, tty=tty, **options) as process:
        return await attach(process, stdin=stdin, stdout=stdout, stderr=None if tty else stderr)


async def attach(process: Process, *, stdin: int = 0, stdout: int = 1, stderr: int | None = None) -> int:
    """Connect a process with file descriptors of this one, until it ends.

    Where ``stdin`` is a terminal it is raw meanwhile, so that every key goes to the process, Ctrl-C too; its size is the
    process' terminal's size, and follows it. The terminal is as before when this returns, however it does.

    Args:
        process: started with ``stdin=True``, and with ``tty=True`` where ``stdin`` is a terminal.
        stdin: where its input comes from.
        stdout: where its output goes to.
        stderr: where its errors go to; None when it has a terminal.

    Returns:
        Its exit code.

    Raises:
        ExecError: it is not known how it ended.
        RPCError: the daemon went away.
        OSError: output could not be written.
    """
    terminal = stderr is None and os.isatty(stdin)
    attached = _Attached(process)
    calls: list[Callable[[], Awaitable[None]]] = [partial(attached.print, process.stdout, stdout)]
    if stderr is not None:
        calls.append(partial(attached.print, process.stderr, stderr))
    with raw_terminal(stdin) if terminal else nullcontext():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attached.until_failure, partial(attached.feed, stdin))
            if terminal:
                tasks.start_soon(attached.until_failure, partial(attached.follow_size, stdin))
            with attached.scope:
                await run_all([*calls, attached.wait])
            tasks.cancel_scope.cancel()
    if attached.failure is not None:
        raise attached.failure
    return await process.wait()


class _Attached:
    """The tasks around a process.

    Attributes:
        failure: what ended them, None when that is the process' own end.
        scope: of what waits for the process.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self.failure: Exception | None = None
        self.scope = anyio.CancelScope()

    async def wait(self) -> None:
        """Wait for its end."""
        await self._process.wait()

    async def until_failure(self, call: Callable[[], Awaitable[None]]) -> None:
        """Run what may end before the process does; but a failure ends all."""
        try:
            await call()
        except Exception as exc:  # noqa: BLE001 - raised by attach(), out of the group's wrapping
            self.failure = self.failure or exc
            self.scope.cancel()

    async def feed(self, fd: int) -> None:
        """Send what is typed, or read; at its end the process' input ends too."""
        stdin = self._process.stdin
        try:
            while True:
                with suppress(PermissionError):  # what no loop can wait for, as a file, does not make wait
                    await anyio.wait_readable(fd)
                data = await to_thread.run_sync(_read, fd, abandon_on_cancel=True)
                if not data:
                    await stdin.aclose()
                    return
                await stdin.send(data)
        except anyio.BrokenResourceError:
            return  # it has ended; whoever waits for it knows how

    async def print(self, stream: ByteReceiveStream, fd: int) -> None:
        """Print what comes, to its end."""
        async for chunk in stream:
            await to_thread.run_sync(_write, fd, chunk, abandon_on_cancel=True)

    async def follow_size(self, fd: int) -> None:
        """Tell the process how large the terminal is, now and whenever that changes."""
        if threading.current_thread() is not threading.main_thread():
            await self._process.resize(*_size(fd))  # signals come to the main thread only
            return
        with anyio.open_signal_receiver(signal.SIGWINCH) as changes:
            await self._process.resize(*_size(fd))
            async for _ in changes:
                await self._process.resize(*_size(fd))


@contextmanager
def raw_terminal(fd: int) -> Generator[None, None, None]:
    """A terminal that hands on every byte as it comes; afterwards it is as it was."""
    import termios
    import tty

    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, CHUNK)
    except OSError as exc:
        if exc.errno == errno.EIO:  # a terminal that was closed
            return b""
        raise


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _size(fd: int) -> tuple[int, int]:
    columns, rows = os.get_terminal_size(fd)
    return rows, columns
