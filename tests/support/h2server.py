"""An HTTP/2 server by the ``h2`` package on a unix socket, for what no gRPC server would do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import h2.connection
import h2.events
import h2.settings

from tests.support.h2peer import h2_server

__all__ = ["HEADERS", "OK", "H2Peer", "message", "serve_h2"]

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]


def message(data: bytes, *, flag: int = 0) -> bytes:
    """A gRPC message."""
    return bytes((flag,)) + len(data).to_bytes(4) + data


class H2Peer:
    """One connection.

    Attributes:
        h2: the state machine; call ``flush`` behind what is done with it.
        events: all that has come.
        open: requests that are not answered yet.
        most: the highest number of them so far.
        closed: the other side has closed the connection.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.h2: h2.connection.H2Connection = h2_server()
        self.events: list[h2.events.Event] = []
        self.open: list[int] = []
        self.most = 0
        self.closed = asyncio.Event()
        self.writer = writer

    def flush(self) -> None:
        """Send what ``h2`` has to say."""
        self.writer.write(self.h2.data_to_send())

    def goodbye(self, last: int, code: int = 0, text: bytes = b"") -> None:
        """Send a GOAWAY; unlike ``h2``'s own it lets open streams go on."""
        self.flush()
        payload = last.to_bytes(4) + code.to_bytes(4) + text
        self.writer.write(len(payload).to_bytes(3) + b"\x07" + bytes(5) + payload)

    def answer(self, stream: int, *messages: bytes, trailers: Any = OK) -> None:
        """Answer a request to its end."""
        self.h2.send_headers(stream, HEADERS)
        for one in messages:
            self.h2.send_data(stream, message(one))
        self.h2.send_headers(stream, trailers, end_stream=True)
        self.flush()

    def seen(self, kind: type[h2.events.Event]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


Script: TypeAlias = Callable[[H2Peer, int], None]
"""Called with each request that has come to its end."""


@asynccontextmanager
async def serve_h2(
    path: Path, script: Script, settings: dict[h2.settings.SettingCodes | int, int] | None = None
) -> AsyncIterator[list[H2Peer]]:
    """Serve; the connections so far, in order."""
    peers: list[H2Peer] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = H2Peer(writer)
        peers.append(peer)
        if settings:
            peer.h2.update_settings(settings)
        peer.flush()
        try:
            while data := await reader.read(65536):
                for event in peer.h2.receive_data(data):
                    peer.events.append(event)
                    if isinstance(event, h2.events.RequestReceived):
                        peer.open.append(event.stream_id)
                        peer.most = max(peer.most, len(peer.open))
                    elif isinstance(event, h2.events.StreamEnded):
                        script(peer, event.stream_id)
                peer.flush()
        except ConnectionError:
            pass
        finally:
            peer.closed.set()
            writer.close()

    server = await asyncio.start_unix_server(connected, path)
    try:
        yield peers
    finally:
        server.close()
        for peer in peers:
            peer.writer.close()
            await peer.closed.wait()
