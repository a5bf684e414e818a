"""A channel on this library's own HTTP/2: no grpc, no protobuf, one connection, in the event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from pybuildkit._version import __version__
from pybuildkit.errors import BuildKitError
from pybuildkit.http2.messages import MessageError
from pybuildkit.rpc.channel import Duplex, Metadata, ServerStream
from pybuildkit.rpc.failures import rpc_error
from pybuildkit.rpc.h2call import Call
from pybuildkit.rpc.h2link import Link
from pybuildkit.rpc.h2stream import request_headers
from pybuildkit.transport.endpoint import Endpoint
from pybuildkit.transport.sockets import connect

__all__ = ["H2Channel"]

_CONNECT_SECONDS = 20.0
"""How long one attempt to connect may take."""

_USER_AGENT = ("user-agent", f"pybuildkit/{__version__}")


class H2Channel:
    """The Channel interface on one HTTP/2 connection without TLS.

    It is connected by the first call, and again by the next call after it was lost. Nothing is sent twice.

    Args:
        endpoint: where the daemon listens.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._authority = endpoint.authority or endpoint.host_port or "localhost"
        self._link: Link | None = None
        self._links: set[Link] = set()
        self._connecting = asyncio.Lock()
        self._attempt = 0
        self._failed = (0, "")
        self._closed = False

    @property
    def address(self) -> str:
        """The address as the user gave it."""
        return self._endpoint.address

    async def unary(
        self,
        method: str,
        request: bytes = b"",
        *,
        metadata: Metadata = (),
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        """One request, one response; see ``Channel.unary``."""
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                call = await self._open(method, metadata, timeout)
                try:
                    call.send_only(request)
                    return await call.answer()
                finally:
                    call.cancel()
        except TimeoutError:
            if not limit.expired():
                raise
        raise self._error("DEADLINE_EXCEEDED", f"no answer within {timeout} seconds", method)

    def server_stream(
        self, method: str, request: bytes = b"", *, metadata: Metadata = ()
    ) -> AbstractAsyncContextManager[ServerStream]:
        """One request, many responses; see ``Channel.server_stream``."""
        return self._server_stream(method, request, metadata)

    @asynccontextmanager
    async def _server_stream(
        self, method: str, request: bytes, metadata: Metadata
    ) -> AsyncIterator[ServerStream]:
        call = await self._open(method, metadata)
        try:
            call.send_only(request)
            yield call
        finally:
            call.cancel()

    def duplex(self, method: str, *, metadata: Metadata = ()) -> AbstractAsyncContextManager[Duplex]:
        """Messages both ways; see ``Channel.duplex``."""
        return self._duplex(method, metadata)

    @asynccontextmanager
    async def _duplex(self, method: str, metadata: Metadata) -> AsyncIterator[Duplex]:
        call = await self._open(method, metadata)
        try:
            call.begin()
            yield call
        finally:
            call.cancel()

    async def aclose(self) -> None:
        """Close the connection; calls under way end with an error."""
        self._closed = True
        links = list(self._links)
        for link in links:
            link.close("the client is closed")
        for link in links:
            await link.ended

    # Calls.

    async def _open(self, method: str, metadata: Metadata, timeout: float | None = None) -> Call:  # noqa: ASYNC109
        link = await self._usable_link(method)
        try:
            headers = request_headers(
                link.connection, method, [_USER_AGENT, *metadata], authority=self._authority, timeout=timeout
            )
        except MessageError as exc:
            raise self._error("RESOURCE_EXHAUSTED", str(exc), method) from None
        return Call(link, headers, method=method, address=self.address)

    async def _usable_link(self, method: str) -> Link:
        """A connection on which one more call can be opened now."""
        while True:
            link = self._link
            if self._closed:
                raise self._error("UNAVAILABLE", "the client is closed", method)
            if link is None or not link.usable:
                await self._connect(method)
            elif link.full:
                link.room.clear()
                await link.room.wait()
            else:
                return link

    # The connection.

    async def _connect(self, method: str) -> None:
        """Connect, or wait until another call has done so; whoever waits for an attempt that fails, fails with it."""
        first = self._attempt + (0 if self._connecting.locked() else 1)
        async with self._connecting:
            if self._closed or (self._link is not None and self._link.usable):
                return
            number, reason = self._failed
            if number < first:
                self._attempt += 1
                reason = await self._try_to_connect()
                self._failed = (self._attempt, reason) if reason else (0, "")
            if reason:
                answered = self._link is not None and self._link.answered
                raise self._error("UNAVAILABLE", reason, method, connected=answered)

    async def _try_to_connect(self) -> str:
        """One attempt; why it failed, empty when it did not."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                self._link = await self._new_link(await connect(self._endpoint))
        except TimeoutError:
            return f"no answer within {_CONNECT_SECONDS:g} seconds"
        except OSError as exc:
            return exc.strerror or str(exc)
        self._links.add(self._link)
        return ""

    async def _new_link(self, sock: socket.socket) -> Link:
        loop = asyncio.get_running_loop()
        link = Link(self._links.discard, answered=self._link is not None and self._link.answered)
        try:
            if sock.family == socket.AF_UNIX:
                await loop.create_unix_connection(lambda: link, sock=sock)
            else:
                await loop.create_connection(lambda: link, sock=sock)
        except BaseException:
            sock.close()
            raise
        return link

    def _error(self, code: str, text: str, method: str, *, connected: bool = True) -> BuildKitError:
        return rpc_error(code, text, method=method, address=self.address, connected=connected)
