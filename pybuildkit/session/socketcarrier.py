"""The fast carrier: Control.Session on a connection of its own, spoken by the session's thread itself.

The same engine as above, in the client's role, around the connection that the session serves: no grpc, no event loop in
between. For addresses that can only be one daemon: a second connection through a balancer may reach another one, which
then waits in vain for the session.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pybuildkit import _wire
from pybuildkit.errors import ConnectError, ConnectionLost, ProtocolError
from pybuildkit.http2 import frames
from pybuildkit.http2.headers import Field, encode
from pybuildkit.http2.messages import MessageError, MessageReader
from pybuildkit.http2.metadata import read_status, request_fields
from pybuildkit.rpc.channel import Metadata
from pybuildkit.rpc.failures import CODES, rpc_error
from pybuildkit.session.calls import Buffer
from pybuildkit.session.carrier import BATCH, SESSION, Carrier, CarrierFactory, decode_bytes_message
from pybuildkit.session.socketway import MAX_PENDING, SocketWay

if TYPE_CHECKING:
    import socket

    from pybuildkit.transport.endpoint import Endpoint

__all__ = ["RECEIVE_WINDOW", "SocketCarrier", "on_endpoint"]

_ENVELOPE = struct.Struct(">BLB4s")
"""gRPC's prefix and BytesMessage's tag and length, the latter always four bytes: ten in all."""

RECEIVE_WINDOW = 16 << 20
"""What the daemon may send ahead. The thread takes it from the socket as it consumes it: this is no memory."""

_CONNECT_SECONDS = 10.0


def _envelope(size: int) -> bytes:
    # The padded length keeps the envelope's size fixed, so that frames can be planned around it.
    length = bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21))
    return _ENVELOPE.pack(0, size + 5, 0x0A, length)


class SocketCarrier:
    """A carrier that does all of its I/O in the session's thread; see ``Carrier``.

    Args:
        way: a connection to the daemon; other calls of the same thread may share it.
        metadata: of the session's stream.
        authority: the ``:authority`` of the call.
        address: the daemon's address, for errors.
    """

    unit = frames.MAX_FRAME
    overhead = _ENVELOPE.size

    def __init__(self, way: SocketWay, metadata: Metadata, *, authority: str, address: str) -> None:
        self._way = way
        self._address = address
        self._reader = MessageReader()
        self._inbox: list[bytes] = []
        self._fields: list[Field] = []
        self._over = False
        self.error: Exception | None = None
        headers = encode(request_fields(SESSION, metadata, authority=authority))
        self._stream = way.connection.open(headers, self)
        self._stream.widen(RECEIVE_WINDOW)
        way.flush()

    # The carrier.

    def take(self) -> list[bytes]:
        """See ``Carrier.take``."""
        self._way.read()
        self._way.flush()
        taken, self._inbox = self._inbox, []
        return taken

    @property
    def ended(self) -> bool:
        """See ``Carrier.ended``."""
        return self._over and not self._inbox

    def room(self) -> int:
        """See ``Carrier.room``: nothing while anything waits, so that control frames do not pile up in front of a closed window."""
        if self._over or self._way.pending >= MAX_PENDING or self._stream.queued:
            return 0
        window = min(self._stream.send_window, self._way.connection.send_window, BATCH)
        return max(0, window - self.overhead)

    def write(self, buffers: Sequence[Buffer], size: int) -> None:
        """See ``Carrier.write``."""
        self._stream.send(_envelope(size), *buffers)
        self._way.flush()

    def finish_writing(self) -> None:
        """See ``Carrier.finish_writing``."""
        self._stream.end()
        self._way.flush()

    def wait(self, timeout: float | None) -> None:
        """See ``Carrier.wait``."""
        self._way.wait(timeout)

    def wake(self) -> None:
        """See ``Carrier.wake``."""
        self._way.wake()

    def close(self) -> None:
        """See ``Carrier.close``."""
        self.give_up()
        self._way.connection.shut()
        self._way.flush()

    def give_up(self) -> None:
        """Take and give nothing more; the connection may go on."""
        self._over = True

    async def run(self) -> None:
        """See ``Carrier.run``: there is nothing to do in the event loop."""

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
        """The stream is over, or the connection."""
        if self._over:
            return
        if self._way.lost:
            self._break(self._way.broken or self._lost())
        elif code is not None:
            name = frames.error_name(code)
            text = self._way.connection.goaway_text.decode("utf-8", "replace")
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
        return ConnectionLost(
            f"the session's connection to {self._address} broke: {self._way.lost}; is the daemon still running?",
            code="UNAVAILABLE",
            method=SESSION,
        )


def on_endpoint(endpoint: Endpoint) -> CarrierFactory:
    """Carry the session on a connection of its own, without TLS.

    Only for an endpoint with ``one_daemon``.
    """

    @asynccontextmanager
    async def opened(metadata: Metadata) -> AsyncIterator[Carrier]:
        way = SocketWay(await _connect(endpoint), stream_window=RECEIVE_WINDOW)
        try:
            yield SocketCarrier(
                way,
                metadata,
                authority=endpoint.authority or "localhost",
                address=endpoint.address,
            )
        finally:
            way.close()

    return opened


async def _connect(endpoint: Endpoint) -> socket.socket:
    import asyncio

    from pybuildkit.transport.sockets import connect

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
