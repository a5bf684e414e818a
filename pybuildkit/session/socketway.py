"""An HTTP/2 connection to the daemon that one thread moves on by itself: no grpc, no event loop."""

from __future__ import annotations

import socket

from pybuildkit.errors import ProtocolError
from pybuildkit.http2.connection import Connection
from pybuildkit.session.socketio import SocketIO

__all__ = ["MAX_PENDING", "SocketWay"]

MAX_PENDING = 256 << 10
"""Bytes that wait for the system's socket buffer before the engine is asked for no more."""

_CHUNK = 1 << 20


class SocketWay:
    """The engine in the client's role, on a socket.

    Args:
        sock: connected to the daemon; taken over.
        stream_window: what the daemon may send ahead on one call. The thread takes bytes from the socket as calls consume
            them: this is no memory.

    Attributes:
        connection: the engine, in which calls are opened.
        lost: why the connection is of no more use, empty while it is.
        broken: the error behind it, when it was the daemon that broke a rule.
    """

    def __init__(self, sock: socket.socket, *, stream_window: int) -> None:
        self._io = SocketIO(sock)
        self.connection = Connection(stream_window=stream_window)
        self.lost = ""
        self.broken: ProtocolError | None = None

    @property
    def answered(self) -> bool:
        """The daemon has been heard."""
        return self.connection.settled

    @property
    def pending(self) -> int:
        """Bytes that the system has not taken yet."""
        return self._io.pending

    def read(self) -> None:
        """Take what has arrived; the calls' handlers are told."""
        if self.lost:
            return
        try:
            for data in self._io.read():
                self.connection.receive(data)
        except ProtocolError as exc:
            self.broken = exc
            self.flush()
            self.lose(str(exc))
        if self._io.ended and not self.lost:
            error = self._io.error
            self.lose(
                (error.strerror or str(error)) if error is not None else "the daemon closed the connection"
            )

    def lose(self, reason: str) -> None:
        """The connection is of no more use; calls under way end with that reason."""
        text = self.connection.goaway_text.decode("utf-8", "replace")
        self.lost = f"{reason} ({text})" if text else reason
        self.connection.abandon(None)

    def flush(self) -> None:
        """Send what the engine has, as far as the system takes it."""
        while self.connection.wants_output and self._io.pending < MAX_PENDING:
            buffers, size = self.connection.output(_CHUNK)
            if not size:
                return
            self._io.write(buffers, size)

    def wait(self, timeout: float | None) -> None:
        """Sleep until something has arrived, room came back, ``wake`` was called, or the time is over."""
        self._io.wait(timeout)
        self.flush()

    def wake(self) -> None:
        """End the ``wait`` under way, or the next one; from any thread, also from a signal's handler."""
        self._io.wake()

    def close(self) -> None:
        """Close the socket; nobody may call ``wake`` any more."""
        self._io.close()
