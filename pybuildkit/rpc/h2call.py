"""One call on an HTTP/2 connection in the event loop: whoever waits for what the daemon sends of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from pybuildkit.errors import BuildKitError
from pybuildkit.rpc.channel import Metadata
from pybuildkit.rpc.h2link import Link
from pybuildkit.rpc.h2stream import CallStream

__all__ = ["Call"]

_SEND_AHEAD = 256 << 10
"""Bytes of messages that may wait to be sent; whoever sends more waits."""


class Call(CallStream):
    """A call. It is ``StreamHandler`` to its stream, ``ServerStream`` and ``Duplex`` to its caller.

    Args:
        link: the connection.
        headers: the encoded request headers.
        method: the full method, for errors.
        address: the daemon's address, likewise.
    """

    is_eager = True

    def __init__(self, link: Link, headers: bytes, *, method: str, address: str) -> None:
        self._link = link
        self._messages: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._watcher: Callable[[], object] | None = None
        self._parting: asyncio.TimerHandle | None = None
        super().__init__(link, headers, method=method, address=address)
        self._stream.low_water = _SEND_AHEAD

    def begin(self) -> None:
        """Send the headers, for a call whose first message may come from the daemon; at once: it has a while to do with them."""
        self._link.flush_now()

    async def send(self, message: bytes) -> None:
        """See ``Duplex.send``."""
        self.queue(message)
        self._link.flush()
        while self._stream.queued >= _SEND_AHEAD and not self._over:
            self._room.clear()
            await self._room.wait()

    async def done_sending(self) -> None:
        """See ``Duplex.done_sending``."""
        self.post_end()

    def send_only(self, message: bytes) -> None:
        """Send the one message of a call that has no more, at once; does not wait."""
        self.queue(message)
        self._stream.end()
        self._link.flush_now()

    async def receive(self) -> bytes | None:
        """See ``Duplex.receive``."""
        while not self._messages:
            if self._over:
                if self._error is not None:
                    raise self._error
                return None
            self._news.clear()
            await self._news.wait()
        return self.take()

    # See ``EagerDuplex``.

    def watch(self, watcher: Callable[[], object] | None) -> None:
        """See ``EagerDuplex.watch``."""
        self._watcher = watcher

    @property
    def has_messages(self) -> bool:
        """See ``EagerDuplex.has_messages``."""
        return bool(self._messages)

    @property
    def over(self) -> bool:
        """See ``EagerDuplex.over``."""
        return self._over and not self._messages

    @property
    def error(self) -> BuildKitError | None:
        """See ``EagerDuplex.error``."""
        return self._error

    @property
    def crowded(self) -> bool:
        """See ``EagerDuplex.crowded``."""
        return self._stream.queued >= _SEND_AHEAD

    def post(self, message: bytes) -> None:
        """See ``EagerDuplex.post``."""
        if not self._over:
            self.queue(message)
            self._link.flush()

    def post_end(self) -> None:
        """See ``EagerDuplex.post_end``."""
        self._stream.end()
        self._link.flush()

    def part(self, patience: float) -> None:
        """See ``EagerDuplex.part``."""
        if not self._over:
            self._messages.clear()
            self._unread = 0
            self._give_credit()
            self._watcher = None
            self._parting = asyncio.get_running_loop().call_later(patience, self._expire)

    def _expire(self) -> None:
        self._parting = None
        self.cancel()

    def take(self) -> bytes:
        """See ``EagerDuplex.take``."""
        message = self._messages.popleft()
        self._unread -= len(message)
        if self._owed:
            self._give_credit()
            self._link.flush()
        return message

    async def answer(self) -> bytes:
        """The one message of a call that has no more."""
        message = await self.receive()
        if message is None:
            raise self._failure("INTERNAL", "the daemon ended the call without an answer")
        if await self.receive() is not None:
            raise self._failure("INTERNAL", "the daemon gave more than one answer")
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """See ``ServerStream``."""
        while (message := await self.receive()) is not None:
            yield message

    async def initial_metadata(self) -> Metadata:
        """See ``ServerStream.initial_metadata``."""
        while self._initial is None:
            if self._over:
                if self._error is not None:
                    raise self._error
                return []
            self._news.clear()
            await self._news.wait()
        return [(_text(key), _text(value)) for key, value in self._initial if not key.startswith(b":")]

    def cancel(self) -> None:
        """End what is left of the call, here and in the daemon."""
        if self._parting is not None:
            return
        self.give_up()
        self._messages.clear()
        self._link.leave()

    def arrived(self, messages: list[bytes]) -> None:
        """See ``CallStream.arrived``."""
        if self._parting is not None:
            return
        self._messages.extend(messages)
        self._unread += sum(map(len, messages))
        self._news.set()
        if self._watcher is not None:
            self._watcher()

    def changed(self) -> None:
        """See ``CallStream.changed``."""
        if self._parting is not None and self._over:
            self._parting.cancel()
            self._parting = None
        self._news.set()
        self._room.set()
        if self._watcher is not None:
            self._watcher()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
