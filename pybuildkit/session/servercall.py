"""One call from the daemon: what its machine sees of it, and what the HTTP/2 stream tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pybuildkit.http2.headers import Field, encode
from pybuildkit.http2.messages import MessageError, MessageReader, prefix
from pybuildkit.http2.metadata import OK_TRAILERS, RESPONSE_HEADERS, Request, status_fields
from pybuildkit.http2.stream import Stream
from pybuildkit.session.calls import Buffer, CallMetadata, Code, Machine, MachineFactory, Status, StatusError

if TYPE_CHECKING:
    from pybuildkit.session.server import Server

__all__ = ["ServerCall"]

_BULK = 256 << 10
"""A call that has received this much is given a wide window."""

_BULK_WINDOW = 16 << 20
"""The receive window of bulk. It is no memory: machines take bytes as they come, or the carrier waits."""

_UNREAD = 256 << 10
"""Bytes of whole messages that may wait for a paced handler before the daemon must stop sending."""

_SMALL = 4096
"""A message up to this size is joined with its prefix; a longer one is sent beside it."""

_MAX_TEXT = 16 << 10

_OK = Status()


class ServerCall:
    """A call. It is ``Call`` to its machine and ``StreamHandler`` to its stream.

    Attributes:
        stream: the HTTP/2 stream.
        over: the call has ended; what is queued still goes out.
        paced: messages are read later than they are handed over, see ``credit``.
        wanting: the server's mark that the machine is to be asked for output.
        on_drained: called when what was queued has been sent for the most part; for paced handlers.
    """

    def __init__(self, server: Server, stream: Stream, request: Request) -> None:
        self._server = server
        self._request = request
        self._reader = MessageReader()
        self._machine: Machine | None = None
        self._inside = False
        self._closed = False
        self._started = False
        self._received = 0
        self._owed = 0
        self._held = 0
        self._unread = 0
        self.stream = stream
        self.over = False
        self.paced = False
        self.wanting = False
        self.on_drained: Callable[[], None] | None = None

    # What the machine sees.

    @property
    def method(self) -> str:
        """See ``Call.method``."""
        return self._request.path

    @property
    def metadata(self) -> CallMetadata:
        """See ``Call.metadata``."""
        return self._request.metadata

    @property
    def room(self) -> int:
        """See ``Call.room``."""
        return self._server.share - self.stream.queued

    @property
    def crowded(self) -> bool:
        """So much is queued that the machine is not asked for more yet."""
        return self.stream.queued * 2 > self._server.share

    def send(self, *parts: Buffer) -> None:
        """See ``Call.send``."""
        size = sum(map(len, parts))
        if size <= _SMALL:
            self.send_framed(b"".join((prefix(size), *parts)))
        else:
            self.send_framed(prefix(size), *parts)

    def send_framed(self, *buffers: Buffer) -> None:
        """See ``Call.send_framed``."""
        if self.over:
            return
        if not self._started:
            self._started = True
            self.stream.send_headers(RESPONSE_HEADERS)
        self.stream.send(*buffers)

    def finish(self, status: Status = _OK) -> None:
        """See ``Call.finish``."""
        if self.over:
            return
        self.over = True
        plain = status.code == Code.OK and not status.message and not status.details
        trailers = OK_TRAILERS if plain else self._trailers(status)
        if not self._started:
            trailers = RESPONSE_HEADERS + trailers
        self.stream.end(trailers)
        self._close()

    def _trailers(self, status: Status) -> bytes:
        message = status.message[:_MAX_TEXT]
        fields = status_fields(status.code, message, status.details)
        limit = self._server.connection.peer_header_list
        if limit is not None and sum(len(key) + len(value) + 32 for key, value in fields) > limit:
            fields = status_fields(status.code, message[: limit // 8])
        return encode(fields)

    # What a paced handler's bridge does.

    def credit(self, size: int) -> None:
        """A paced handler has read messages of that many bytes: the daemon may send more."""
        self._unread -= size
        if not self.over:
            self._give_credit()

    # What the server and the stream tell.

    def start(self, factory: MachineFactory) -> None:
        """Make the machine; it may have output at once."""
        self._enter(self._make, factory)
        self._server.want(self)

    def _make(self, factory: MachineFactory) -> None:
        self._machine = factory(self)

    def pull(self) -> bool:
        """Ask the machine for output; True when it is to be asked again."""
        if self._machine is None:
            return False
        self._give_credit()
        # A machine that stopped because of a full queue goes on when there is room, whatever it says.
        return self._enter(self._machine.pull) is True or self.room <= 0

    def half_closed(self) -> None:
        """The daemon will send no more."""
        if self.over or self._machine is None:
            return
        if self._reader.pending:
            self.finish(Status(Code.INTERNAL, "the request ends in the middle of a message"))
            return
        self._enter(self._machine.half_closed)
        self._server.want(self)

    def headers(self, fields: Sequence[Field], end: bool) -> None:
        """Trailers of a request: nothing but its end."""
        if end:
            self.half_closed()

    def data(self, payload: bytes, end: bool) -> None:
        """Some bytes of the request's messages."""
        if not self.over:
            self._enter(self._feed, payload)
            self._server.want(self)
        self._received += len(payload)
        self._owed += len(payload)
        if self._received >= _BULK and not self.paced:
            self.stream.widen(_BULK_WINDOW)
        self._give_credit()
        if end:
            self.half_closed()

    def _feed(self, payload: bytes) -> None:
        machine = self._machine
        assert machine is not None
        try:
            messages = self._reader.feed(payload)
        except MessageError as exc:
            code = Code.UNIMPLEMENTED if exc.compressed else Code.RESOURCE_EXHAUSTED
            raise StatusError(code, f"grpc: {exc}") from None
        self._hold(self._reader.pending)
        for message in messages:
            if self.paced:
                self._unread += len(message)
            machine.message(message)
            if self.over:
                return

    def _hold(self, pending: int) -> None:
        """Account for what is kept of an unfinished message."""
        more = pending - self._held
        if more > 0 and not self._server.connection.hold(more):
            raise StatusError(Code.RESOURCE_EXHAUSTED, "too many unfinished messages at once")
        if more < 0:
            self._server.connection.release(-more)
        self._held = pending

    def _give_credit(self) -> None:
        """Let the daemon send more, unless this side is behind: with reading, or with answers to be sent."""
        if self._unread < _UNREAD and not self.crowded:
            self.stream.consumed(self._owed)
            self._owed = 0

    def drained(self) -> None:
        """Most of what was queued is sent."""
        if self.on_drained is not None:
            self.on_drained()

    def closed(self, code: int | None) -> None:
        """The stream is over, or the session."""
        self.over = True
        self._close()

    # Running the machine.

    def _enter(self, step: Callable[..., object], *args: object) -> object:
        """Run a step of the machine: whatever it raises ends this call only."""
        self._inside = True
        try:
            return step(*args)
        except Exception as exc:  # noqa: BLE001
            self._fail(exc)
            return None
        finally:
            self._inside = False
            if self.over:
                self._close()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, StatusError):
            self.finish(error.status)
            return
        self._server.failures.append((self.method, error))
        self.finish(Status(Code.UNKNOWN, str(error) or type(error).__name__))

    def _close(self) -> None:
        # A machine is not closed while a step of it is still running: it ends the call from there.
        if self._closed or self._inside:
            return
        self._closed = True
        machine, self._machine = self._machine, None
        self._server.connection.release(self._held)
        self._held = 0
        self._reader = MessageReader()
        if machine is not None:
            try:
                machine.closed()
            except Exception as exc:  # noqa: BLE001 - the call is over: all that is left is to tell
                self._server.failures.append((self.method, exc))
        self._server.forget(self)
