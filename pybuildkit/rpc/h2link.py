"""One HTTP/2 connection to a daemon in the event loop: moves bytes between the engine and asyncio's transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from pybuildkit.errors import ProtocolError
from pybuildkit.http2.connection import Connection

__all__ = ["Link"]

_CHUNK = 256 << 10
"""Bytes that are handed to the transport at once; it is not given more while it has not sent them."""

_TLS_ALERT = b"\x15\x03"


class Link(asyncio.Protocol):
    """A connection that calls share.

    Args:
        gone: called when the socket is closed.
        answered: the daemon has been heard before, on another connection.

    Attributes:
        connection: the engine.
        lost: why the connection is of no more use, empty while it is.
        ended: done when the socket is closed.
        room: called whenever a call has ended: another one may be opened where the daemon limits them.
    """

    def __init__(self, gone: Callable[[Link], None], *, answered: bool = False) -> None:
        self.connection = Connection()
        self.lost = ""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.room = asyncio.Event()
        self._gone = gone
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._flushing = False
        self._loop = asyncio.get_running_loop()
        self._greeting = b""

    @property
    def usable(self) -> bool:
        """Calls can be opened."""
        return not self.lost and self.connection.goaway is None

    @property
    def answered(self) -> bool:
        """The daemon has been heard, ever."""
        return self._answered or self.connection.settled

    @property
    def full(self) -> bool:
        """The daemon allows no more calls at once."""
        return len(self.connection.streams) >= self.connection.peer_max_streams

    def flush(self) -> None:
        """Have what the engine has sent: together with what else is queued before the event loop's next turn.

        Each write wakes the daemon, and on few processors gives the processor to it.
        """
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush_now)

    def flush_now(self) -> None:
        """Hand what the engine has to the transport, as far as it takes it."""
        self._flushing = False
        connection, transport = self.connection, self._transport
        while connection.wants_output and not self._paused and transport is not None:
            buffers, size = connection.output(_CHUNK)
            if not size:
                return
            transport.write(b"".join(buffers))

    def leave(self) -> None:
        """Calls may have ended."""
        self.flush()
        self.room.set()
        if self.connection.goaway is not None and not self.connection.streams:
            self.close("the daemon takes no more calls on this connection")

    def close(self, reason: str) -> None:
        """Close the connection; calls under way end with that reason."""
        self.flush_now()
        self._lose(reason)
        if self._transport is not None:
            self._transport.abort()

    def _lose(self, reason: str) -> None:
        if self.lost:
            return
        self.lost = reason
        self.connection.abandon(None)
        self.room.set()

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_CHUNK)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Bytes from the daemon."""
        if self.lost:
            return
        if not self.connection.settled:
            self._greeting += data[:2]
        try:
            self.connection.receive(data)
        except ProtocolError as exc:
            self.close(self._no_daemon() or str(exc))
            return
        self.leave()

    def _no_daemon(self) -> str:
        """What the first bytes say of whoever sent them; empty when they say nothing."""
        return "it speaks SSL/TLS" if self._greeting.startswith(_TLS_ALERT) else ""

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport has sent what it held."""
        self._paused = False
        self.flush()

    def eof_received(self) -> bool:
        """The daemon will send no more: nothing is left to say either."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        reason = self._no_daemon() or "the daemon closed the connection"
        if exc is not None:
            reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        if self.connection.goaway_text:
            reason += f" ({self.connection.goaway_text.decode('utf-8', 'replace')})"
        self._transport = None
        self._lose(reason)
        self._gone(self)
        if not self.ended.done():
            self.ended.set_result(None)
