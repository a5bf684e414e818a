"""A socket in the session's thread: never blocks in reading or writing, sleeps in one place, can be woken."""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from collections.abc import Sequence
from itertools import islice

from pybuildkit.session.calls import Buffer

__all__ = ["SocketIO"]

_READ = 256 << 10
_READ_ROUNDS = 4
_MAX_BUFFERS = 1000
"""Buffers of one ``sendmsg``; the system's limit is 1024."""

_AHEAD = 384 << 10
"""Bytes that the system may hold of what is sent on a unix socket: the daemon reads on while this side reads files. More of
them is worse for many small files. Other sockets find out by themselves what they need."""


class SocketIO:
    """Reads and writes of one connected stream socket; it takes the socket over.

    Attributes:
        pending: bytes that were written and that the system has not taken yet.
        ended: the other side will send no more, or the connection broke.
        error: how it broke.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family == socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _AHEAD)
        self._socket = sock
        self._buffers: deque[Buffer] = deque()
        self.pending = 0
        self.ended = False
        self.error: OSError | None = None
        self._shut = False
        self._bell, self._bell_in = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._bell_in, False)
        self._woken = False
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._poll.register(sock, select.POLLIN)
        self._events = select.POLLIN

    def read(self) -> list[bytes]:
        """What has arrived, up to a megabyte."""
        found: list[bytes] = []
        if self.ended:
            return found
        try:
            for _ in range(_READ_ROUNDS):
                data = self._receive(_READ)
                if not data:
                    self._end(None)
                    break
                found.append(data)
                if len(data) < _READ:
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            self._end(exc)
        return found

    def write(self, buffers: Sequence[Buffer], size: int) -> None:
        """Send buffers, now or as the system takes them; they must not change until then."""
        self._buffers.extend(buffers)
        self.pending += size
        self.flush()

    def flush(self) -> None:
        """Send what the system takes."""
        try:
            while self.pending and self.error is None:
                self._sent(self._send())
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            self._end(exc)
        if self._shut and not self.pending:
            self._half_close()

    def _receive(self, size: int) -> bytes:
        return self._socket.recv(size)

    def _send(self) -> int:
        return self._socket.sendmsg(islice(self._buffers, _MAX_BUFFERS))

    def _sent(self, size: int) -> None:
        self.pending -= size
        buffers = self._buffers
        while size:
            first = buffers[0]
            here = len(first)
            if here > size:
                buffers[0] = memoryview(first)[size:]
                return
            buffers.popleft()
            size -= here

    def shut(self) -> None:
        """Send no more than what is pending."""
        self._shut = True
        self.flush()

    def _half_close(self) -> None:
        self._shut = False
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as exc:
            self._end(exc)

    def _end(self, error: OSError | None) -> None:
        if not self.ended:
            self.ended = True
            self._poll.unregister(self._socket)
        if error is not None and self.error is None:
            self.error = error
            self._buffers.clear()
            self.pending = 0

    def wait(self, timeout: float | None) -> None:
        """Sleep until there is something to read, room to write what is pending, a ``wake``, or the time is over."""
        if not self.ended:
            events = select.POLLIN | (select.POLLOUT if self.pending else 0)
            if events != self._events:
                self._events = events
                self._poll.modify(self._socket, events)
        for number, _ in self._poll.poll(None if timeout is None else max(0, timeout * 1000)):
            if number == self._bell:
                os.read(self._bell, 4096)
                # Whoever wakes after this line is heard by the next wait.
                self._woken = False
        if self.pending:
            self.flush()

    def wake(self) -> None:
        """End the ``wait`` under way, or the next one; from any thread."""
        if not self._woken:
            self._woken = True
            os.write(self._bell_in, b"x")

    def close(self) -> None:
        """Close the socket; nobody may call ``wake`` any more."""
        self._socket.close()
        os.close(self._bell)
        os.close(self._bell_in)
