"""What the engine's tests need: recording handlers, and the ``h2`` package at the other end as an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

from pybuildkit.http2.connection import Connection
from pybuildkit.http2.headers import Field
from pybuildkit.http2.stream import Stream

__all__ = ["Recorder", "Server", "collect", "h2_client", "h2_server", "shake_hands"]


class Recorder:
    """A stream's handler that remembers what it was told, and reads at once unless told not to."""

    def __init__(self, *, lazy: bool = False) -> None:
        self.stream: Stream | None = None
        self.fields: list[Field] = []
        self.received = bytearray()
        self.ended = False
        self.closes: list[int | None] = []
        self.drains = 0
        self.lazy = lazy

    def headers(self, fields: Sequence[Field], end: bool) -> None:
        assert not self.closes
        self.fields += fields
        self.ended = self.ended or end

    def data(self, payload: bytes, end: bool) -> None:
        assert not self.closes
        self.received += payload
        self.ended = self.ended or end
        if not self.lazy and self.stream is not None:
            self.stream.consumed(len(payload))

    def drained(self) -> None:
        self.drains += 1

    def closed(self, code: int | None) -> None:
        self.closes.append(code)
        assert len(self.closes) == 1


class Server:
    """Our engine in the server's role, with a recorder for each stream."""

    def __init__(self, **options: Any) -> None:
        self.lazy = bool(options.pop("lazy", False))
        self.calls: dict[int, Recorder] = {}
        self.connection = Connection(self._accept, **options)

    def _accept(self, stream: Stream, fields: Sequence[Field], end: bool) -> Recorder:
        recorder = self.calls[stream.id] = Recorder(lazy=self.lazy)
        recorder.stream = stream
        recorder.headers(fields, end)
        return recorder

    def stream(self, number: int = 1) -> Stream:
        stream = self.calls[number].stream
        assert stream is not None
        return stream


def collect(connection: Connection, *, unit: int = 0) -> bytes:
    """All that the engine has to send now."""
    out = bytearray()
    while connection.wants_output:
        buffers, size = connection.output(1 << 18, unit=unit)
        piece = b"".join(buffers)
        assert len(piece) == size
        if not piece:
            break
        out += piece
    return bytes(out)


def _h2(*, client: bool) -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(client_side=client, header_encoding=None)
    peer = h2.connection.H2Connection(config)
    peer.initiate_connection()
    return peer


def h2_client() -> h2.connection.H2Connection:
    """``h2`` in the client's role, its preface waiting in ``data_to_send``."""
    return _h2(client=True)


def h2_server() -> h2.connection.H2Connection:
    """``h2`` in the server's role."""
    return _h2(client=False)


def shake_hands(connection: Connection, peer: h2.connection.H2Connection) -> list[h2.events.Event]:
    """Move bytes both ways until neither side has any; what ``h2`` saw. It checks all that we send."""
    events: list[h2.events.Event] = []
    while True:
        ours = collect(connection)
        if ours:
            events += peer.receive_data(ours)
        theirs = peer.data_to_send()
        if theirs:
            connection.receive(theirs)
        if not ours and not theirs:
            return events
