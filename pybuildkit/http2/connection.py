"""The engine: one HTTP/2 connection as a pure object, in the server's or the client's role.

``receive`` takes bytes and calls the streams' handlers; ``output`` gives what is to be sent. There is no I/O, no
clock but the one that measures abuse, and no lock: one thread drives it. Streams take turns in ``output``, so that
a short answer does not wait behind a long transfer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from pybuildkit.errors import ProtocolError
from pybuildkit.http2 import frames
from pybuildkit.http2.frames import ErrorCode, Setting
from pybuildkit.http2.guard import Bucket
from pybuildkit.http2.headers import NO_TABLE, Field
from pybuildkit.http2.reader import FrameReader, Refused
from pybuildkit.http2.stream import Buffer, Stream, StreamHandler

__all__ = ["MAX_HEADER_LIST", "MAX_STREAMS", "Acceptor", "Connection"]

MAX_STREAMS = 250
"""Streams that the peer may have open at once: what Go's server allows (S7)."""

MAX_HEADER_LIST = 16 << 20
"""Bytes of one header list: build contexts' patterns come as headers (T7, R2)."""

STREAM_WINDOW = 1 << 20
"""Bytes that the peer may send on a new stream ahead of consumption (S7)."""

_QUANTUM = 4 * (frames.MAX_FRAME + frames.HEAD_SIZE)
"""Bytes of one stream before the next one's turn."""

_MAX_CONTROL = 1 << 20
"""Answers to control frames that may wait for the peer to read them."""

_MAX_HELD = 64 << 20
"""Bytes of headers and unfinished messages that the peer may make us keep, over all streams."""

Acceptor: TypeAlias = Callable[[Stream, Sequence[Field], bool], StreamHandler]
"""Called in the server's role with a new stream, the request's headers, and whether the request ends there."""


class Connection:
    """One end of an HTTP/2 connection.

    Args:
        accept: makes the handler of a stream that the peer opens: the server's role. None is the client's.
        max_streams: the server's role: how many at once; more are refused with REFUSED_STREAM.
        max_header_list: bytes of one header list; a longer one ends its stream.
        stream_window: the receive window of new streams; ``Stream.widen`` raises a single one.

    Attributes:
        streams: the open streams by number.
        last_stream: the highest number that the peer has opened.
        goaway: the code of the peer's GOAWAY, None before; ``goaway_text`` is what the peer says with it.
        held: bytes that are kept for the peer, see ``hold``.
        send_window: bytes of data that the peer allows on all streams together.
        peer_header_list: bytes of one header list that the peer takes, None when it does not say.
        peer_max_streams: streams that the peer lets us have open at once; without end when it does not say.
        settled: the peer's first frame has come, and is what HTTP/2 asks for.
    """

    def __init__(
        self,
        accept: Acceptor | None = None,
        *,
        max_streams: int = MAX_STREAMS,
        max_header_list: int = MAX_HEADER_LIST,
        stream_window: int = STREAM_WINDOW,
    ) -> None:
        self._accept = accept
        self._max_streams = max_streams
        self._stream_window = stream_window
        self.streams: dict[int, Stream] = {}
        self.last_stream = 0
        self.goaway: int | None = None
        self.goaway_text = b""
        self.held = 0
        self.peer_header_list: int | None = None
        self.peer_max_streams = frames.MAX_WINDOW
        self.settled = False
        self._next_stream = 1
        self._first_block: Stream | None = None
        self._failed = False
        self._going = False
        self._initial_send_window = frames.DEFAULT_WINDOW
        self.send_window = frames.DEFAULT_WINDOW
        self._receive_window = frames.MAX_WINDOW
        self._receive_owed = 0
        self._control: list[bytes] = []
        self._control_size = 0
        self._ready: deque[Stream] = deque()
        self._starved: deque[Stream] = deque()
        # Streams that the peer throws away before they are done (CVE-2023-44487): far above what a cancelled
        # build causes.
        self._resets = Bucket(1000, 100)
        preface = b"" if accept is None else frames.PREFACE
        self._reader = FrameReader(self, preface, max_header_list)
        self._greet(max_header_list)

    def _greet(self, max_header_list: int) -> None:
        values = {
            Setting.INITIAL_WINDOW_SIZE: self._stream_window,
            Setting.MAX_HEADER_LIST_SIZE: max_header_list,
        }
        if self._accept is None:
            self.control(frames.PREFACE)
            values[Setting.ENABLE_PUSH] = 0
        else:
            values[Setting.MAX_CONCURRENT_STREAMS] = self._max_streams
        self.control(frames.settings(values))
        # Streams' windows bound the memory; the connection's must not let one stalled stream stop the others.
        self.control(frames.window_update(0, frames.MAX_WINDOW - frames.DEFAULT_WINDOW))

    # Bytes in.

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer, cut anywhere.

        Raises:
            ProtocolError: they are not what the protocol allows. ``output`` then ends with the GOAWAY that
                says so, and the connection is of no more use.
        """
        if self._failed:
            return
        try:
            self._reader.feed(data)
            if self._control_size > _MAX_CONTROL:
                raise Refused(ErrorCode.ENHANCE_YOUR_CALM, "answers are asked for faster than they are read")
        except Refused as exc:
            text = str(exc)
            self._failed = True
            self._control.append(frames.goaway(self.last_stream, exc.code, text.encode()))
            self._control_size += len(self._control[-1])
            raise ProtocolError(f"the peer broke HTTP/2's rules ({exc.code.name}): {text}") from None

    def on_data(self, stream: int, payload: bytes, size: int, end: bool) -> None:
        """A DATA frame."""
        self._receive_window -= size
        self._receive_owed += size
        if self._receive_window < 0:
            raise Refused(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window allows")
        if self._receive_owed >= 1 << 20:
            self._receive_window += self._receive_owed
            self.control(frames.window_update(0, self._receive_owed))
            self._receive_owed = 0
        found = self.streams.get(stream)
        if found is None:
            self._not_open(stream, "data")
            return
        if found.remote_closed:
            self._break(found, ErrorCode.STREAM_CLOSED)
            return
        found.receive_window -= size
        if found.receive_window < 0:
            self._break(found, ErrorCode.FLOW_CONTROL_ERROR)
            return
        if size != len(payload):
            found.consumed(size - len(payload))
        if end:
            found.remote_closed = True
        if found.handler is not None:
            found.handler.data(payload, end)
        if end:
            self._settle(found)

    def on_headers(self, stream: int, fields: list[Field] | None, size: int, end: bool) -> None:
        """A whole header block; None instead of fields when the list is too long."""
        found = self.streams.get(stream)
        if found is None:
            if self._accept is None or stream <= self.last_stream:
                self._not_open(stream, "headers")
            else:
                self._open_peer(stream, fields, size, end)
        elif found.remote_closed:
            self._break(found, ErrorCode.STREAM_CLOSED)
        elif self._accept is not None and not end:
            self._break(found, ErrorCode.PROTOCOL_ERROR)
        elif fields is None:
            self._break(found, ErrorCode.ENHANCE_YOUR_CALM)
        else:
            if end:
                found.remote_closed = True
            if found.handler is not None:
                found.handler.headers(fields, end)
            if end:
                self._settle(found)

    def _open_peer(self, stream_id: int, fields: list[Field] | None, size: int, end: bool) -> None:
        assert self._accept is not None
        if not stream_id & 1:
            raise Refused(ErrorCode.PROTOCOL_ERROR, f"a client may not open stream {stream_id}")
        self.last_stream = stream_id
        if fields is None or len(self.streams) >= self._max_streams or self._going or not self.hold(size):
            self._complain()
            code = ErrorCode.ENHANCE_YOUR_CALM if fields is None else ErrorCode.REFUSED_STREAM
            self.control(frames.rst_stream(stream_id, code))
            return
        stream = Stream(self, stream_id, self._initial_send_window, self._stream_window)
        stream.header_size = size
        stream.remote_closed = end
        self.streams[stream_id] = stream
        stream.handler = self._accept(stream, fields, end)
        self._settle(stream)

    def on_reset(self, stream: int, code: int) -> None:
        """A RST_STREAM frame."""
        found = self.streams.get(stream)
        if found is None:
            self._not_open(stream, "a reset")
            return
        # A client that has our trailers and resets the stream says only that it will send no more.
        if not (code == ErrorCode.NO_ERROR and found.local_closed):
            self._complain()
        self._forget(found)
        if found.handler is not None:
            found.handler.closed(code)

    def on_settings(self, values: dict[int, int]) -> None:
        """A SETTINGS frame that is no ACK."""
        self.settled = True
        for key, value in values.items():
            if key == Setting.INITIAL_WINDOW_SIZE:
                if value > frames.MAX_WINDOW:
                    raise Refused(ErrorCode.FLOW_CONTROL_ERROR, f"an initial window of {value} bytes")
                change, self._initial_send_window = value - self._initial_send_window, value
                for stream in self.streams.values():
                    self._enlarge(stream, change)
            elif key == Setting.MAX_FRAME_SIZE:
                # Ours are never longer than the smallest value that is allowed here.
                if not frames.MAX_FRAME <= value <= frames.MAX_FRAME_LIMIT:
                    raise Refused(ErrorCode.PROTOCOL_ERROR, f"a maximum frame size of {value} bytes")
            elif key == Setting.ENABLE_PUSH:
                if value > 1:
                    raise Refused(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH of {value}")
            elif key == Setting.MAX_HEADER_LIST_SIZE:
                self.peer_header_list = value
            elif key == Setting.MAX_CONCURRENT_STREAMS:
                self.peer_max_streams = value
        self.control(frames.head(0, frames.SETTINGS, frames.ACK, 0))

    def on_ping(self, payload: bytes) -> None:
        """A PING frame that is no ACK."""
        self.control(frames.ping(payload, ack=True))

    def on_goaway(self, last: int, code: int, text: bytes) -> None:
        """A GOAWAY frame: streams of ours above ``last`` were not and will not be looked at."""
        self.goaway, self.goaway_text = code, text
        if self._accept is None:
            for stream in [found for number, found in self.streams.items() if number > last]:
                self._forget(stream)
                if stream.handler is not None:
                    stream.handler.closed(ErrorCode.REFUSED_STREAM)

    def on_window(self, stream: int, size: int) -> None:
        """A WINDOW_UPDATE frame."""
        if not stream:
            if not size:
                raise Refused(ErrorCode.PROTOCOL_ERROR, "a window update of nothing")
            self.send_window += size
            if self.send_window > frames.MAX_WINDOW:
                raise Refused(ErrorCode.FLOW_CONTROL_ERROR, "a window of more than 2 GiB")
            self._ready.extend(self._starved)
            self._starved.clear()
            return
        found = self.streams.get(stream)
        if found is None:
            self._not_open(stream, "a window update")
        elif not size:
            self._break(found, ErrorCode.PROTOCOL_ERROR)
        elif found.send_window + size > frames.MAX_WINDOW:
            self._break(found, ErrorCode.FLOW_CONTROL_ERROR)
        else:
            self._enlarge(found, size)

    def _enlarge(self, stream: Stream, size: int) -> None:
        stream.send_window += size
        if stream.send_window > frames.MAX_WINDOW:
            raise Refused(ErrorCode.FLOW_CONTROL_ERROR, "a window of more than 2 GiB")
        self.schedule(stream)

    def _not_open(self, stream_id: int, what: str) -> None:
        """A frame on a stream that is not open: late when the stream was, an error when it never was."""
        mine = bool(stream_id & 1) == (self._accept is None)
        highest = self._next_stream - 2 if mine else self.last_stream
        if not stream_id or stream_id > highest:
            raise Refused(ErrorCode.PROTOCOL_ERROR, f"{what} on stream {stream_id}, which is not open")

    # Bytes out.

    @property
    def wants_output(self) -> bool:
        """``output`` has something now."""
        return bool(self._control or (self._ready and not self._failed))

    def output(self, limit: int, *, unit: int = 0, used: int = 0) -> tuple[list[Buffer], int]:
        """Collect what is to be sent: about ``limit`` bytes, as buffers to be sent in order, and their size.

        Args:
            limit: where to stop; passed only by control frames and header blocks.
            unit: the frame size of what carries this connection, 0 when it has none: data frames are cut so
                that they end where a unit ends.
            used: bytes of the first unit that are taken already.
        """
        out: list[Buffer] = list(self._control)
        total = self._control_size
        self._control.clear()
        self._control_size = 0
        if self._failed:
            return out, total
        ready = self._ready
        while ready and limit - total > frames.HEAD_SIZE:
            stream = ready.popleft()
            stream.scheduled = False
            size, sent = stream.write(out, min(_QUANTUM, limit - total), self.send_window, unit, used + total)
            total += size
            self.send_window -= sent
            if not stream.over and not stream.scheduled and stream.sendable:
                stream.scheduled = True
                (ready if size else self._starved).append(stream)
        return out, total

    def control(self, frame: bytes) -> None:
        """Queue a frame that is not data: it goes out before any data, whatever the windows."""
        self._control.append(frame)
        self._control_size += len(frame)

    def schedule(self, stream: Stream) -> None:
        """A stream may have something to send."""
        if not stream.scheduled and not stream.over and stream.sendable:
            stream.scheduled = True
            self._ready.append(stream)

    def header_frames(self, stream: Stream, block: bytes, *, end_stream: bool) -> bytes:
        """Frames of a header block from ``headers.encode``."""
        if self._first_block is None:
            # Streams' first frames go out in the order in which they were queued.
            self._first_block = stream
            block = NO_TABLE + block
        return frames.header_frames(stream.id, block, end_stream=end_stream, max_frame=frames.MAX_FRAME)

    # Streams' lives.

    def open(self, block: bytes, handler: StreamHandler) -> Stream:
        """The client's role: open a stream with a block of request headers.

        Raises:
            ProtocolError: the peer takes no more streams on this connection.
        """
        if self._failed or self.goaway is not None or self._next_stream > frames.MAX_WINDOW:
            raise ProtocolError("the connection takes no more calls; open a new one")
        stream = Stream(self, self._next_stream, self._initial_send_window, self._stream_window)
        self._next_stream += 2
        stream.handler = handler
        self.streams[stream.id] = stream
        stream.send_headers(block)
        return stream

    def ended(self, stream: Stream) -> None:
        """A stream's last frame of ours is collected."""
        if self._accept is not None and not stream.remote_closed:
            # The answer is complete: tell the peer not to go on asking (RFC 9113 section 8.1).
            self.control(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
            stream.remote_closed = True
        self._settle(stream)

    def _settle(self, stream: Stream) -> None:
        if not stream.over and stream.finished():
            self._forget(stream)
            if stream.handler is not None:
                stream.handler.closed(None)

    def reset_stream(self, stream: Stream, code: int) -> None:
        """Break a stream off from our side."""
        self._forget(stream)
        self.control(frames.rst_stream(stream.id, code))

    def _break(self, stream: Stream, code: int) -> None:
        """The peer broke a rule on one stream only."""
        self._complain()
        self.reset_stream(stream, code)
        if stream.handler is not None:
            stream.handler.closed(code)

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        if stream.scheduled:
            stream.scheduled = False
            (self._ready if stream in self._ready else self._starved).remove(stream)
        if stream is self._first_block and stream.untouched:
            self._first_block = None
        self.release(stream.header_size)
        stream.header_size = 0
        stream.drop()

    def shut(self) -> None:
        """Say that no more streams will be taken; those that are open go on."""
        if not self._going and not self._failed:
            self._going = True
            self.control(frames.goaway(self.last_stream, ErrorCode.NO_ERROR))

    def abandon(self, code: int | None) -> None:
        """The connection is lost: tell all handlers."""
        self._failed = True
        for stream in list(self.streams.values()):
            self._forget(stream)
            if stream.handler is not None:
                stream.handler.closed(code)

    # Bounds.

    def hold(self, size: int) -> bool:
        """Ask to keep so many bytes for the peer (headers, unfinished messages); False when it has its share."""
        if self.held + size > _MAX_HELD:
            return False
        self.held += size
        return True

    def release(self, size: int) -> None:
        """Give back what ``hold`` has allowed."""
        self.held -= size

    def _complain(self) -> None:
        if not self._resets.pour():
            raise Refused(ErrorCode.ENHANCE_YOUR_CALM, "streams are opened and thrown away too fast")
