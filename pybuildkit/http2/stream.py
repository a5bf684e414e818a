"""One stream: what waits to be sent on it, and its two windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pybuildkit.http2 import frames
from pybuildkit.http2.headers import Field

if TYPE_CHECKING:
    from pybuildkit.http2.connection import Connection

__all__ = ["Buffer", "Stream", "StreamHandler"]

Buffer: TypeAlias = bytes | bytearray | memoryview

_SMALLEST_CUT = 4096
"""A frame is not cut shorter than this only to end where the carrier's unit ends."""


class StreamHandler(Protocol):
    """Who is told of what the peer does on a stream. Nothing is called after ``closed``."""

    def headers(self, fields: Sequence[Field], end: bool) -> None:
        """Response headers, or trailers when ``end``. A server is given a request's headers at ``accept``."""
        ...

    def data(self, payload: bytes, end: bool) -> None:
        """Some bytes; whoever has done with them says so by ``Stream.consumed``."""
        ...

    def drained(self) -> None:
        """What was queued has fallen under ``Stream.low_water``. Called while output is collected."""
        ...

    def closed(self, code: int | None) -> None:
        """The stream is over: both sides ended it (None), or the peer or the connection broke it off."""
        ...


class Stream:
    """A stream of a connection. Its methods queue; ``Connection.output`` collects.

    Attributes:
        id: the stream's number.
        queued: bytes of data that wait to be sent.
        flushed: bytes of data that have been collected for sending so far.
        low_water: ``StreamHandler.drained`` is called when ``queued`` falls under it.
        send_window: bytes that the peer allows; negative after it has shrunk its windows.
        remote_closed: the peer has ended its side.
        local_closed: our side is ended, or its end is queued.
    """

    __slots__ = (
        "_connection",
        "_front",
        "_full_head",
        "_queue",
        "_receive_owed",
        "_receive_target",
        "_tail",
        "flushed",
        "handler",
        "header_size",
        "id",
        "local_closed",
        "low_water",
        "over",
        "queued",
        "receive_window",
        "remote_closed",
        "scheduled",
        "send_window",
        "started",
    )

    def __init__(self, connection: Connection, stream_id: int, send_window: int, receive_window: int) -> None:
        self._connection = connection
        self.id = stream_id
        self.handler: StreamHandler | None = None
        self.header_size = 0
        self.queued = 0
        self.flushed = 0
        self.low_water = 0
        self.send_window = send_window
        self.receive_window = receive_window
        self.remote_closed = False
        self.local_closed = False
        self.over = False
        self.scheduled = False
        self.started = False
        self._receive_target = receive_window
        self._receive_owed = 0
        self._queue: deque[Buffer] = deque()
        self._front = b""
        self._tail = b""
        self._full_head = frames.head(frames.MAX_FRAME, frames.DATA, 0, stream_id)

    # What the stream's owner does.

    def send_headers(self, block: bytes) -> None:
        """Queue a header block; it goes out before any data queued later."""
        if not self.over:
            self._front += self._connection.header_frames(self, block, end_stream=False)
            self._connection.schedule(self)

    def send(self, *buffers: Buffer) -> None:
        """Queue data, given in parts; they must not change until they are sent."""
        if self.local_closed or self.over:
            return
        for buffer in buffers:
            size = len(buffer)
            if size:
                self._queue.append(buffer)
                self.queued += size
        self._connection.schedule(self)

    def end(self, trailers: bytes | None = None) -> None:
        """End our side behind what is queued, with a block of trailers or without."""
        if self.local_closed or self.over:
            return
        self.local_closed = True
        if trailers is None:
            self._tail = frames.head(0, frames.DATA, frames.END_STREAM, self.id)
        else:
            self._tail = self._connection.header_frames(self, trailers, end_stream=True)
        self._connection.schedule(self)

    def reset(self, code: int) -> None:
        """Break the stream off; what is queued is dropped. ``closed`` is not called."""
        if not self.over:
            self._connection.reset_stream(self, code)

    def widen(self, window: int) -> None:
        """Allow the peer that many bytes ahead of consumption, from now on."""
        more = window - self._receive_target
        if more > 0 and not self.over:
            self._receive_target = window
            self._grant(more)

    def consumed(self, size: int) -> None:
        """Bytes given to ``StreamHandler.data`` are done with; the peer may send as many more."""
        self._receive_owed += size
        if self._receive_owed * 2 >= self._receive_target and not (self.remote_closed or self.over):
            self._grant(self._receive_owed)
            self._receive_owed = 0

    def _grant(self, size: int) -> None:
        self.receive_window += size
        self._connection.control(frames.window_update(self.id, size))

    # What the connection does.

    @property
    def sendable(self) -> bool:
        """There is something that the stream's own window does not hold back."""
        if self._front:
            return True
        return self.send_window > 0 if self.queued else bool(self._tail)

    @property
    def untouched(self) -> bool:
        """No header block of ours has been collected yet."""
        return not self.started and bool(self._front or self._tail)

    def drop(self) -> None:
        """Forget what is queued."""
        self.over = True
        self._queue.clear()
        self.queued = 0
        self._front = self._tail = b""

    def write(self, out: list[Buffer], limit: int, window: int, unit: int, used: int) -> tuple[int, int]:
        """Append frames to a list of buffers.

        Args:
            out: the list.
            limit: bytes in all, passed only by header blocks.
            window: bytes of data that the connection's window allows.
            unit: the carrier's own frame size; data frames end where a unit ends, where that is possible.
            used: bytes of the current unit that are taken.

        Returns:
            How many bytes in all, and how many of them count for flow control.
        """
        total = sent = 0
        if self._front:
            out.append(self._front)
            total += len(self._front)
            self._front = b""
            self.started = True
        before = self.queued
        allowed = min(window, self.send_window)
        queue = self._queue
        while self.queued and sent < allowed:
            size = min(self.queued, allowed - sent, frames.MAX_FRAME)
            rest = limit - total - frames.HEAD_SIZE
            if rest < size:
                # A frame that only the limit would make tiny waits for the next time.
                if rest <= 0 or (sent and rest < _SMALLEST_CUT):
                    break
                size = rest
            if unit:
                rest = unit - (used + total) % unit - frames.HEAD_SIZE
                if rest < _SMALLEST_CUT:
                    rest += unit
                if size > rest:
                    size = rest
            out.append(
                self._full_head
                if size == frames.MAX_FRAME
                else frames.FRAME_HEAD.pack(size >> 8, size & 0xFF, frames.DATA, 0, self.id)
            )
            total += size + frames.HEAD_SIZE
            sent += size
            self.queued -= size
            while size:
                buffer = queue[0]
                here = len(buffer)
                if here <= size:
                    out.append(queue.popleft())
                    size -= here
                else:
                    view = memoryview(buffer)
                    out.append(view[:size])
                    queue[0] = view[size:]
                    size = 0
        self.send_window -= sent
        self.flushed += sent
        if self._tail and not self.queued:
            out.append(self._tail)
            total += len(self._tail)
            self._tail = b""
            self._connection.ended(self)
        elif self.queued < self.low_water <= before and self.handler is not None:
            self.handler.drained()
        return total, sent

    def finished(self) -> bool:
        """Both sides have ended and nothing of ours waits any more."""
        return self.local_closed and self.remote_closed and not (self._tail or self.queued or self._front)
