"""A channel on grpc.aio. The only file that knows grpc."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import anyio.lowlevel
import grpc
import grpc.aio

from pybuildkit.errors import RPCError
from pybuildkit.rpc.channel import Duplex, Metadata, ServerStream
from pybuildkit.rpc.failures import CODES, rpc_error
from pybuildkit.tls import TLS

__all__ = ["AioChannel"]

T = TypeVar("T")

MESSAGE_LIMIT = 16 << 20  # R1: the daemon's own, both ways
METADATA_LIMIT = 16 << 20  # T7: an error carries the whole Dockerfile in a trailer
KEEPALIVE_MS = 330_000  # T8: the daemon punishes pings that come more often than every five minutes

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.max_metadata_size", METADATA_LIMIT),
    ("grpc.absolute_max_metadata_size", METADATA_LIMIT),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.enable_http_proxy", 0),  # a daemon is never behind the proxy that builds use
    ("grpc.enable_retries", 0),  # a build must not be sent twice
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 20_000),  # that is how long one attempt may take
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),  # clients of one process must not share a dead connection
)


class AioChannel:
    """The Channel interface on one ``grpc.aio`` channel.

    Args:
        target: where grpc dials: ``unix:/path`` or ``host:port``.
        address: the address as the user gave it, for errors.
        authority: the ``:authority`` of calls (C41); grpc's own choice when None.
        tls: credentials; None for plain text.
    """

    def __init__(
        self, target: str, *, address: str, authority: str | None = None, tls: TLS | None = None
    ) -> None:
        self._address = address
        options: list[tuple[str, Any]] = list(_OPTIONS)
        if authority is not None:
            options.append(("grpc.default_authority", authority))
        # None once it is closed: grpc's poller lives as long as anything of grpc's does.
        self._channel: grpc.aio.Channel | None
        if tls is None:
            self._channel = grpc.aio.insecure_channel(target, options=options)
        else:
            if tls.server_name:
                options.append(("grpc.ssl_target_name_override", tls.server_name))
            ca, cert, key = tls.load()
            credentials = grpc.ssl_channel_credentials(ca, key, cert)
            self._channel = grpc.aio.secure_channel(target, credentials, options=options)
        self._connected = False

    @property
    def address(self) -> str:
        """The address as the user gave it."""
        return self._address

    async def unary(
        self,
        method: str,
        request: bytes = b"",
        *,
        metadata: Metadata = (),
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        """One request, one response; see ``Channel.unary``."""
        try:
            start: Any = self._open(method).unary_unary(method)
            call = start(request, metadata=_pairs(metadata), timeout=timeout)
        except grpc.aio.UsageError as exc:
            raise self._closed(exc, method) from None
        response: bytes = await self.mapped(method, call)
        return response

    def server_stream(
        self, method: str, request: bytes = b"", *, metadata: Metadata = ()
    ) -> AbstractAsyncContextManager[ServerStream]:
        """One request, many responses; see ``Channel.server_stream``."""
        return self._server_stream(method, request, metadata)

    @asynccontextmanager
    async def _server_stream(
        self, method: str, request: bytes, metadata: Metadata
    ) -> AsyncIterator[ServerStream]:
        start: Any = self._open(method).unary_stream(method)
        call = start(request, metadata=_pairs(metadata))
        try:
            yield _Responses(self, method, call)
        finally:
            call.cancel()

    def duplex(self, method: str, *, metadata: Metadata = ()) -> AbstractAsyncContextManager[Duplex]:
        """Messages both ways; see ``Channel.duplex``."""
        return self._duplex(method, metadata)

    @asynccontextmanager
    async def _duplex(self, method: str, metadata: Metadata) -> AsyncIterator[Duplex]:
        start: Any = self._open(method).stream_stream(method)
        call = start(metadata=_pairs(metadata))
        try:
            yield _Both(self, method, call)
        finally:
            call.cancel()

    async def aclose(self) -> None:
        """Close the connection; calls under way end with an error."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _open(self, method: str) -> grpc.aio.Channel:
        if self._channel is None:
            raise rpc_error("UNAVAILABLE", "the client is closed", method=method, address=self._address)
        return self._channel

    async def mapped(self, method: str, answer: Awaitable[T]) -> T:
        """Await something of grpc's and turn its errors into ours."""
        try:
            result = await answer
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                # grpc.aio raises this also when the *daemon* cancelled a stream; nobody asked this task to stop.
                raise RPCError("the daemon cancelled the call", code="CANCELLED", method=method) from None
            # grpc.aio also puts a bare one in place of anyio's, which anyio would not know for its own.
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise
        except grpc.aio.AioRpcError as exc:
            raise self._error(exc, method) from None
        except grpc.aio.UsageError as exc:
            raise self._closed(exc, method) from None
        self._connected = True
        return result

    def _closed(self, exc: grpc.aio.UsageError, method: str) -> Exception:
        return rpc_error("UNAVAILABLE", f"the client is closed ({exc})", method=method, address=self._address)

    def _error(self, exc: grpc.aio.AioRpcError, method: str) -> Exception:
        code = CODES[exc.code().value[0]]
        if code != "UNAVAILABLE":
            self._connected = True
        status = b""
        for key, value in exc.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = value if isinstance(value, bytes) else value.encode("latin-1")
        return rpc_error(
            code,
            exc.details() or "",
            method=method,
            address=self._address,
            status=status,
            connected=self._connected,
        )


def _pairs(metadata: Metadata) -> tuple[tuple[str, str], ...] | None:
    return tuple(metadata) or None


class _Responses:
    """The answers of one server-streaming call."""

    def __init__(self, channel: AioChannel, method: str, call: Any) -> None:
        self._channel = channel
        self._method = method
        self._call = call

    async def initial_metadata(self) -> Metadata:
        found = await self._channel.mapped(self._method, self._call.initial_metadata())
        return [(key, value) for key, value in found]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self._channel.mapped(self._method, _read(self._call))) is not None:
            yield message


class _Both:
    """One call with messages both ways."""

    def __init__(self, channel: AioChannel, method: str, call: Any) -> None:
        self._channel = channel
        self._method = method
        self._call = call

    async def send(self, message: bytes) -> None:
        await self._channel.mapped(self._method, self._write(message))

    async def _write(self, message: bytes) -> None:
        try:
            await self._call.write(message)
        except asyncio.InvalidStateError:
            # The call is over: its status says why.
            await self._raise_status()

    async def receive(self) -> bytes | None:
        return await self._channel.mapped(self._method, _read(self._call))

    async def done_sending(self) -> None:
        await self._channel.mapped(self._method, self._call.done_writing())

    async def _raise_status(self) -> None:
        code = await self._call.code()
        details = await self._call.details()
        raise grpc.aio.AioRpcError(
            code,
            await self._call.initial_metadata(),
            await self._call.trailing_metadata(),
            details=details or "the call is over",
        )


async def _read(call: Any) -> bytes | None:
    message = await call.read()
    return None if message is grpc.aio.EOF else message
