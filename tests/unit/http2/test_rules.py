"""Bytes that break a rule: which end the connection, which a stream, and which are let pass."""

from __future__ import annotations

import collections
import struct
from collections.abc import Callable

import pytest

from pybuildkit.errors import ProtocolError
from pybuildkit.http2 import frames
from pybuildkit.http2.connection import Connection
from pybuildkit.http2.frames import ErrorCode
from pybuildkit.http2.guard import Bucket
from pybuildkit.http2.headers import encode
from tests.support.h2peer import Recorder, Server, collect

BLOCK = encode([(b":method", b"POST"), (b":path", b"/s/m")])
HELLO = frames.PREFACE + frames.settings({})


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return frames.head(len(payload), kind, flags, stream) + payload


def request(stream: int = 1, *, flags: int = frames.END_HEADERS, block: bytes = BLOCK) -> bytes:
    return frame(frames.HEADERS, block, flags=flags, stream=stream)


def setting(key: int, value: int) -> bytes:
    return frame(frames.SETTINGS, struct.pack(">HL", key, value))


LONG = struct.Struct(">L").pack

FATAL = {
    "no preface": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PROTOCOL_ERROR"),
    "no settings": (frames.PREFACE + frames.ping(b"12345678", ack=False), "PROTOCOL_ERROR"),
    "an ack first": (frames.PREFACE + frame(frames.SETTINGS, flags=frames.ACK), "PROTOCOL_ERROR"),
    "a long frame": (HELLO + frames.head(16_385, frames.DATA, 0, 1), "FRAME_SIZE_ERROR"),
    "data on stream 0": (HELLO + frame(frames.DATA, b"x"), "PROTOCOL_ERROR"),
    "data on an idle stream": (HELLO + frame(frames.DATA, b"x", stream=1), "PROTOCOL_ERROR"),
    "data on a stream of ours": (HELLO + frame(frames.DATA, b"x", stream=2), "PROTOCOL_ERROR"),
    "padding of all": (
        HELLO + request() + frame(frames.DATA, b"\x05abcd", flags=frames.PADDED, stream=1),
        "PROTOCOL_ERROR",
    ),
    "padding of nothing": (
        HELLO + request() + frame(frames.DATA, flags=frames.PADDED, stream=1),
        "PROTOCOL_ERROR",
    ),
    "headers on stream 0": (HELLO + request(0), "PROTOCOL_ERROR"),
    "headers on an even stream": (HELLO + request(2), "PROTOCOL_ERROR"),
    "headers without their priority": (
        HELLO + request(flags=frames.END_HEADERS | frames.PRIORITY_FLAG, block=b"\x00"),
        "FRAME_SIZE_ERROR",
    ),
    "a ping inside headers": (
        HELLO + request(flags=0) + frames.ping(b"12345678", ack=False),
        "PROTOCOL_ERROR",
    ),
    "an unknown frame inside headers": (HELLO + request(flags=0) + frame(77), "PROTOCOL_ERROR"),
    "a continuation of another stream": (
        HELLO + request(flags=0) + frame(frames.CONTINUATION, stream=3),
        "PROTOCOL_ERROR",
    ),
    "a continuation of nothing": (HELLO + frame(frames.CONTINUATION, stream=1), "PROTOCOL_ERROR"),
    "a broken header block": (
        HELLO + request(block=b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        "COMPRESSION_ERROR",
    ),
    "priority on stream 0": (HELLO + frame(frames.PRIORITY, bytes(5)), "PROTOCOL_ERROR"),
    "a short priority": (HELLO + frame(frames.PRIORITY, bytes(4), stream=1), "FRAME_SIZE_ERROR"),
    "a short reset": (HELLO + request() + frame(frames.RST_STREAM, bytes(3), stream=1), "FRAME_SIZE_ERROR"),
    "a reset of an idle stream": (HELLO + frame(frames.RST_STREAM, bytes(4), stream=1), "PROTOCOL_ERROR"),
    "a reset of stream 0": (HELLO + frame(frames.RST_STREAM, bytes(4)), "PROTOCOL_ERROR"),
    "settings of a stream": (HELLO + frame(frames.SETTINGS, stream=1), "PROTOCOL_ERROR"),
    "half a setting": (HELLO + frame(frames.SETTINGS, bytes(5)), "FRAME_SIZE_ERROR"),
    "an ack with settings": (HELLO + frame(frames.SETTINGS, bytes(6), flags=frames.ACK), "FRAME_SIZE_ERROR"),
    "a huge initial window": (HELLO + setting(4, 1 << 31), "FLOW_CONTROL_ERROR"),
    "a small maximum frame": (HELLO + setting(5, 16_383), "PROTOCOL_ERROR"),
    "a huge maximum frame": (HELLO + setting(5, 1 << 24), "PROTOCOL_ERROR"),
    "push of 2": (HELLO + setting(2, 2), "PROTOCOL_ERROR"),
    "a push": (HELLO + request() + frame(frames.PUSH_PROMISE, LONG(2) + BLOCK, stream=1), "PROTOCOL_ERROR"),
    "a ping on a stream": (HELLO + frame(frames.PING, bytes(8), stream=1), "PROTOCOL_ERROR"),
    "a short ping": (HELLO + frame(frames.PING, bytes(7)), "FRAME_SIZE_ERROR"),
    "GOAWAY on a stream": (HELLO + frame(frames.GOAWAY, bytes(8), stream=1), "PROTOCOL_ERROR"),
    "a short GOAWAY": (HELLO + frame(frames.GOAWAY, bytes(7)), "FRAME_SIZE_ERROR"),
    "a short window update": (HELLO + frame(frames.WINDOW_UPDATE, bytes(3)), "FRAME_SIZE_ERROR"),
    "a window update of nothing": (HELLO + frame(frames.WINDOW_UPDATE, bytes(4)), "PROTOCOL_ERROR"),
    "a window update on an idle stream": (
        HELLO + frame(frames.WINDOW_UPDATE, LONG(1), stream=1),
        "PROTOCOL_ERROR",
    ),
    "too wide a window": (HELLO + frame(frames.WINDOW_UPDATE, LONG((1 << 31) - 1)), "FLOW_CONTROL_ERROR"),
    "a setting that makes a window too wide": (
        HELLO + request() + frames.window_update(1, 1 << 30) + setting(4, (1 << 31) - 1),
        "FLOW_CONTROL_ERROR",
    ),
}


@pytest.mark.parametrize("name", FATAL)
@pytest.mark.parametrize("step", [0, 1], ids=["at once", "byte by byte"])
def test_what_ends_the_connection(name: str, step: int) -> None:
    data, code = FATAL[name]
    server = Server()
    collect(server.connection)
    pieces = [data[at : at + step] for at in range(0, len(data), step)] if step else [data]
    with pytest.raises(ProtocolError, match=code):
        collections.deque(map(server.connection.receive, pieces), maxlen=0)
    goodbye = collect(server.connection)
    # The last frame is GOAWAY with the code.
    at = goodbye.rindex(b"\x07\x00\x00\x00\x00\x00") - 3
    assert int.from_bytes(goodbye[at + 13 : at + 17]) == ErrorCode[code]
    server.connection.receive(b"whatever comes after that")
    assert collect(server.connection) == b""


ONE_STREAM: dict[str, tuple[bytes, ErrorCode]] = {
    "data behind the end": (
        request(flags=frames.END_HEADERS | frames.END_STREAM) + frame(frames.DATA, b"x", stream=1),
        ErrorCode.STREAM_CLOSED,
    ),
    "headers behind the end": (
        request(flags=frames.END_HEADERS | frames.END_STREAM) + request(),
        ErrorCode.STREAM_CLOSED,
    ),
    "headers twice": (request() + request(), ErrorCode.PROTOCOL_ERROR),
    "a window update of nothing": (request() + frames.window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
    "too wide a window": (request() + frames.window_update(1, (1 << 31) - 1), ErrorCode.FLOW_CONTROL_ERROR),
    "more data than allowed": (
        request() + frame(frames.DATA, bytes(16_384), stream=1) * 65,
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize("name", ONE_STREAM)
def test_what_ends_one_stream(name: str) -> None:
    data, code = ONE_STREAM[name]
    server = Server(lazy=True)
    server.connection.receive(HELLO)
    collect(server.connection)
    server.connection.receive(data)
    assert collect(server.connection).endswith(frames.rst_stream(1, code))
    assert server.calls[1].closes == [code]
    server.connection.receive(request(3))
    assert not server.calls[3].closes


PASSES = {
    "an unknown frame": frame(99, b"x", flags=255, stream=7),
    "an unknown setting": setting(4711, 1),
    "a priority of an idle stream": frame(frames.PRIORITY, bytes(5), stream=9),
    "a pong that nobody asked for": frames.ping(b"12345678", ack=True),
    "reserved bits": frame(frames.WINDOW_UPDATE, LONG(1 << 31 | 5)),
    "GOAWAY": frames.goaway(0, 0, b"x" * 2000),
    "headers with padding and priority": request(
        1,
        flags=frames.END_HEADERS | frames.PADDED | frames.PRIORITY_FLAG,
        block=b"\x03" + bytes(5) + BLOCK + b"pad",
    ),
    "headers in three parts": request(1, flags=0, block=b"")
    + frame(frames.CONTINUATION, BLOCK[:5], stream=1)
    + frame(frames.CONTINUATION, BLOCK[5:], flags=frames.END_HEADERS, stream=1),
    "a header table size": setting(1, 0),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_passes(name: str) -> None:
    server = Server()
    server.connection.receive(HELLO + PASSES[name] + request(5))
    assert server.calls[5].fields == [(b":method", b"POST"), (b":path", b"/s/m")]
    assert not server.calls[5].closes


def test_late_frames_on_a_closed_stream_pass() -> None:
    server = Server()
    server.connection.receive(HELLO + request() + frames.rst_stream(1, ErrorCode.CANCEL))
    late = (
        frame(frames.DATA, b"x", stream=1)
        + frames.window_update(1, 5)
        + frames.rst_stream(1, 0)
        + request(flags=frames.END_HEADERS | frames.END_STREAM)
    )
    server.connection.receive(late)
    assert server.calls[1].closes == [ErrorCode.CANCEL]


def test_a_header_list_that_is_too_long_ends_its_stream() -> None:
    server = Server(max_header_list=1000)
    server.connection.receive(HELLO)
    collect(server.connection)
    # Small on the wire, large when it is read.
    server.connection.receive(request(block=encode([(b":method", b"POST")]) + b"\x82" * 30))
    assert collect(server.connection) == frames.rst_stream(1, ErrorCode.ENHANCE_YOUR_CALM)
    server.connection.receive(request(3))
    assert 3 in server.calls


# Floods. Each peer here only sends, and never reads.


def flood(data: Callable[[int], bytes], *, before: bytes = b"", server: Server | None = None) -> Server:
    """Send until the engine has had enough, a million times at most."""
    server = server or Server()

    def send() -> None:
        for number in range(1_000_000):
            server.connection.receive(data(number))

    server.connection.receive(HELLO + before)
    with pytest.raises(ProtocolError, match="ENHANCE_YOUR_CALM"):
        send()
    return server


def test_pings_that_are_not_read() -> None:
    """CVE-2019-9512."""
    ping = frames.ping(b"12345678", ack=False) * 1000
    server = flood(lambda _: ping)
    assert len(collect(server.connection)) < 3 << 20


def test_settings_that_are_not_read() -> None:
    """CVE-2019-9515."""
    flood(lambda _: frames.settings({}) * 100)


def test_streams_opened_and_reset() -> None:
    """CVE-2023-44487."""
    server = flood(lambda n: request(2 * n + 1) + frames.rst_stream(2 * n + 1, ErrorCode.CANCEL))
    assert len(server.calls) < 5000


def test_streams_opened_and_broken() -> None:
    """CVE-2025-8671: the peer makes us do the resetting."""
    flood(lambda n: request(2 * n + 1) + frames.window_update(2 * n + 1, 0))


def test_streams_beyond_the_limit() -> None:
    server = flood(lambda n: request(2 * n + 1))
    assert len(server.connection.streams) == 250


def test_empty_data() -> None:
    """CVE-2019-9518."""
    empty = frame(frames.DATA, stream=1) * 100
    flood(lambda _: empty, before=request())


def test_padded_empty_data() -> None:
    empty = frame(frames.DATA, b"\x00", flags=frames.PADDED, stream=1) * 100
    flood(lambda _: empty, before=request())


def test_empty_continuations() -> None:
    """CVE-2024-27316."""
    empty = frame(frames.CONTINUATION, stream=1) * 100
    flood(lambda _: empty, before=request(flags=0))


def test_long_continuations() -> None:
    full = frame(frames.CONTINUATION, bytes(16_384), stream=1)
    flood(lambda _: full, before=request(flags=0))


def test_priorities() -> None:
    """CVE-2019-9513."""
    priority = frame(frames.PRIORITY, bytes(5), stream=1) * 100
    flood(lambda _: priority)


def test_unknown_frames() -> None:
    unknown = frame(200) * 100
    flood(lambda _: unknown)


def test_memory_for_headers_is_bounded() -> None:
    """Each within the limit, all together not: the rest is refused."""
    server = Server()
    server.connection.receive(HELLO)
    big = encode([(b":method", b"POST"), (b"x", b"y" * 1_000_000)])
    for number in range(1, 200, 2):
        server.connection.receive(frames.header_frames(number, big, end_stream=False, max_frame=16_384))
    assert len(server.calls) == 67
    assert server.connection.held <= 64 << 20
    server.connection.receive(b"".join(frames.rst_stream(n, 8) for n in range(1, 200, 2)))
    assert server.connection.held == 0


def test_a_bucket_leaks() -> None:
    now = 0.0
    bucket = Bucket(3, 1, clock=lambda: now)
    assert [bucket.pour() for _ in range(4)] == [True, True, True, False]
    now = 2.0
    assert [bucket.pour() for _ in range(2)] == [True, False]
    now = 100.0
    assert [bucket.pour() for _ in range(4)] == [True, True, True, False]


# The client's role.


def test_a_client_takes_no_streams_from_the_server() -> None:
    connection = Connection()
    connection.receive(frames.settings({}))
    with pytest.raises(ProtocolError, match="headers on stream 2, which is not open"):
        connection.receive(request(2))


def test_a_client_bears_late_answers() -> None:
    connection = Connection()
    call = Recorder()
    call.stream = connection.open(BLOCK, call)
    call.stream.reset(ErrorCode.CANCEL)
    connection.receive(frames.settings({}) + request(1) + frame(frames.DATA, b"x", stream=1))
    assert call.fields == []
