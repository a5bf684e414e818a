"""The fake daemon behind a real unix socket: for the carrier that opens Control.Session on its own connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from pybuildkit.errors import RPCError
from pybuildkit.http2.connection import Connection
from pybuildkit.http2.headers import Field, encode
from pybuildkit.http2.messages import MessageReader, prefix
from pybuildkit.http2.metadata import RESPONSE_HEADERS, read_request, status_fields
from pybuildkit.http2.stream import Stream
from pybuildkit.rpc.failures import CODES
from pybuildkit.session.carrier import SESSION
from pybuildkit.transport.endpoint import Endpoint

if TYPE_CHECKING:
    from tests.support.fakedaemon import FakeDaemon

__all__ = ["SocketFront", "serve_on_socket"]


class SocketFront:
    """The server of one outer connection: puts what comes on the session's stream into a fake daemon, and back."""

    def __init__(self, daemon: FakeDaemon, sock: socket.socket) -> None:
        self.daemon = daemon
        self.connection = Connection(self._accept)
        self._socket = sock
        self._reader = MessageReader()
        self._messages: asyncio.Queue[tuple[bytes | None, int]] = asyncio.Queue()
        self._stream: Stream | None = None
        self._opened = asyncio.Event()
        self._room = asyncio.Event()
        self._writing = asyncio.Lock()

    def _accept(self, stream: Stream, fields: Sequence[Field], end: bool) -> SocketFront:
        request = read_request(fields)
        assert request.path == SESSION
        self.daemon.metadata = [(key, value) for key, values in request.metadata.items() for value in values]
        self._stream = stream
        stream.low_water = 1 << 16
        stream.send_headers(RESPONSE_HEADERS)
        self._opened.set()
        return self

    # The stream's handler.

    def headers(self, fields: Sequence[Field], end: bool) -> None:
        raise AssertionError("a gRPC client sends no trailers")

    def data(self, payload: bytes, end: bool) -> None:
        found = self._reader.feed(payload)
        for message in found:
            self._messages.put_nowait((message, 0))
        self._messages.put_nowait((b"", len(payload)))
        if end:
            self._messages.put_nowait((None, 0))

    def drained(self) -> None:
        self._room.set()

    def closed(self, code: int | None) -> None:
        self._room.set()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._to_daemon)
            tasks.start_soon(self._to_client)
            loop = asyncio.get_running_loop()
            with contextlib.suppress(OSError):
                while data := await loop.sock_recv(self._socket, 1 << 16):
                    self.connection.receive(data)
                    await self._flush()
            tasks.cancel_scope.cancel()

    async def _to_daemon(self) -> None:
        while True:
            message, credit = await self._messages.get()
            if message is None:
                await self.daemon.done_sending()
            elif message:
                await self.daemon.send(message)
            assert self._stream is not None
            self._stream.consumed(credit)
            await self._flush()

    async def _to_client(self) -> None:
        await self._opened.wait()
        assert self._stream is not None
        try:
            while (message := await self.daemon.receive()) is not None:
                while self._stream.queued > 1 << 18 and not self._stream.over:
                    self._room.clear()
                    await self._room.wait()
                self._stream.send(prefix(len(message)), message)
                await self._flush()
            fields = status_fields(0, "")
        except RPCError as exc:
            fields = status_fields(CODES.index(exc.code), exc.message)
        self._stream.end(encode(fields))
        await self._flush()

    async def _flush(self) -> None:
        async with self._writing:
            while self.connection.wants_output:
                buffers, size = self.connection.output(1 << 18)
                if not size:
                    return
                # A client that is gone has its own view of why.
                with contextlib.suppress(OSError):
                    await asyncio.get_running_loop().sock_sendall(self._socket, b"".join(buffers))


@asynccontextmanager
async def serve_on_socket(daemon: FakeDaemon) -> AsyncIterator[Endpoint]:
    """An endpoint behind which the daemon waits for one connection."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "s")
        listener.setblocking(False)
        listener.bind(path)
        listener.listen()

        async def accept() -> None:
            sock, _ = await asyncio.get_running_loop().sock_accept(listener)
            with sock:
                sock.setblocking(False)
                await SocketFront(daemon, sock).run()

        # No task group: an error of the test is to come out as it is.
        task = asyncio.create_task(accept())
        try:
            yield Endpoint(f"unix://{path}", f"unix:{path}", socket_path=path)
        finally:
            task.cancel()
            await asyncio.wait([task])
