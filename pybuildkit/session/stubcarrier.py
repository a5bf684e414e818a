"""The carrier that is good for every address: Control.Session on the shared channel, beside Solve."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from queue import Empty, SimpleQueue

import anyio

from pybuildkit import _wire
from pybuildkit.errors import BuildKitError, ProtocolError
from pybuildkit.rpc.channel import Channel, Duplex, Metadata
from pybuildkit.session.calls import Buffer
from pybuildkit.session.carrier import (
    BATCH,
    SESSION,
    Carrier,
    CarrierFactory,
    decode_bytes_message,
    encode_bytes_message,
)

__all__ = ["StubCarrier", "on_channel"]

_IN_FLIGHT = 2 * BATCH
"""Bytes written by the thread that the channel has not taken yet."""

_UNREAD = 1 << 20
"""Bytes from the channel that the thread has not taken yet: a slow disk makes the daemon wait, not memory grow."""


_MOMENT = 0.001
"""Seconds between two wakings of the thread for what has arrived: the daemon asks for each small file by itself."""


class StubCarrier:
    """Two tasks in the event loop move messages between the stream and the session's thread.

    The two sides share deques and counters of which each has one writer; see ``Carrier`` for who calls what.

    Attributes:
        duplex: the stream.
    """

    unit = 0
    overhead = 0

    def __init__(self, duplex: Duplex) -> None:
        self.duplex = self._duplex = duplex
        self._loop = asyncio.get_running_loop()
        self.error: Exception | None = None
        self._inbox: deque[bytes] = deque()
        self._received = 0
        self._taken = 0
        self._ended = False
        self._full = False
        self._space = asyncio.Event()
        self._rang = 0.0
        self._ringing: asyncio.TimerHandle | None = None
        self._outbox: deque[tuple[int, bytes] | None] = deque()
        self._written = 0
        self._sent = 0
        self._work = asyncio.Event()
        self._woken = False
        self._bell: SimpleQueue[None] = SimpleQueue()

    # The thread's side.

    def take(self) -> list[bytes]:
        """See ``Carrier.take``."""
        taken: list[bytes] = []
        while self._inbox:
            taken.append(self._inbox.popleft())
        if taken:
            self._taken += sum(map(len, taken))
            # After the count, as the reader looks at it after it has said that it will wait: one sees the other.
            if self._full:
                self._loop.call_soon_threadsafe(self._space.set)
        return taken

    @property
    def ended(self) -> bool:
        """See ``Carrier.ended``."""
        return self._ended and not self._inbox

    def room(self) -> int:
        """See ``Carrier.room``."""
        return BATCH if self._written - self._sent <= _IN_FLIGHT - BATCH else 0

    def write(self, buffers: Sequence[Buffer], size: int) -> None:
        """See ``Carrier.write``."""
        self._written += size
        self._outbox.append((size, encode_bytes_message(buffers, size)))
        self._loop.call_soon_threadsafe(self._work.set)

    def finish_writing(self) -> None:
        """See ``Carrier.finish_writing``."""
        self._outbox.append(None)
        self._loop.call_soon_threadsafe(self._work.set)

    def wait(self, timeout: float | None) -> None:
        """See ``Carrier.wait``."""
        try:
            self._bell.get(timeout=timeout)
        except Empty:
            return
        # Whoever rings after this line is heard by the next wait; what came before it is seen by this one's caller.
        self._woken = False

    def wake(self) -> None:
        """See ``Carrier.wake``."""
        if not self._woken:
            self._woken = True
            self._bell.put(None)

    def close(self) -> None:
        """See ``Carrier.close``: the daemon's last bytes are read and dropped."""
        self._taken = 1 << 62
        self._loop.call_soon_threadsafe(self._space.set)

    # The event loop's side.

    async def run(self) -> None:
        """See ``Carrier.run``."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send)
            await self._receive()
            tasks.cancel_scope.cancel()

    async def _receive(self) -> None:
        try:
            while (message := await self._duplex.receive()) is not None:
                data = decode_bytes_message(message)
                self._received += len(data)
                self._inbox.append(data)
                self._ring()
                await self._wait_for_space()
        except BuildKitError as exc:
            self._fail(exc)
        except _wire.ProtoDecodeError as exc:
            self._fail(ProtocolError(f"the session's stream carries no BytesMessage: {exc}", method=SESSION))
        finally:
            if self._ringing is not None:
                self._ringing.cancel()
            self._ended = True
            self.wake()

    def _ring(self) -> None:
        """Wake the thread for what has arrived: at once, or with what else comes within the same moment."""
        if self._ringing is not None:
            return
        now = self._loop.time()
        if now - self._rang >= _MOMENT:
            self._rang = now
            self.wake()
        else:
            self._ringing = self._loop.call_at(self._rang + _MOMENT, self._ring_late)

    def _ring_late(self) -> None:
        self._ringing = None
        self._rang = self._loop.time()
        self.wake()

    async def _wait_for_space(self) -> None:
        self._full = True
        while self._received - self._taken >= _UNREAD:
            self._space.clear()
            await self._space.wait()
        self._full = False

    async def _send(self) -> None:
        try:
            while True:
                while not self._outbox:
                    self._work.clear()
                    await self._work.wait()
                entry = self._outbox.popleft()
                if entry is None:
                    await self._duplex.done_sending()
                    return
                size, message = entry
                await self._duplex.send(message)
                self._sent += size
                self.wake()
        except BuildKitError as exc:
            self._fail(exc)

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self.wake()


def on_channel(channel: Channel) -> CarrierFactory:
    """Carry the session on a channel's own connection."""

    @asynccontextmanager
    async def opened(metadata: Metadata) -> AsyncIterator[Carrier]:
        async with channel.duplex(SESSION, metadata=metadata) as duplex:
            yield StubCarrier(duplex)

    return opened
