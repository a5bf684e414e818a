"""A daemon in memory: opens a real session over a fake channel and calls its services as buildkitd does.

::

    async with fake_daemon(MyService()) as daemon:
        async with daemon.call("/pkg.Service/Method", {"dir-name": ["context"]}) as call:
            await call.send(b"request")
            await call.done_sending()
            answers = [message async for message in call]
            status = await call.status()          # Status(code, message, details)

Everything between is the real thing: the HTTP/2 engine on both ends, the session's thread, its carrier, the bridge to
coroutine handlers. Only buildkitd and the network are missing. ``serve_machine`` and ``serve_handler`` wrap a single
method.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from pybuildkit.errors import BuildKitError, ConnectionLost, RPCError
from pybuildkit.http2.connection import Connection
from pybuildkit.http2.frames import ErrorCode
from pybuildkit.http2.headers import Field, encode
from pybuildkit.http2.messages import MessageReader, prefix
from pybuildkit.http2.metadata import read_status, request_fields
from pybuildkit.http2.stream import Stream
from pybuildkit.rpc.channel import Duplex, Metadata, ServerStream
from pybuildkit.session.calls import AsyncHandler, Code, MachineFactory, Service, Status
from pybuildkit.session.carrier import SESSION, decode_bytes_message, encode_bytes_message
from pybuildkit.session.session import LiveSession, Session
from pybuildkit.session.socketcarrier import on_endpoint
from tests.support.fakesocket import serve_on_socket

__all__ = ["DaemonCall", "FakeDaemon", "MemoryChannel", "fake_daemon", "serve_handler", "serve_machine"]


CARRIER = "memory"
"""What carries the sessions of ``fake_daemon``: the stub's stream in memory; "loop": the same, and one that calls back, so that
light sessions begin in the event loop; "socket": a connection of its own."""


class OneMethod:
    """A service of methods given one by one."""

    def __init__(
        self,
        machines: Mapping[str, MachineFactory] | None = None,
        handlers: Mapping[str, AsyncHandler] | None = None,
    ) -> None:
        self.machines = machines or {}
        self.handlers = handlers or {}


def serve_machine(method: str, factory: MachineFactory) -> OneMethod:
    """A service of one machine."""
    return OneMethod({method: factory})


def serve_handler(method: str, handler: AsyncHandler) -> OneMethod:
    """A service of one coroutine handler."""
    return OneMethod(None, {method: handler})


class DaemonCall:
    """One call that the daemon makes."""

    def __init__(self, daemon: FakeDaemon) -> None:
        self._daemon = daemon
        self._reader = MessageReader(1 << 30)
        self._messages: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._fields: list[Field] = []
        self.stream: Stream | None = None
        self.headers_seen: list[Field] = []
        self.ended = False
        self.code: int | None = None
        """HTTP/2's error code when the stream was reset."""

    # The stream's handler.

    def headers(self, fields: Sequence[Field], end: bool) -> None:
        self._fields.extend(fields)
        if not end:
            self.headers_seen = list(fields)
        self.ended = self.ended or end
        self._news.set()

    def data(self, payload: bytes, end: bool) -> None:
        self._messages.extend(self._reader.feed(payload))
        self._unread = getattr(self, "_unread", 0) + len(payload)
        self.ended = self.ended or end
        self._news.set()

    def drained(self) -> None:
        self._news.set()

    def closed(self, code: int | None) -> None:
        self.ended = True
        self.code = code
        self._news.set()

    # The daemon's side.

    async def send(self, message: bytes) -> None:
        """Send a message; waits while a megabyte of this call is not sent yet."""
        assert self.stream is not None
        self.stream.low_water = 1 << 19
        while self.stream.queued > 1 << 20 and not self.ended:
            self._news.clear()
            await self._news.wait()
        self.stream.send(prefix(len(message)), message)
        self._daemon.flush()

    async def done_sending(self) -> None:
        """Half-close."""
        assert self.stream is not None
        self.stream.end()
        self._daemon.flush()

    async def receive(self) -> bytes | None:
        """The next message; None when there are no more."""
        while not self._messages:
            unread, self._unread = getattr(self, "_unread", 0), 0
            if unread and self.stream is not None:
                self.stream.consumed(unread)
                self._daemon.flush()
            if self.ended:
                return None
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.receive()) is not None:
            yield message

    async def status(self) -> Status:
        """Wait for the end; messages that come until then are kept for ``receive``."""
        while not self.ended:
            unread, self._unread = getattr(self, "_unread", 0), 0
            if unread and self.stream is not None:
                self.stream.consumed(unread)
                self._daemon.flush()
            self._news.clear()
            await self._news.wait()
        if self.code is not None and not any(key == b"grpc-status" for key, _ in self._fields):
            return Status(Code.UNAVAILABLE, f"stream reset: {ErrorCode(self.code).name}")
        code, message, details = read_status(self._fields)
        return Status(Code(code), message, details)

    def cancel(self) -> None:
        """Reset the stream, as a cancelled build does."""
        if self.stream is not None and not self.ended:
            self.stream.reset(ErrorCode.CANCEL)
            self.ended = True
            self._daemon.flush()


class FakeDaemon:
    """The daemon's end of one session's stream."""

    def __init__(self) -> None:
        self.metadata: Metadata = ()
        self.connection = Connection()
        self.session: LiveSession | None = None
        self._to_client: deque[bytes | BaseException | None] = deque()
        self._news = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self.client_done = False

    def call(
        self, method: str, metadata: Mapping[str, Iterable[str]] | None = None, *, timeout: str = ""
    ) -> AbstractAsyncContextManager[DaemonCall]:
        """Call a method; leaving the context cancels what is left of the call.

        Args:
            timeout: a ``grpc-timeout``, as ``15S``.
        """
        return self._call(method, metadata or {}, timeout)

    @asynccontextmanager
    async def _call(
        self,
        method: str,
        metadata: Mapping[str, Iterable[str]],
        timeout: str,  # noqa: ASYNC109
    ) -> AsyncIterator[DaemonCall]:
        pairs = [(key, value) for key, values in metadata.items() for value in values]
        if timeout:
            pairs.append(("grpc-timeout", timeout))
        call = DaemonCall(self)
        call.stream = self.connection.open(encode(request_fields(method, pairs)), call)
        self.flush()
        try:
            yield call
        finally:
            call.cancel()

    async def unary(
        self, method: str, request: bytes = b"", metadata: Mapping[str, Iterable[str]] | None = None
    ) -> tuple[bytes | None, Status]:
        """One request, one response."""
        async with self.call(method, metadata) as call:
            await call.send(request)
            await call.done_sending()
            answer = await call.receive()
            return answer, await call.status()

    def flush(self) -> None:
        """Give the session what the daemon's connection has to say."""
        while self.connection.wants_output:
            buffers, size = self.connection.output(1 << 18)
            if not size:
                break
            self.send_raw(b"".join(buffers))

    # What a hostile or dying daemon does.

    def send_raw(self, data: bytes) -> None:
        """Give the session bytes as they are."""
        self._to_client.append(encode_bytes_message([data], len(data)))
        self._news.set()

    def end(self, error: BaseException | None = None) -> None:
        """End the session's stream, well or with an error."""
        self._to_client.append(error)
        self._news.set()

    def pause(self) -> None:
        """Stop reading: the session's bytes are stuck, as in a full network."""
        self._reading.clear()

    def resume(self) -> None:
        """Read on."""
        self._reading.set()

    # The client's end.

    async def send(self, message: bytes) -> None:
        await self._reading.wait()
        await asyncio.sleep(0)
        self.connection.receive(decode_bytes_message(message))
        self.flush()

    async def receive(self) -> bytes | None:
        while not self._to_client:
            self._news.clear()
            await self._news.wait()
        message = self._to_client.popleft()
        if isinstance(message, BaseException):
            raise message
        return message

    async def done_sending(self) -> None:
        self.client_done = True
        self.connection.abandon(ErrorCode.CANCEL)
        self.end()


class EagerDaemon(FakeDaemon):
    """One whose stream also calls who watches it, as ``EagerDuplex``."""

    is_eager = True

    def __init__(self) -> None:
        super().__init__()
        self._watcher: Callable[[], object] | None = None
        self._stuck: deque[bytes] = deque()

    def watch(self, watcher: Callable[[], object] | None) -> None:
        self._watcher = watcher

    @property
    def has_messages(self) -> bool:
        return bool(self._to_client) and isinstance(self._to_client[0], bytes)

    def take(self) -> bytes:
        message = self._to_client.popleft()
        assert isinstance(message, bytes)
        return message

    @property
    def over(self) -> bool:
        return bool(self._to_client) and not self.has_messages

    @property
    def error(self) -> BuildKitError | None:
        found = self._to_client[0] if self.over else None
        assert found is None or isinstance(found, BuildKitError)
        return found

    @property
    def crowded(self) -> bool:
        return sum(map(len, self._stuck)) >= 1 << 18

    def post(self, message: bytes) -> None:
        self._stuck.append(message)
        asyncio.get_running_loop().call_soon(self._deliver)

    def post_end(self) -> None:
        asyncio.get_running_loop().call_soon(self._end_posted)

    def part(self, patience: float) -> None:
        self._watcher = None

    def _end_posted(self) -> None:
        self._deliver()
        self.client_done = True
        self.connection.abandon(ErrorCode.CANCEL)
        self.end()

    def _deliver(self) -> None:
        while self._reading.is_set() and self._stuck:
            self.connection.receive(decode_bytes_message(self._stuck.popleft()))
            self.flush()
            self._tell()

    def resume(self) -> None:
        super().resume()
        self._deliver()

    def send_raw(self, data: bytes) -> None:
        super().send_raw(data)
        self._tell()

    def end(self, error: BaseException | None = None) -> None:
        super().end(error)
        self._tell()

    def _tell(self) -> None:
        if self._watcher is not None:
            self._watcher()


class MemoryChannel:
    """A channel whose only method is Control.Session, answered by a fake daemon."""

    def __init__(self) -> None:
        self.daemon: FakeDaemon | None = None
        self.address = "memory://"

    async def unary(
        self,
        method: str,
        request: bytes = b"",
        *,
        metadata: Metadata = (),
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        raise RPCError(f"unknown method {method}", code="UNIMPLEMENTED", method=method)

    def server_stream(
        self, method: str, request: bytes = b"", *, metadata: Metadata = ()
    ) -> AbstractAsyncContextManager[ServerStream]:
        raise RPCError(f"unknown method {method}", code="UNIMPLEMENTED", method=method)

    def duplex(self, method: str, *, metadata: Metadata = ()) -> AbstractAsyncContextManager[Duplex]:
        return self._duplex(method, metadata)

    @asynccontextmanager
    async def _duplex(self, method: str, metadata: Metadata) -> AsyncIterator[Duplex]:
        assert method == SESSION
        daemon = self.daemon = EagerDaemon() if CARRIER == "loop" else FakeDaemon()
        daemon.metadata = metadata
        daemon.flush()
        try:
            yield daemon
        finally:
            daemon.connection.abandon(ErrorCode.CANCEL)

    async def aclose(self) -> None:
        if self.daemon is not None:
            self.daemon.end(ConnectionLost("the channel is closed", code="UNAVAILABLE"))


@asynccontextmanager
async def fake_daemon(
    *services: Service, session: Session | None = None, **options: Any
) -> AsyncIterator[FakeDaemon]:
    """Open a session with these services to a fake daemon.

    Args:
        session: the session instead of a new one.
        options: of the new ``Session``.
    """
    session = session or Session(services, **options)
    if CARRIER == "socket":
        daemon = FakeDaemon()
        daemon.flush()
        async with serve_on_socket(daemon) as endpoint, session.open(on_endpoint(endpoint)) as live:
            daemon.session = live
            yield daemon
        return
    channel = MemoryChannel()
    async with session.open(channel) as live:
        assert channel.daemon is not None
        channel.daemon.session = live
        yield channel.daemon
