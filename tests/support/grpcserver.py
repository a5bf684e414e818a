"""grpc's own server in this process: the peer of the channel's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

__all__ = ["PREFIX", "GrpcServer"]

PREFIX = "/test.Service/"

_OPTIONS = [
    ("grpc.max_receive_message_length", 32 << 20),
    ("grpc.max_send_message_length", 32 << 20),
    ("grpc.max_metadata_size", 16 << 20),
    ("grpc.absolute_max_metadata_size", 16 << 20),
]


class GrpcServer(grpc.GenericRpcHandler):
    """A service of odd methods.

    Attributes:
        cancelled: set when a handler was cancelled.
        started: set when a handler that waits has begun.
        sent: messages that ``Flood`` has handed to the transport.
        received: bytes that ``Sink`` has taken.
        go_on: lets ``Sink`` read.
        metadata: of the last call.
        remaining: seconds until the last call's deadline.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.sent = 0
        self.received = 0
        self.metadata: list[tuple[str, str | bytes]] = []
        self.remaining: float | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[grpc.aio.Server]:
        """Serve on the socket."""
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((self,))
        server.add_insecure_port(f"unix:{self.path}")
        await server.start()
        try:
            yield server
        finally:
            await server.stop(None)

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[Any, Any] | None:
        """See grpc: the handler of a method."""
        name = handler_call_details.method.removeprefix(PREFIX)
        self.metadata = list(handler_call_details.invocation_metadata)
        if name in ("Echo", "Refuse", "Wait", "Big"):
            return grpc.unary_unary_rpc_method_handler(getattr(self, name.lower()))
        if name in ("Count", "Flood", "Broken", "Headers", "Hang"):
            return grpc.unary_stream_rpc_method_handler(getattr(self, name.lower()))
        if name in ("Talk", "Sink", "Abort"):
            return grpc.stream_stream_rpc_method_handler(getattr(self, name.lower()))
        return None

    async def echo(self, request: bytes, context: Any) -> bytes:
        self.remaining = context.time_remaining()
        return request

    async def big(self, request: bytes, context: Any) -> bytes:
        return bytes(int(request))

    async def refuse(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", request),))
        await context.abort(grpc.StatusCode.NOT_FOUND, "50 % of it is gone: é\n漢")
        raise AssertionError("unreachable")

    async def wait(self, request: bytes, context: Any) -> bytes:
        self.remaining = context.time_remaining()
        self.started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return b""

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    async def headers(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("first", "1"), ("second", "two"), ("second", "2")))
        yield b"x"

    async def hang(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await self.wait(request, context)

    async def flood(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            for _ in range(int(request)):
                yield bytes(1 << 20)
                self.sent += 1
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def broken(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        code = getattr(grpc.StatusCode, request.decode())
        await context.abort(code, "on purpose")

    async def talk(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request
        yield b"goodbye"

    async def sink(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await self.go_on.wait()
        async for request in requests:
            self.received += len(request)
        yield b"%d" % self.received

    async def abort(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            await context.abort(grpc.StatusCode.CANCELLED, "context canceled")
        yield b""
