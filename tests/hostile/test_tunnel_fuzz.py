"""A hundred thousand broken byte streams into the tunnel: no crash, no hang, no growth.

Each stream starts from what a real client (``h2``) sends for calls of several kinds, and is then damaged: bytes flipped,
cut out, doubled, frames swapped, lengths and types changed; some are random from the first byte. All go to the server
that a session runs, machines included. Allowed are two ends: the bytes were good enough, or ProtocolError.
"""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections import deque

import pytest

from pybuildkit.errors import ProtocolError
from pybuildkit.http2 import frames
from pybuildkit.http2.connection import Connection
from pybuildkit.http2.headers import encode
from pybuildkit.http2.messages import prefix
from pybuildkit.session.calls import Call, Code, MachineFactory, StatusError
from pybuildkit.session.health import Health
from pybuildkit.session.server import Server
from tests.support.h2peer import Recorder, h2_client, h2_server

CASES = 100_000
PARTS = 8

METHOD = "/test.Fuzz/Both"


class Both:
    """Answers messages, sends on its own, fails at times, and counts how often it was closed."""

    alive = 0

    def __init__(self, call: Call) -> None:
        Both.alive += 1
        self.call = call
        self.left = 3
        self.is_closed = False

    def message(self, data: bytes) -> None:
        assert not self.is_closed
        if data == b"fail":
            raise StatusError(Code.DATA_LOSS, "as asked")
        self.call.send(data[:1000])

    def half_closed(self) -> None:
        assert not self.is_closed
        self.call.finish()

    def pull(self) -> bool:
        assert not self.is_closed
        self.left -= 1
        self.call.send(bytes(5000))
        return self.left > 0

    def closed(self) -> None:
        assert not self.is_closed
        self.is_closed = True
        Both.alive -= 1


METHODS: dict[str, MachineFactory] = {METHOD: Both, **Health().machines}


def seeds() -> list[list[bytes]]:
    """What clients say, as lists of frames."""
    return [cut(conversation(kind)) for kind in range(6)]


def conversation(kind: int) -> bytes:
    peer = h2_client()
    greeting = peer.data_to_send()

    def request(number: int, path: str = METHOD, *, end: bool = False, extra: int = 0) -> None:
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "15S"),
            ("dir-name", "context"),
            *[("include-patterns", "x" * 100)] * extra,
        ]
        peer.send_headers(number, fields, end_stream=end)

    if kind == 0:
        request(1, "/grpc.health.v1.Health/Check")
        peer.send_data(1, prefix(0), end_stream=True)
    elif kind == 1:
        request(1)
        for size in (0, 10, 3000):
            peer.send_data(1, prefix(size) + bytes(size))
        peer.end_stream(1)
    elif kind == 2:
        for number in (1, 3, 5):
            request(number)
        peer.ping(b"12345678")
        peer.send_data(3, prefix(4) + b"fail")
        peer.reset_stream(1)
        peer.update_settings({4: 1 << 20, 1: 0})
    elif kind == 3:
        request(1, "/no/such")
        request(3, METHOD, end=True)
        peer.prioritize(3, weight=7)
    elif kind == 4:
        request(1, extra=400)
        peer.send_data(1, b"\0\0\0", pad_length=9)
    else:
        request(1)
        peer.close_connection(0)
    return greeting + peer.data_to_send()


def cut(data: bytes) -> list[bytes]:
    """The preface, and each frame."""
    parts, pos = [data[:24]], 24
    while pos < len(data):
        size = int.from_bytes(data[pos : pos + 3]) + frames.HEAD_SIZE
        parts.append(data[pos : pos + size])
        pos += size
    return parts


def damage(parts: list[bytes], rng: random.Random) -> bytes:
    parts = list(parts)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        # Mostly behind the preface and the first SETTINGS, where nothing else is looked at when they are broken.
        at = rng.randrange(0 if rng.random() < 0.05 else 2, len(parts))
        part = bytearray(parts[at])
        how = rng.randrange(11)
        if how == 0 and part:
            part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
        elif how == 1 and part:
            part[rng.randrange(len(part))] = rng.randrange(256)
        elif how == 2 and part:
            start = rng.randrange(len(part))
            del part[start : start + rng.randrange(1, 20)]
        elif how == 3:
            where = rng.randrange(len(part) + 1)
            part[where:where] = rng.randbytes(rng.randrange(1, 20))
        elif how == 4:
            parts.insert(rng.randrange(2, len(parts) + 1), bytes(part))
        elif how == 5:
            other = rng.randrange(2, len(parts))
            parts[at], parts[other] = parts[other], parts[at]
            continue
        elif how == 6 and len(part) >= frames.HEAD_SIZE:
            part[3] = rng.randrange(11)  # another type
        elif how == 7 and len(part) >= frames.HEAD_SIZE:
            part[4] = rng.randrange(256)  # other flags
        elif how == 8 and len(part) >= frames.HEAD_SIZE:
            part[8] = rng.randrange(8)  # another stream
        elif how == 9:
            parts.insert(at, random_frame(rng))
            continue
        elif how == 10 and len(part) > frames.HEAD_SIZE:
            body = rng.randbytes(rng.randrange(60))
            part[:3] = len(body).to_bytes(3)
            part[frames.HEAD_SIZE :] = body
        parts[at] = bytes(part)
    return b"".join(parts)


def random_frame(rng: random.Random) -> bytes:
    body = rng.randbytes(rng.choice((0, 1, 4, 5, 6, 8, 8, 30)))
    return frames.head(len(body), rng.randrange(11), rng.randrange(256), rng.randrange(6)) + body


def feed(data: bytes, rng: random.Random) -> bool:
    """Give the bytes to a fresh server, in pieces, as its thread does; whether they were good to the end."""
    server = Server(METHODS, deque())
    good = True
    try:
        pos = 0
        while pos < len(data):
            size = rng.choice((1, 7, 100, 5000, 1 << 20))
            server.receive(data[pos : pos + size])
            pos += size
            server.pull()
            server.connection.output(1 << 16)
    except ProtocolError:
        good = False
        goodbye, _ = server.connection.output(0)
        assert goodbye[-1][3] == frames.GOAWAY
    assert server.connection.held <= 64 << 20
    server.abandon()
    assert Both.alive == 0, "each machine is closed once"
    assert server.connection.held == 0
    return good


SEEDS = seeds()


def test_the_seeds_are_good() -> None:
    rng = random.Random(1)
    assert all(feed(b"".join(parts), rng) for parts in SEEDS)


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_streams(part: int) -> None:
    rng = random.Random(part)
    good = 0
    slowest = 0.0
    for number in range(CASES // PARTS):
        if number % 10:
            data = damage(rng.choice(SEEDS), rng)
        elif number % 20:
            data = frames.PREFACE + frames.settings({}) + b"".join(random_frame(rng) for _ in range(8))
        else:
            data = frames.PREFACE + rng.randbytes(rng.randrange(200))
        started = time.process_time()
        good += feed(data, rng)
        slowest = max(slowest, time.process_time() - started)
    # Neither all nor nothing: the damage reaches both the rules and the services.
    assert 0.1 < good / (CASES // PARTS) < 0.9
    assert slowest < 2


def test_nothing_grows() -> None:
    """The same thousand streams again and again leave nothing behind."""

    def round_of(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(1000):
            feed(damage(rng.choice(SEEDS), rng), rng)

    round_of(1)
    gc.collect()
    tracemalloc.start()
    try:
        round_of(2)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        round_of(2)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000


def test_damaged_answers_to_a_client() -> None:
    """The other role: what a server's broken bytes do to our own calls."""
    request = encode([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x"), (b":authority", b"a")])
    probe = Connection()
    probe.open(request, Recorder())
    buffers, _ = probe.output(1 << 16)
    peer = h2_server()
    peer.receive_data(b"".join(buffers))
    peer.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    peer.send_data(1, prefix(5000) + bytes(5000))
    peer.send_headers(1, [("grpc-status", "0")], end_stream=True)
    answer = cut(bytes(24) + peer.data_to_send())[1:]
    rng = random.Random(5)
    ends = 0
    for _ in range(10_000):
        connection = Connection()
        call = Recorder()
        call.stream = connection.open(request, call)
        connection.output(1 << 16)
        try:
            connection.receive(damage(answer, rng))
        except ProtocolError:
            ends += 1
        connection.abandon(None)
        assert len(call.closes) == 1
    assert 1000 < ends < 9000
