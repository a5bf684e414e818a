"""The fast carrier: Control.Session on a connection of its own, spoken by the session's thread itself.

The same engine as above, in the client's role, around the connection that the session serves: no grpc, no event loop in
between. For addresses that can only be one daemon: a second connection through a balancer may reach another one, which
then waits in vain for the session.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pybuildkit import _wire
from pybuildkit.errors import ConnectError, ConnectionLost, ProtocolError
from pybuildkit.http2 import frames
from pybuildkit.http2.connection import Connection
from pybuildkit.http2.headers import Field, encode
from pybuildkit.http2.messages import MessageError, MessageReader
from pybuildkit.http2.metadata import read_status, request_fields
from pybuildkit.rpc.channel import Metadata
from pybuildkit.rpc.failures import CODES, rpc_error
from pybuildkit.session.calls import Buffer
from pybuildkit.session.carrier import BATCH, SESSION, Carrier, CarrierFactory, decode_bytes_message
from pybuildkit.session.socketio import SocketIO
from pybuildkit.transport.endpoint import Endpoint
from pybuildkit.transport.sockets import connect

__all__ = ["SocketCarrier", "on_endpoint"]

_ENVELOPE = struct.Struct(">BLB4s")
"""gRPC's prefix and BytesMessage's tag and length, the latter always four bytes: ten in all."""

_MAX_PENDING = 256 << 10
"""Bytes that wait for the system's socket buffer before no more are asked for."""

_RECEIVE_WINDOW = 16 << 20
"""What the daemon may send ahead. The thread takes it from the socket as it consumes it: this is no memory."""

_CONNECT_SECONDS = 10.0


def _envelope(size: int) -> bytes:
    # The padded length keeps the envelope's size fixed, so that frames can be planned around it.
    length = bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21))
    return _ENVELOPE.pack(0, size + 5, 0x0A, length)


class SocketCarrier:
    """A carrier that does all of its I/O in the session's thread; see ``Carrier``.

    Args:
        sock: connected to the daemon; the carrier takes it over.
        metadata: of the session's stream.
        authority: the ``:authority`` of the call.
        address: the daemon's address, for errors.
    """

    unit = frames.MAX_FRAME
    overhead = _ENVELOPE.size

    def __init__(self, sock: socket.socket, metadata: Metadata, *, authority: str, address: str) -> None:
        self._io = SocketIO(sock)
        self._address = address
        self._connection = Connection(stream_window=_RECEIVE_WINDOW)
        self._reader = MessageReader()
        self._inbox: list[bytes] = []
        self._fields: list[Field] = []
        self._over = False
        self.error: Exception | None = None
        headers = encode(request_fields(SESSION, metadata, authority=authority))
        self._stream = self._connection.open(headers, self)
        self._flush()

    # The carrier.

    def take(self) -> list[bytes]:
        """See ``Carrier.take``."""
        try:
            for data in self._io.read():
                self._connection.receive(data)
        except ProtocolError as exc:
            self._break(exc)
        if self._io.ended and not self._over:
            self._break(self._lost())
        self._flush()
        taken, self._inbox = self._inbox, []
        return taken

    @property
    def ended(self) -> bool:
        """See ``Carrier.ended``."""
        return self._over and not self._inbox

    def room(self) -> int:
        """See ``Carrier.room``: nothing while anything waits, so that control frames do not pile up in front of a closed window."""
        if self._over or self._io.pending >= _MAX_PENDING or self._stream.queued:
            return 0
        window = min(self._stream.send_window, self._connection.send_window, BATCH)
        return max(0, window - self.overhead)

    def write(self, buffers: Sequence[Buffer], size: int) -> None:
        """See ``Carrier.write``."""
        self._stream.send(_envelope(size), *buffers)
        self._flush()

    def finish_writing(self) -> None:
        """See ``Carrier.finish_writing``."""
        self._stream.end()
        self._flush()

    def wait(self, timeout: float | None) -> None:
        """See ``Carrier.wait``."""
        self._io.wait(timeout)
        self._flush()

    def wake(self) -> None:
        """See ``Carrier.wake``."""
        self._io.wake()

    def close(self) -> None:
        """See ``Carrier.close``."""
        self._over = True
        self._connection.shut()
        self._flush()

    async def run(self) -> None:
        """See ``Carrier.run``: there is nothing to do in the event loop."""

    def destroy(self) -> None:
        """Close the socket, once the thread has ended."""
        self._io.close()

    def _flush(self) -> None:
        while self._connection.wants_output and self._io.pending < _MAX_PENDING:
            buffers, size = self._connection.output(1 << 20)
            if not size:
                return
            self._io.write(buffers, size)

    # The stream's handler.

    def headers(self, fields: Sequence[Field], end: bool) -> None:
        """Response headers, or the trailers."""
        self._fields.extend(fields)
        if end:
            self._finish()

    def data(self, payload: bytes, end: bool) -> None:
        """Bytes of BytesMessages."""
        try:
            for message in self._reader.feed(payload):
                self._inbox.append(decode_bytes_message(message))
        except (MessageError, _wire.ProtoDecodeError) as exc:
            self._break(ProtocolError(f"the session's stream carries no BytesMessage: {exc}", method=SESSION))
        self._stream.consumed(len(payload))
        if end:
            self._finish()

    def drained(self) -> None:
        """Not asked for."""

    def closed(self, code: int | None) -> None:
        """The stream is over."""
        if code is not None and not self._over:
            name = frames.error_name(code)
            text = self._connection.goaway_text.decode("utf-8", "replace")
            self._break(
                ConnectionLost(
                    f"the daemon broke off the session's stream ({name}{f': {text}' if text else ''})",
                    code="UNAVAILABLE",
                    method=SESSION,
                )
            )

    def _finish(self) -> None:
        """The daemon has ended the call: its status says how."""
        if self._over:
            return
        self._over = True
        code, message, _ = read_status(self._fields)
        if code:
            name = CODES[code] if code < len(CODES) else "UNKNOWN"
            self.error = rpc_error(name, message, method=SESSION, address=self._address)

    def _break(self, error: Exception) -> None:
        self._over = True
        if self.error is None:
            self.error = error

    def _lost(self) -> ConnectionLost:
        reason = self._io.error.strerror if self._io.error is not None else "it was closed"
        return ConnectionLost(
            f"the session's connection to {self._address} broke: {reason}; is the daemon still running?",
            code="UNAVAILABLE",
            method=SESSION,
        )


def on_endpoint(endpoint: Endpoint) -> CarrierFactory:
    """Carry the session on a connection of its own, without TLS.

    Only for an endpoint with ``one_daemon``.
    """

    @asynccontextmanager
    async def opened(metadata: Metadata) -> AsyncIterator[Carrier]:
        sock = await _connect(endpoint)
        try:
            carrier = SocketCarrier(
                sock,
                metadata,
                authority=endpoint.authority or "localhost",
                address=endpoint.address,
            )
        except BaseException:
            sock.close()
            raise
        try:
            yield carrier
        finally:
            carrier.destroy()

    return opened


async def _connect(endpoint: Endpoint) -> socket.socket:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await connect(endpoint)
    except TimeoutError:
        reason = f"no answer within {_CONNECT_SECONDS:.0f} seconds"
    except OSError as exc:
        reason = exc.strerror or str(exc)
    trouble = endpoint.trouble()
    raise ConnectError(
        f"the session can not connect to {endpoint.address}: {reason}{f' ({trouble})' if trouble else ''}; "
        "is buildkitd running there?",
        address=endpoint.address,
    )
