"""The ends of a process' streams that its user holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.memory import MemoryObjectReceiveStream

__all__ = ["Input", "Output"]


class Input(ByteSendStream):
    """A process' standard input.

    Args:
        send: sends some of it.
        end: sends the end of it.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]], end: Callable[[], Awaitable[None]]) -> None:
        self._send = send
        self._end = end
        self._closed = False

    async def send(self, item: bytes) -> None:
        """Send some.

        Raises:
            BrokenResourceError: the process has ended.
            ClosedResourceError: it was closed.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        await self._send(item)

    async def aclose(self) -> None:
        """The end of it."""
        if not self._closed:
            self._closed = True
            await self._end()


class Output(ByteReceiveStream):
    """One of a process' outputs."""

    def __init__(self, source: MemoryObjectReceiveStream[bytes]) -> None:
        self._source = source
        self._rest = b""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What has come, at least one byte.

        Raises:
            EndOfStream: it has ended.
        """
        data = self._rest or await self._source.receive()
        self._rest = data[max_bytes:]
        return data[:max_bytes]

    async def aclose(self) -> None:
        """Read no more; the process then does not wait for it."""
        self.close()

    def close(self) -> None:
        """The same, at once."""
        self._source.close()
