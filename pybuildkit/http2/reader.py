"""From bytes to whole frames and header lists: what can be checked without knowing any stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol

from pybuildkit.http2 import frames
from pybuildkit.http2.frames import ErrorCode
from pybuildkit.http2.guard import Bucket
from pybuildkit.http2.headers import Field, HeaderBlockError, HeaderDecoder

__all__ = ["FrameReader", "Refused", "Sink"]


_SMALL = 1024
"""Bytes of a DATA frame that is put together with the next ones: a copy of so many costs less than a call."""


class Refused(Exception):
    """The peer broke a rule that ends the connection.

    Attributes:
        code: what GOAWAY says.
    """

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class Sink(Protocol):
    """Who is told of frames. ``size`` of data counts padding, as flow control does."""

    def on_data(self, stream: int, payload: bytes, size: int, end: bool) -> None:
        """A DATA frame without its padding, or several."""
        ...

    def on_headers(self, stream: int, fields: list[Field] | None, size: int, end: bool) -> None:
        """A whole header block; None instead of fields when the list is too long."""
        ...

    def on_reset(self, stream: int, code: int) -> None:
        """A RST_STREAM frame."""
        ...

    def on_settings(self, values: dict[int, int]) -> None:
        """A SETTINGS frame that is no ACK."""
        ...

    def on_ping(self, payload: bytes) -> None:
        """A PING frame that is no ACK."""
        ...

    def on_goaway(self, last: int, code: int, text: bytes) -> None:
        """A GOAWAY frame."""
        ...

    def on_window(self, stream: int, size: int) -> None:
        """A WINDOW_UPDATE frame; stream 0 is the connection."""
        ...


class FrameReader:
    """Cuts a byte stream into frames.

    Args:
        sink: told of each frame.
        preface: the bytes that must come first, empty in the client's role.
        max_header_list: bytes of one header list; a longer one is given as None.
    """

    def __init__(self, sink: Sink, preface: bytes, max_header_list: int) -> None:
        self._sink = sink
        self._preface = preface
        self._max_block = max_header_list
        self._decoder = HeaderDecoder(max_header_list)
        self._rest = b""
        self._need = len(preface)
        self._settled = False
        self._block: list[bytes] = []
        self._block_size = 0
        self._block_stream = 0
        self._block_ends = False
        # Frames that do nothing (CVE-2019-9518 and its like): far above what an honest peer sends.
        self._idle = Bucket(10_000, 1000)
        self._handlers: tuple[Callable[[int, int, bytes], None], ...] = (
            self._data,
            self._headers,
            self._priority,
            self._rst_stream,
            self._settings,
            self._push_promise,
            self._ping,
            self._goaway,
            self._window_update,
            self._continuation,
        )

    def feed(self, data: bytes) -> None:
        """Take bytes, cut anywhere; what is left of a frame waits for the rest.

        Raises:
            Refused: the bytes are not what the protocol allows.
        """
        if self._rest:
            data = self._rest + data
        end = len(data)
        if end < self._need:
            self._rest = data
            return
        pos = 0
        if self._preface:
            if not data.startswith(self._preface):
                self._refuse(ErrorCode.PROTOCOL_ERROR, "the first bytes are not HTTP/2's preface")
            pos = len(self._preface)
            self._preface = b""
        unpack, handlers = frames.FRAME_HEAD.unpack_from, self._handlers
        while True:
            start = pos + frames.HEAD_SIZE
            if start > end:
                self._need = frames.HEAD_SIZE
                break
            high, low, kind, flags, stream = unpack(data, pos)
            size = high << 8 | low
            if size > frames.MAX_FRAME:
                self._refuse(
                    ErrorCode.FRAME_SIZE_ERROR, f"a frame of {size} bytes, of {frames.MAX_FRAME} allowed"
                )
            if start + size > end:
                self._need = frames.HEAD_SIZE + size
                break
            pos = start + size
            if self._block_stream or not self._settled:
                self._check_order(kind, flags)
            if kind == frames.DATA and not flags and 0 < size <= _SMALL:
                pos = self._small_data(data, pos, stream, data[start:pos])
            elif kind < len(handlers):
                handlers[kind](flags, stream & 0x7FFFFFFF, data[start:pos])
            else:
                self._waste("frames of unknown types")
        self._rest = data[pos:]

    def _check_order(self, kind: int, flags: int) -> None:
        if self._block_stream and kind != frames.CONTINUATION:
            self._refuse(ErrorCode.PROTOCOL_ERROR, "another frame in the middle of a header block")
        if not self._settled and (kind != frames.SETTINGS or flags & frames.ACK):
            self._refuse(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        self._settled = True

    def _small_data(self, data: bytes, pos: int, stream: int, payload: bytes) -> int:
        """A small DATA frame, and all small ones of its stream right behind it, as one; where they end.

        The daemon asks for each small file in a frame by itself.
        """
        payloads = [payload]
        end = len(data)
        unpack = frames.FRAME_HEAD.unpack_from
        while pos + frames.HEAD_SIZE <= end:
            high, low, kind, flags, number = unpack(data, pos)
            size = high << 8 | low
            stop = pos + frames.HEAD_SIZE + size
            if kind != frames.DATA or flags or number != stream or not 0 < size <= _SMALL or stop > end:
                break
            payloads.append(data[pos + frames.HEAD_SIZE : stop])
            pos = stop
        whole = b"".join(payloads)
        self._sink.on_data(stream & 0x7FFFFFFF, whole, len(whole), False)
        return pos

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        end = bool(flags & frames.END_STREAM)
        if flags & frames.PADDED:
            payload = self._unpad(payload)
        if not payload and not end:
            self._waste("empty data frames")
        self._sink.on_data(stream, payload, size, end)

    def _unpad(self, payload: bytes) -> bytes:
        if not payload or payload[0] >= len(payload):
            self._refuse(ErrorCode.PROTOCOL_ERROR, "padding as long as its frame")
        return payload[1 : len(payload) - payload[0]]

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        if not stream:
            self._refuse(ErrorCode.PROTOCOL_ERROR, "headers on stream 0")
        if flags & frames.PADDED:
            payload = self._unpad(payload)
        if flags & frames.PRIORITY_FLAG:
            if len(payload) < 5:
                self._refuse(ErrorCode.FRAME_SIZE_ERROR, "headers without the priority that they announce")
            payload = payload[5:]
        self._block_stream = stream
        self._block_ends = bool(flags & frames.END_STREAM)
        self._block_part(flags, payload)

    def _continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if not stream or stream != self._block_stream:
            self._refuse(ErrorCode.PROTOCOL_ERROR, "a continuation of no header block")
        # Also bounds how many empty or tiny ones a block may be made of (CVE-2024-27316).
        if len(payload) < 1024 and not flags & frames.END_HEADERS:
            self._waste("small continuations")
        self._block_part(flags, payload)

    def _block_part(self, flags: int, payload: bytes) -> None:
        self._block.append(payload)
        self._block_size += len(payload)
        if self._block_size > self._max_block:
            self._refuse(ErrorCode.ENHANCE_YOUR_CALM, f"a header block of more than {self._max_block} bytes")
        if not flags & frames.END_HEADERS:
            return
        block, self._block = b"".join(self._block), []
        stream, self._block_stream, self._block_size = self._block_stream, 0, 0
        try:
            fields, size = self._decoder.decode(block)
        except HeaderBlockError as exc:
            self._refuse(ErrorCode.COMPRESSION_ERROR, str(exc))
        self._sink.on_headers(stream, fields, size, self._block_ends)

    def _priority(self, flags: int, stream: int, payload: bytes) -> None:
        if not stream:
            self._refuse(ErrorCode.PROTOCOL_ERROR, "a priority of stream 0")
        if len(payload) != 5:
            self._refuse(ErrorCode.FRAME_SIZE_ERROR, f"a PRIORITY frame of {len(payload)} bytes")
        self._waste("priorities")

    def _rst_stream(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            self._refuse(ErrorCode.FRAME_SIZE_ERROR, f"a RST_STREAM frame of {len(payload)} bytes")
        self._sink.on_reset(stream, int.from_bytes(payload))

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        if stream:
            self._refuse(ErrorCode.PROTOCOL_ERROR, f"settings on stream {stream}")
        if size % 6 or (flags & frames.ACK and size):
            self._refuse(ErrorCode.FRAME_SIZE_ERROR, f"a SETTINGS frame of {size} bytes")
        self._waste("settings")
        if not flags & frames.ACK:
            # The last value of a parameter counts: a frame full of window changes is one change.
            self._sink.on_settings(
                {
                    int.from_bytes(payload[pos : pos + 2]): int.from_bytes(payload[pos + 2 : pos + 6])
                    for pos in range(0, size, 6)
                }
            )

    def _push_promise(self, flags: int, stream: int, payload: bytes) -> None:
        self._refuse(ErrorCode.PROTOCOL_ERROR, "a push that was not allowed")

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            self._refuse(ErrorCode.PROTOCOL_ERROR, f"a ping on stream {stream}")
        if len(payload) != 8:
            self._refuse(ErrorCode.FRAME_SIZE_ERROR, f"a PING frame of {len(payload)} bytes")
        if not flags & frames.ACK:
            self._sink.on_ping(payload)

    def _goaway(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            self._refuse(ErrorCode.PROTOCOL_ERROR, f"GOAWAY on stream {stream}")
        if len(payload) < 8:
            self._refuse(ErrorCode.FRAME_SIZE_ERROR, f"a GOAWAY frame of {len(payload)} bytes")
        self._waste("GOAWAYs")
        last = int.from_bytes(payload[:4]) & 0x7FFFFFFF
        self._sink.on_goaway(last, int.from_bytes(payload[4:8]), payload[8:1032])

    def _window_update(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            self._refuse(ErrorCode.FRAME_SIZE_ERROR, f"a WINDOW_UPDATE frame of {len(payload)} bytes")
        self._sink.on_window(stream, int.from_bytes(payload) & 0x7FFFFFFF)

    def _waste(self, what: str) -> None:
        if not self._idle.pour():
            self._refuse(ErrorCode.ENHANCE_YOUR_CALM, f"too many {what} that do nothing")

    def _refuse(self, code: ErrorCode, text: str) -> NoReturn:
        raise Refused(code, text)
