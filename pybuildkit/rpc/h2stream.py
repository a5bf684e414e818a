"""What a call is on HTTP/2, whoever waits for it: messages put together, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pybuildkit.errors import BuildKitError
from pybuildkit.http2 import frames
from pybuildkit.http2.connection import Connection
from pybuildkit.http2.frames import ErrorCode
from pybuildkit.http2.headers import Field, encode
from pybuildkit.http2.messages import MAX_MESSAGE, MessageError, MessageReader, prefix
from pybuildkit.http2.metadata import from_base64, read_status, request_fields
from pybuildkit.http2.stream import Stream
from pybuildkit.rpc.channel import Metadata
from pybuildkit.rpc.failures import CODES, rpc_error

__all__ = ["CallStream", "Way", "request_headers"]

_UNREAD = 256 << 10
"""Bytes of whole messages that may wait to be read before the daemon must stop sending."""

_BULK = 1 << 20
"""A call that has received this much, and whose reader keeps up, is given a wide window."""

_BULK_WINDOW = 8 << 20

_MOST_DIGITS = 10**8
"""A ``grpc-timeout`` has eight digits at most."""

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


class Way(Protocol):
    """The connection of a call."""

    @property
    def connection(self) -> Connection:
        """The engine."""
        ...

    @property
    def lost(self) -> str:
        """Why it is of no more use, empty while it is."""
        ...

    @property
    def answered(self) -> bool:
        """The daemon has been heard, ever."""
        ...


def request_headers(
    connection: Connection, method: str, metadata: Metadata, *, authority: str, timeout: float | None = None
) -> bytes:
    """The encoded headers of a call.

    Args:
        connection: says what the daemon takes.
        method: the full method.
        metadata: of the call.
        authority: the ``:authority``.
        timeout: seconds until the caller gives up.

    Raises:
        MessageError: they are too long.
    """
    fields = request_fields(method, metadata, authority=authority)
    limit = connection.peer_header_list
    size = sum(len(key) + len(value) + 32 for key, value in fields)
    if limit is not None and size > limit:
        raise MessageError(
            f"{size} bytes of metadata can not be sent; the daemon takes {limit} at most", compressed=False
        )
    if timeout is not None:
        fields.append((b"grpc-timeout", _timeout(timeout)))
    return encode(fields)


def _timeout(seconds: float) -> bytes:
    milliseconds = max(1, round(seconds * 1000))
    return b"%dm" % milliseconds if milliseconds < _MOST_DIGITS else b"%dS" % min(seconds, _MOST_DIGITS - 1)


class CallStream:
    """A call as its stream sees it; a subclass says who is told.

    Args:
        way: the connection.
        headers: the encoded request headers.
        method: the full method, for errors.
        address: the daemon's address, likewise.
    """

    def __init__(self, way: Way, headers: bytes, *, method: str, address: str) -> None:
        self._way = way
        self._method = method
        self._address = address
        self._reader = MessageReader()
        self._unread = 0
        self._owed = 0
        self._received = 0
        self._initial: Sequence[Field] | None = None
        self._over = False
        self._error: BuildKitError | None = None
        self._stream: Stream = way.connection.open(headers, self)

    def arrived(self, messages: list[bytes]) -> None:
        """Messages have come; what of them is not read at once is counted in ``_unread``."""
        raise NotImplementedError

    def changed(self) -> None:
        """The headers have come, or the call is over."""
        raise NotImplementedError

    # What the caller does.

    def queue(self, message: bytes) -> None:
        """Queue a message.

        Raises:
            RPCError: the call is over, or the message is too long.
        """
        if self._over:
            raise self._error or self._failure("OK", "the call is over; nothing can be sent any more")
        size = len(message)
        if size > MAX_MESSAGE:
            raise self._failure(
                "RESOURCE_EXHAUSTED",
                f"a message of {size} bytes can not be sent; the daemon takes {MAX_MESSAGE} at most",
            )
        self._stream.send(prefix(size), message)

    def give_up(self) -> None:
        """End what is left of the call; the daemon is told with the next bytes that are sent."""
        if not self._over:
            self._end(self._failure("CANCELLED", "the call was cancelled here"))

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
            self.changed()

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
            self.arrived(messages)
        if self._received >= _BULK and not self._unread:
            self._stream.widen(_BULK_WINDOW)
        self._give_credit()
        if end:
            self._finish(())

    def drained(self) -> None:
        """Most of what was queued is sent."""
        self.changed()

    def closed(self, code: int | None) -> None:
        """The stream is over, or the connection."""
        if self._over:
            return
        if self._way.lost:
            self._end(self._failure("UNAVAILABLE", self._way.lost))
        elif code is None:
            self._finish(())
        else:
            text = self._way.connection.goaway_text.decode("utf-8", "replace")
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
        kind = values.get(b"content-type", b"?").decode("utf-8", "replace")
        text = f"the answer is not gRPC: HTTP {http.decode('utf-8', 'replace')} of type {kind!r}"
        self._end(self._failure(_BY_HTTP.get(http, "UNKNOWN"), text))

    def _end(self, error: BuildKitError | None) -> None:
        if self._over:
            return
        self._over = True
        self._error = error
        if not self._stream.finished():
            # A daemon that has ended its side wants no more of ours; in all other cases it must be told.
            self._stream.reset(ErrorCode.NO_ERROR if self._stream.remote_closed else ErrorCode.CANCEL)
        self.changed()

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
            connected=self._way.answered,
        )
