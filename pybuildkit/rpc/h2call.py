"""One call on an HTTP/2 connection: what the daemon sends of it, and whoever waits for that."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from pybuildkit.errors import BuildKitError
from pybuildkit.http2 import frames
from pybuildkit.http2.frames import ErrorCode
from pybuildkit.http2.headers import Field
from pybuildkit.http2.messages import MAX_MESSAGE, MessageError, MessageReader, prefix
from pybuildkit.http2.metadata import from_base64, read_status
from pybuildkit.http2.stream import Stream
from pybuildkit.rpc.channel import Metadata
from pybuildkit.rpc.failures import CODES, rpc_error
from pybuildkit.rpc.h2link import Link

__all__ = ["Call"]

_UNREAD = 256 << 10
"""Bytes of whole messages that may wait to be read before the daemon must stop sending."""

_BULK = 1 << 20
"""A call that has received this much, and whose reader keeps up, is given a wide window."""

_BULK_WINDOW = 8 << 20

_SEND_AHEAD = 256 << 10
"""Bytes of messages that may wait to be sent; whoever sends more waits."""

_BY_RESET: dict[int, str] = {
    ErrorCode.REFUSED_STREAM: "UNAVAILABLE",
    ErrorCode.CANCEL: "CANCELLED",
    ErrorCode.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
    ErrorCode.INADEQUATE_SECURITY: "PERMISSION_DENIED",
}
"""What a stream that is broken off means in gRPC; INTERNAL where it is not here."""

_BY_HTTP = {
    b"400": "INTERNAL",
    b"401": "UNAUTHENTICATED",
    b"403": "PERMISSION_DENIED",
    b"404": "UNIMPLEMENTED",
    b"429": "UNAVAILABLE",
    b"502": "UNAVAILABLE",
    b"503": "UNAVAILABLE",
    b"504": "UNAVAILABLE",
}
"""What the status of an answer that is no gRPC means; UNKNOWN where it is not here."""


class Call:
    """A call. It is ``StreamHandler`` to its stream, ``ServerStream`` and ``Duplex`` to its caller.

    Args:
        link: the connection.
        headers: the encoded request headers.
        method: the full method, for errors.
        address: the daemon's address, likewise.
    """

    def __init__(self, link: Link, headers: bytes, *, method: str, address: str) -> None:
        self._link = link
        self._method = method
        self._address = address
        self._reader = MessageReader()
        self._messages: deque[bytes] = deque()
        self._unread = 0
        self._owed = 0
        self._received = 0
        self._initial: Sequence[Field] | None = None
        self._over = False
        self._error: BuildKitError | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._stream: Stream = link.connection.open(headers, self)
        self._stream.low_water = _SEND_AHEAD

    # What the caller does.

    def begin(self) -> None:
        """Send the headers, for a call whose first message may come from the daemon."""
        self._link.flush()

    async def send(self, message: bytes) -> None:
        """See ``Duplex.send``."""
        self._queue(message)
        self._link.flush()
        while self._stream.queued >= _SEND_AHEAD and not self._over:
            self._room.clear()
            await self._room.wait()

    async def done_sending(self) -> None:
        """See ``Duplex.done_sending``."""
        self._stream.end()
        self._link.flush()

    def send_only(self, message: bytes) -> None:
        """Send the one message of a call that has no more; does not wait."""
        self._queue(message)
        self._stream.end()
        self._link.flush()

    def _queue(self, message: bytes) -> None:
        if self._over:
            raise self._error or self._failure("OK", "the call is over; nothing can be sent any more")
        size = len(message)
        if size > MAX_MESSAGE:
            raise self._failure(
                "RESOURCE_EXHAUSTED",
                f"a message of {size} bytes can not be sent; the daemon takes {MAX_MESSAGE} at most",
            )
        self._stream.send(prefix(size), message)

    async def receive(self) -> bytes | None:
        """See ``Duplex.receive``."""
        while not self._messages:
            if self._over:
                if self._error is not None:
                    raise self._error
                return None
            self._news.clear()
            await self._news.wait()
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
        if not self._over:
            self._end(self._failure("CANCELLED", "the call was cancelled here"))
        self._messages.clear()
        self._link.leave()

    # What the stream tells.

    def headers(self, fields: Sequence[Field], end: bool) -> None:
        """Response headers, or the trailers."""
        if end:
            self._finish(fields)
        elif self._initial is None:
            self._initial = fields
            values = dict(fields)
            kind = values.get(b"content-type", b"")
            if values.get(b":status") != b"200" or not kind.startswith(b"application/grpc"):
                self._not_grpc(values)
            self._tell()

    def data(self, payload: bytes, end: bool) -> None:
        """Some bytes of messages."""
        try:
            messages = self._reader.feed(payload)
        except MessageError as exc:
            self._end(self._failure("INTERNAL" if exc.compressed else "RESOURCE_EXHAUSTED", f"grpc: {exc}"))
            return
        self._owed += len(payload)
        self._received += len(payload)
        if messages:
            self._messages.extend(messages)
            self._unread += sum(map(len, messages))
            self._news.set()
        if self._received >= _BULK and not self._unread:
            self._stream.widen(_BULK_WINDOW)
        self._give_credit()
        if end:
            self._finish(())

    def drained(self) -> None:
        """Most of what was queued is sent."""
        self._room.set()

    def closed(self, code: int | None) -> None:
        """The stream is over, or the connection."""
        if self._over:
            return
        link = self._link
        if link.lost:
            self._end(self._failure("UNAVAILABLE", link.lost))
        elif code is None:
            self._finish(())
        else:
            text = link.connection.goaway_text.decode("utf-8", "replace")
            broke = f"broke the call off ({frames.error_name(code)})"
            reason = "cancelled the call" if code == ErrorCode.CANCEL else broke
            reason = f"the daemon {reason}{f': {text}' if text else ''}"
            self._end(self._failure(_BY_RESET.get(code, "INTERNAL"), reason))

    # Ends.

    def _finish(self, trailers: Sequence[Field]) -> None:
        """The daemon has ended the call: its status says how."""
        values = dict(trailers)
        if b"grpc-status" not in values:
            if b":status" in values:
                self._not_grpc(values)
            else:
                self._end(self._failure("INTERNAL", "the daemon ended the call without a status"))
            return
        code, text, _ = read_status(trailers)
        if not code:
            cut = self._reader.pending
            self._end(self._failure("INTERNAL", "the daemon's last message is cut off") if cut else None)
            return
        name = CODES[code] if code < len(CODES) else "UNKNOWN"
        try:
            status = from_base64(values.get(b"grpc-status-details-bin", b""))
        except ValueError:
            # Details only explain; the code and the text stand without them.
            status = b""
        self._end(self._failure(name, text, status))

    def _not_grpc(self, values: dict[bytes, bytes]) -> None:
        http = values.get(b":status", b"?")
        kind = _text(values.get(b"content-type", b"?"))
        self._end(
            self._failure(
                _BY_HTTP.get(http, "UNKNOWN"), f"the answer is not gRPC: HTTP {_text(http)} of type {kind!r}"
            )
        )

    def _end(self, error: BuildKitError | None) -> None:
        if self._over:
            return
        self._over = True
        self._error = error
        # A daemon that has ended its side wants no more of ours; in all other cases it must be told.
        code = ErrorCode.NO_ERROR if self._stream.remote_closed else ErrorCode.CANCEL
        if not self._stream.finished():
            self._stream.reset(code)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._room.set()

    def _give_credit(self) -> None:
        """Let the daemon send more, unless the reader is behind."""
        if self._unread < _UNREAD:
            self._stream.consumed(self._owed)
            self._owed = 0

    def _failure(self, code: str, text: str, status: bytes = b"") -> BuildKitError:
        return rpc_error(
            code,
            text,
            method=self._method,
            address=self._address,
            status=status,
            connected=self._link.answered,
        )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
