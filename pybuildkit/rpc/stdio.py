"""A channel over two pipes, on this library's own HTTP/2: how buildkitd talks to a frontend that it runs (V60)."""

from __future__ import annotations

import asyncio
import os

from pybuildkit.errors import BuildKitError
from pybuildkit.rpc.h2 import H2Channel
from pybuildkit.rpc.h2link import Link
from pybuildkit.transport.endpoint import Endpoint

__all__ = ["StdioChannel"]

_ADDRESS = "standard input and output"
_GONE = "buildkitd has closed standard input and output: the build is over"


class StdioChannel(H2Channel):
    """The Channel interface over a pair of pipes. There is one connection, and no second one when it is lost.

    Args:
        read_fd: the end of a pipe from which the daemon's bytes come. Closed with the channel.
        write_fd: the end of a pipe into which ours go, likewise.
    """

    def __init__(self, read_fd: int, write_fd: int) -> None:
        super().__init__(Endpoint(_ADDRESS, target="", authority="localhost"))
        self._fds = [read_fd, write_fd]

    async def lost(self) -> None:
        """Wait until the daemon has closed the pipes; returns at once before the first call."""
        if self._link is not None:
            await asyncio.wait([self._link.ended])

    async def aclose(self) -> None:
        """Close the pipes; calls under way end with an error."""
        while self._fds:
            os.close(self._fds.pop())
        await super().aclose()

    def _error(self, code: str, text: str, method: str, *, connected: bool = True) -> BuildKitError:
        return super()._error(code, text, method, connected=True)

    async def _try_to_connect(self) -> str:
        if not self._fds:
            return _GONE
        write_fd, read_fd = self._fds.pop(), self._fds.pop()
        # Whoever started this process is there: what fails is a loss, and no wrong address.
        link = Link(self._links.discard, answered=True)
        try:
            await _Pipes(link).open(read_fd, write_fd)
        except (OSError, ValueError) as exc:
            return f"standard input and output are no pipes: {exc}"
        self._link = link
        self._links.add(link)
        return ""


class _Pipes(asyncio.Transport):
    """Two pipes as the one transport that a ``Link`` has; ends with whichever ends first."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._reading: asyncio.ReadTransport | None = None
        self._writing: asyncio.WriteTransport | None = None

    async def open(self, read_fd: int, write_fd: int) -> None:
        """Take the pipes over, and tell the link that it is connected.

        Raises:
            OSError, ValueError: a descriptor can not be used; both are closed.
        """
        loop = asyncio.get_running_loop()
        writing = os.fdopen(write_fd, "wb", buffering=0)
        reading = os.fdopen(read_fd, "rb", buffering=0)
        try:
            self._writing, _ = await loop.connect_write_pipe(lambda: _Writing(self), writing)
            self._link.connection_made(self)
            self._reading, _ = await loop.connect_read_pipe(lambda: _Reading(self), reading)
        except BaseException:
            self.abort()
            reading.close()
            writing.close()
            raise

    def ended(self, exc: Exception | None) -> None:
        """One of the pipes is closed: so is the connection."""
        if self._link.ended.done():
            return
        self._link.connection_lost(exc)
        self.abort()

    # What the pipes tell the link.

    def arrived(self, data: bytes) -> None:
        """Bytes from the daemon."""
        self._link.data_received(data)

    def pause(self) -> None:
        """The daemon does not read fast enough."""
        self._link.pause_writing()

    def resume(self) -> None:
        """It has read on."""
        self._link.resume_writing()

    # asyncio.Transport, as far as a link uses it.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        if self._writing is not None:
            self._writing.write(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio.WriteTransport."""
        if self._writing is not None:
            self._writing.set_write_buffer_limits(high, low)

    def abort(self) -> None:
        """Close both pipes at once."""
        if self._writing is not None and not self._writing.is_closing():
            self._writing.abort()
        if self._reading is not None:
            self._reading.close()


class _Reading(asyncio.Protocol):
    def __init__(self, pipes: _Pipes) -> None:
        self._pipes = pipes

    def data_received(self, data: bytes) -> None:
        self._pipes.arrived(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipes.ended(exc)


class _Writing(asyncio.BaseProtocol):
    def __init__(self, pipes: _Pipes) -> None:
        self._pipes = pipes

    def pause_writing(self) -> None:
        self._pipes.pause()

    def resume_writing(self) -> None:
        self._pipes.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipes.ended(exc)
