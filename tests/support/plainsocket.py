"""Sessions' services on a plain socket, without Control.Session around: for gRPC clients of other makes."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from pybuildkit.session.calls import Buffer
from pybuildkit.session.carrier import BATCH
from pybuildkit.session.socketio import SocketIO

__all__ = ["PlainCarrier"]


class PlainCarrier:
    """A carrier whose bytes are the connection's own."""

    unit = 0
    overhead = 0
    error: Exception | None = None

    def __init__(self, sock: socket.socket) -> None:
        self._io = SocketIO(sock)
        self.wait = self._io.wait
        self.wake = self._io.wake
        self.take = self._io.read
        self.finish_writing = self._io.shut

    @property
    def ended(self) -> bool:
        return self._io.ended

    def room(self) -> int:
        return BATCH if self._io.pending < BATCH else 0

    def write(self, buffers: Sequence[Buffer], size: int) -> None:
        self._io.write(buffers, size)

    def close(self) -> None:
        pass

    async def run(self) -> None:
        pass

    def destroy(self) -> None:
        self._io.close()
