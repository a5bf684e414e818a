"""Coroutine handlers for the session's thread: each is a machine there, and a task on the user's event loop.

Both sides only append to deques and wake the other one; no lock is taken, and neither waits for the other.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup

from pybuildkit.http2.messages import PREFIX_SIZE
from pybuildkit.session.calls import (
    AsyncHandler,
    Buffer,
    Call,
    CallMetadata,
    Chooser,
    Code,
    Machine,
    MachineFactory,
    Status,
    StatusError,
)
from pybuildkit.session.servercall import ServerCall

__all__ = ["Bridge"]

_SEND_LIMIT = 256 << 10
"""Bytes that a handler may have on their way before ``send`` waits."""

_LOW_WATER = 64 << 10
"""The rest at which it goes on."""

_CREDIT = 64 << 10
"""Bytes read that are told to the thread at once; each telling wakes it."""


class Bridge:
    """Runs coroutine handlers in a task group.

    Args:
        tasks: where the handlers run.
        post: hands a function to the session's thread; may be called from the event loop.
        failures: takes what handlers raise beside ``StatusError``, with the method.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        post: Callable[[Callable[[], None]], None],
        failures: deque[tuple[str, BaseException]],
    ) -> None:
        self._tasks = tasks
        self._starting: deque[Callable[[], Coroutine[Any, Any, object]]] = deque()
        self._start_some = asyncio.Event()
        self._closed = False
        self._busy = False
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.post = post
        self.failures = failures

    def factory(self, handler: AsyncHandler) -> MachineFactory:
        """What makes the machine for a call of that handler."""

        def make(call: Call) -> Machine:
            assert isinstance(call, ServerCall)
            return _BridgedCall(self, call, handler)

        return make

    def chosen(self, choose: Chooser) -> MachineFactory:
        """What makes the machine for a call of which only its metadata says what serves it."""

        def make(call: Call) -> Machine:
            made = choose(call)
            return self.factory(made)(call) if callable(made) else made

        return make

    async def serve(self) -> None:
        """Start what ``start`` was given, until ``close``. A task must do it: anyio starts none from a callback."""
        while not self._closed:
            while self._starting:
                self._busy = True
                self._tasks.start_soon(self._starting.popleft())
            self._start_some.clear()
            await self._start_some.wait()
        self._starting.clear()
        if self._busy:
            self._tasks.cancel_scope.cancel()

    def close(self) -> None:
        """Start nothing more, and cancel what runs."""
        self._closed = True
        self._start_some.set()

    def start(self, run: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """From the thread: start a task."""
        self.tell(self._start, run)

    def _start(self, run: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._starting.append(run)
        self._start_some.set()

    def tell(self, function: Callable[..., object], *args: object) -> None:
        """From the thread: have a function called in the event loop, in the context of the session's opening."""
        self._loop.call_soon_threadsafe(function, *args, context=self._context)


class _BridgedCall:
    """A machine to the thread, an ``AsyncCall`` to the handler."""

    def __init__(self, bridge: Bridge, call: ServerCall, handler: AsyncHandler) -> None:
        self._bridge = bridge
        self._call = call
        self._handler = handler
        call.paced = True
        call.stream.low_water = _LOW_WATER
        # Written by the thread, read by the loop.
        self._inbox: deque[bytes] = deque()
        self._ended = False
        # The loop's own.
        self._over = False
        self._scope: anyio.CancelScope | None = None
        self._wake_receiver: asyncio.Event = asyncio.Event()
        self._wake_sender: asyncio.Event = asyncio.Event()
        self._posted = 0
        self._read = 0
        bridge.start(self._run)

    # The machine, in the thread.

    def message(self, data: bytes) -> None:
        self._inbox.append(data)
        self._bridge.tell(self._wake_receiver.set)

    def half_closed(self) -> None:
        self._ended = True
        self._bridge.tell(self._wake_receiver.set)

    def pull(self) -> bool:
        return False

    def closed(self) -> None:
        self._call.on_drained = None
        self._bridge.tell(self._cancel)

    def _watch_drain(self) -> None:
        """The handler waits for room: wake it now, or when what is queued has gone."""
        if self._call.stream.queued < _LOW_WATER:
            self._bridge.tell(self._wake_sender.set)
        else:
            self._call.on_drained = self._drained

    def _drained(self) -> None:
        self._call.on_drained = None
        self._bridge.tell(self._wake_sender.set)

    # The handler's side, in the event loop.

    @property
    def method(self) -> str:
        return self._call.method

    @property
    def metadata(self) -> CallMetadata:
        return self._call.metadata

    async def receive(self) -> bytes | None:
        while not self._inbox:
            if self._ended and not self._inbox:
                return None
            self._wake_receiver.clear()
            await self._wake_receiver.wait()
        message = self._inbox.popleft()
        self._read += len(message)
        if self._read >= _CREDIT:
            read, self._read = self._read, 0
            self._bridge.post(lambda: self._call.credit(read))
        return message

    async def send(self, *parts: Buffer) -> None:
        # ``flushed`` is written by the thread only; an old value makes this wait, and the thread is asked.
        while self._posted - self._call.stream.flushed > _SEND_LIMIT:
            self._wake_sender.clear()
            self._bridge.post(self._watch_drain)
            await self._wake_sender.wait()
        self._posted += PREFIX_SIZE + sum(map(len, parts))
        self._bridge.post(lambda: self._call.send(*parts))

    def _cancel(self) -> None:
        self._over = True
        if self._scope is not None:
            self._scope.cancel()

    async def _run(self) -> None:
        if self._over:
            return
        status = Status(Code.CANCELLED, "the handler was cancelled")
        with anyio.CancelScope() as self._scope:
            status = await self._handle()
        self._bridge.post(lambda: self._call.finish(status))

    async def _handle(self) -> Status:
        try:
            await self._handler(self)
        except StatusError as exc:
            return exc.status
        except Exception as exc:  # noqa: BLE001 - whatever it is, it ends this call only
            self._bridge.failures.append((self.method, exc))
            return Status(Code.UNKNOWN, str(exc) or type(exc).__name__)
        return Status()
