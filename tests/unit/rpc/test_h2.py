"""The channel on our own HTTP/2 with peers that no gRPC server is: limits, farewells, broken bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import h2.errors
import h2.events
import h2.settings
import pytest

from pybuildkit.errors import BuildKitError, ConnectError, ConnectionLost, RPCError
from pybuildkit.rpc import h2 as module
from pybuildkit.rpc.h2 import H2Channel
from pybuildkit.rpc.h2call import Call
from pybuildkit.transport.endpoint import Endpoint
from pybuildkit.transport.sockets import connect
from tests.support.h2server import HEADERS, OK, H2Peer, Script, message, serve_h2

pytestmark = pytest.mark.anyio

METHOD = "/a.B/C"


@asynccontextmanager
async def channel_to(path: Path, **options: Any) -> AsyncIterator[H2Channel]:
    channel = H2Channel(Endpoint(f"unix://{path}", f"unix:{path}", socket_path=str(path), **options))
    try:
        with anyio.fail_after(20):
            yield channel
    finally:
        await channel.aclose()


@asynccontextmanager
async def conversation(
    tmp_path: Path, script: Script, **settings: int
) -> AsyncIterator[tuple[H2Channel, list[H2Peer]]]:
    codes: dict[h2.settings.SettingCodes | int, int] = {
        h2.settings.SettingCodes[name.upper()]: value for name, value in settings.items()
    }
    async with serve_h2(tmp_path / "s", script, codes) as peers, channel_to(tmp_path / "s") as channel:
        yield channel, peers


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - it is the other side that knows
        await anyio.sleep(0.01)


def echo(peer: H2Peer, stream: int) -> None:
    data = b"".join(e.data for e in peer.seen(h2.events.DataReceived) if e.stream_id == stream)
    peer.answer(stream, data[5:])


async def refusal(tmp_path: Path, script: Script) -> BuildKitError:
    """What a call raises that is answered like that."""
    async with conversation(tmp_path, script) as (channel, _):
        with pytest.raises(BuildKitError) as caught:
            await channel.unary(METHOD, b"x")
    return caught.value


async def test_what_a_request_looks_like(tmp_path: Path) -> None:
    """``h2`` checks that it is HTTP/2; gRPC wants these fields, in this order."""
    async with conversation(tmp_path, echo) as (channel, peers):
        assert await channel.unary(METHOD, b"x", metadata=[("k", "v")], timeout=2) == b"x"
        fields = [(bytes(k).decode(), bytes(v).decode()) for k, v in request(peers[0])]
    assert fields[:6] == [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", METHOD),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    assert fields[6][0] == "user-agent"
    assert fields[7:] == [("k", "v"), ("grpc-timeout", "2000m")]


def request(peer: H2Peer) -> Any:
    return peer.seen(h2.events.RequestReceived)[0].headers


async def test_long_timeouts_have_few_digits(tmp_path: Path) -> None:
    async with conversation(tmp_path, echo) as (channel, peers):
        await channel.unary(METHOD, timeout=1e9)
        fields = dict(request(peers[0]))
    assert fields[b"grpc-timeout"] == b"99999999S"


async def test_the_authority(tmp_path: Path) -> None:
    """C41."""
    async with serve_h2(tmp_path / "s", echo) as peers:
        async with channel_to(tmp_path / "s", authority="build.test") as channel:
            await channel.unary(METHOD)
        assert dict(request(peers[0]))[b":authority"] == b"build.test"


async def test_no_more_calls_at_once_than_the_daemon_allows(tmp_path: Path) -> None:
    answers = 0

    def script(peer: H2Peer, stream: int) -> None:
        asyncio.get_running_loop().call_later(0.01, answer, peer, stream)

    def answer(peer: H2Peer, stream: int) -> None:
        peer.open.remove(stream)
        echo(peer, stream)

    async def ask(channel: H2Channel, number: int) -> None:
        nonlocal answers
        assert await channel.unary(METHOD, b"%d" % number) == b"%d" % number
        answers += 1

    async with conversation(tmp_path, script, max_concurrent_streams=3) as (channel, peers):
        # From the first answer on the limit is known.
        await channel.unary(METHOD)
        peers[0].most = 0
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(ask, channel, number)
        assert answers == 20
        assert peers[0].most <= 3
        assert len(peers) == 1


async def test_a_daemon_that_says_goodbye(tmp_path: Path) -> None:
    """What it has taken it answers; what comes later goes to a new connection."""
    asked = anyio.Event()

    def script(peer: H2Peer, stream: int) -> None:
        if len(peers) == 1:
            peer.goodbye(stream)
            asked.set()
        else:
            echo(peer, stream)

    async def first() -> None:
        assert await channel.unary(METHOD, b"old") == b"old"

    async with conversation(tmp_path, script) as (channel, peers), anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await asked.wait()
        await anyio.sleep(0.05)
        assert await channel.unary(METHOD, b"new") == b"new"
        assert not peers[0].closed.is_set()
        echo(peers[0], 1)
        # Nobody needs the old connection any more.
        await peers[0].closed.wait()
        assert not peers[1].closed.is_set()


async def test_a_goodbye_that_leaves_a_call_out(tmp_path: Path) -> None:
    error = await refusal(tmp_path, lambda peer, stream: peer.goodbye(0, 11, b"too_many_pings"))
    assert isinstance(error, ConnectionLost)
    assert "too_many_pings" in str(error)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (h2.errors.ErrorCodes.CANCEL, "CANCELLED"),
        (h2.errors.ErrorCodes.REFUSED_STREAM, "UNAVAILABLE"),
        (h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, "RESOURCE_EXHAUSTED"),
        (h2.errors.ErrorCodes.INTERNAL_ERROR, "INTERNAL"),
        (h2.errors.ErrorCodes.NO_ERROR, "INTERNAL"),
        (77, "INTERNAL"),
    ],
)
async def test_a_stream_that_is_broken_off(tmp_path: Path, code: int, name: str) -> None:
    error = await refusal(tmp_path, lambda peer, stream: peer.h2.reset_stream(stream, code))
    assert isinstance(error, RPCError)
    assert error.code == name
    assert error.method == METHOD


def ended_without_status(peer: H2Peer, stream: int) -> None:
    peer.h2.send_headers(stream, HEADERS)
    peer.h2.send_data(stream, message(b"x"), end_stream=True)


def cut_off(peer: H2Peer, stream: int) -> None:
    peer.h2.send_headers(stream, HEADERS)
    peer.h2.send_data(stream, message(b"0123456789")[:-3])
    peer.h2.send_headers(stream, OK, end_stream=True)


def compressed(peer: H2Peer, stream: int) -> None:
    peer.h2.send_headers(stream, HEADERS)
    peer.h2.send_data(stream, message(b"x", flag=1))
    peer.h2.send_headers(stream, OK, end_stream=True)


def web_page(peer: H2Peer, stream: int) -> None:
    peer.h2.send_headers(stream, [(":status", "503"), ("content-type", "text/html")])
    peer.h2.send_data(stream, b"<html>", end_stream=True)


def bare_403(peer: H2Peer, stream: int) -> None:
    peer.h2.send_headers(stream, [(":status", "403")], end_stream=True)


def trailers_only(peer: H2Peer, stream: int) -> None:
    peer.h2.send_headers(
        stream, [*HEADERS, ("grpc-status", "8"), ("grpc-message", "no%20room")], end_stream=True
    )


def status_is_no_number(peer: H2Peer, stream: int) -> None:
    peer.answer(stream, b"x", trailers=[("grpc-status", "fine")])


def unknown_status(peer: H2Peer, stream: int) -> None:
    peer.answer(stream, trailers=[("grpc-status", "42"), ("grpc-message", "odd")])


def broken_details(peer: H2Peer, stream: int) -> None:
    peer.answer(
        stream, trailers=[("grpc-status", "2"), ("grpc-message", "m"), ("grpc-status-details-bin", "!")]
    )


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        (ended_without_status, "INTERNAL", "without a status"),
        (cut_off, "INTERNAL", "cut off"),
        (compressed, "INTERNAL", "compressed"),
        (web_page, "UNAVAILABLE", "HTTP 503 of type 'text/html'"),
        (bare_403, "PERMISSION_DENIED", "HTTP 403"),
        (trailers_only, "RESOURCE_EXHAUSTED", "no room"),
        (status_is_no_number, "UNKNOWN", ""),
        (unknown_status, "UNKNOWN", "odd"),
        (broken_details, "UNKNOWN", "m"),
        (lambda peer, stream: peer.answer(stream), "INTERNAL", "without an answer"),
        (lambda peer, stream: peer.answer(stream, b"a", b"b"), "INTERNAL", "more than one answer"),
    ],
)
async def test_answers_that_are_none(tmp_path: Path, script: Script, code: str, text: str) -> None:
    error = await refusal(tmp_path, script)
    assert isinstance(error, RPCError)
    assert (error.code, text in str(error)) == (code, True), error


async def test_an_early_error_stops_a_long_request(tmp_path: Path) -> None:
    """The daemon refuses by the headers alone, and takes no more of a message of 10 MB."""

    def nothing(peer: H2Peer, stream: int) -> None:
        raise AssertionError("the request has come to its end")

    async with conversation(tmp_path, nothing, initial_window_size=1000) as (channel, peers):

        async def refuse() -> None:
            await until(lambda: bool(peers and peers[0].open))
            fields = [*HEADERS, ("grpc-status", "7"), ("grpc-message", "not you")]
            peers[0].h2.send_headers(peers[0].open[0], fields, end_stream=True)
            peers[0].flush()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refuse)
            with pytest.raises(RPCError, match="not you"):
                await channel.unary(METHOD, bytes(10_000_000))
        await until(lambda: bool(peers[0].seen(h2.events.StreamReset)))
        (reset,) = peers[0].seen(h2.events.StreamReset)
        assert reset.error_code == h2.errors.ErrorCodes.NO_ERROR


async def parted(channel: H2Channel, patience: float) -> None:
    """A call that is left to its end."""
    async with channel.duplex(METHOD) as call:
        assert isinstance(call, Call)
        call.post(b"last words")
        call.post_end()
        call.part(patience)


async def test_a_call_that_is_left_to_its_end(tmp_path: Path) -> None:
    """S12: the daemon is told of no cancellation, and what it still says is dropped."""

    def nothing(peer: H2Peer, stream: int) -> None:
        pass

    async with conversation(tmp_path, nothing) as (channel, peers):
        await parted(channel, 20)
        await until(lambda: bool(peers and peers[0].seen(h2.events.StreamEnded)))
        peers[0].answer(peers[0].open[0], b"too late", b"for anybody")
        link = channel._link
        assert link is not None
        await until(lambda: not link.connection.streams)
        assert not peers[0].seen(h2.events.StreamReset)


async def test_a_call_that_is_left_and_does_not_end(tmp_path: Path) -> None:
    """It is cancelled after all, and not before its time."""

    def nothing(peer: H2Peer, stream: int) -> None:
        pass

    async with conversation(tmp_path, nothing) as (channel, peers):
        started = anyio.current_time()
        await parted(channel, 0.2)
        await until(lambda: bool(peers and peers[0].seen(h2.events.StreamReset)))
        assert anyio.current_time() - started >= 0.2
        (reset,) = peers[0].seen(h2.events.StreamReset)
        assert reset.error_code == h2.errors.ErrorCodes.CANCEL
        await parted(channel, 20)  # one under way when the client is closed


async def test_metadata_that_the_daemon_does_not_take(tmp_path: Path) -> None:
    async with conversation(tmp_path, echo, max_header_list_size=1000) as (channel, peers):
        await channel.unary(METHOD)
        with pytest.raises(RPCError, match="the daemon takes 1000 at most") as caught:
            await channel.unary(METHOD, metadata=[("key", "v" * 1000)])
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        assert len(peers[0].seen(h2.events.RequestReceived)) == 1


async def test_pings_are_answered(tmp_path: Path) -> None:
    def script(peer: H2Peer, stream: int) -> None:
        peer.h2.ping(b"12345678")
        echo(peer, stream)

    async with conversation(tmp_path, script) as (channel, peers):
        await channel.unary(METHOD)
        await until(lambda: bool(peers[0].seen(h2.events.PingAckReceived)))


# Not HTTP/2 at all.


@asynccontextmanager
async def raw_peer(path: Path, answer: bytes) -> AsyncIterator[None]:
    """Somebody who says one thing and hangs up."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(connected, path)
    yield
    server.close()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "HTTP/2"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "TLS"),
        (b"", "closed the connection"),
        (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + bytes(9), "data on stream 0"),
    ],
    ids=["http1", "tls", "nothing", "rubbish"],
)
async def test_whoever_listens_is_no_daemon(tmp_path: Path, answer: bytes, text: str) -> None:
    async with raw_peer(tmp_path / "s", answer), channel_to(tmp_path / "s") as channel:
        with pytest.raises(BuildKitError, match=text) as caught:
            await channel.unary(METHOD)
    if not answer.startswith(b"\x00"):
        assert isinstance(caught.value, ConnectError)


# Connecting.


class Connections:
    """In the place of ``connect``: counts, and waits to be told how each attempt ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts = 0
        self.go_on = anyio.Event()
        self.error: OSError | None = None
        monkeypatch.setattr(module, "connect", self)

    async def __call__(self, endpoint: Endpoint) -> socket.socket:
        self.attempts += 1
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return await connect(endpoint)


async def test_calls_share_the_connection_that_the_first_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = Connections(monkeypatch)
    async with conversation(tmp_path, echo) as (channel, peers):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(channel.unary, METHOD)
            await anyio.wait_all_tasks_blocked()
            connections.go_on.set()
        assert connections.attempts == len(peers) == 1


async def test_who_waits_for_a_connection_fails_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten calls to a dead address take the time of one, not of ten one after the other."""
    connections = Connections(monkeypatch)
    connections.error = ConnectionRefusedError(111, "Connection refused")
    failures = 0

    async def ask() -> None:
        nonlocal failures
        with pytest.raises(ConnectError, match="Connection refused"):
            await channel.unary(METHOD)
        failures += 1

    async with channel_to(tmp_path / "s") as channel:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            connections.go_on.set()
        assert (failures, connections.attempts) == (10, 1)
        await ask()
        assert connections.attempts == 2


async def test_a_cancelled_attempt_is_made_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = Connections(monkeypatch)
    async with conversation(tmp_path, echo) as (channel, _):
        scope = anyio.CancelScope()

        async def first() -> None:
            with scope:
                await channel.unary(METHOD)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(channel.unary, METHOD)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert connections.attempts == 2
            connections.go_on.set()


async def test_the_time_of_a_call_counts_connecting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Connections(monkeypatch)
    async with channel_to(tmp_path / "s") as channel:
        with pytest.raises(RPCError) as caught:
            await channel.unary(METHOD, timeout=0.1)
        assert caught.value.code == "DEADLINE_EXCEEDED"


async def test_an_attempt_takes_no_more_than_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Connections(monkeypatch)
    monkeypatch.setattr(module, "_CONNECT_SECONDS", 0.1)
    async with channel_to(tmp_path / "s") as channel:
        with pytest.raises(ConnectError, match=r"no answer within 0\.1 seconds"):
            await channel.unary(METHOD)


@pytest.fixture(scope="module")
def new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's loops; the first one opens a pipe that stays with the process."""
    uvloop = pytest.importorskip("uvloop")
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    make().close()
    return make


def test_on_uvloop(tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        async with conversation(tmp_path, echo) as (channel, _):
            assert await channel.unary(METHOD, bytes(10_000)) == bytes(10_000)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


async def test_over_tcp() -> None:
    """The second of a host's addresses is good as well."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = H2Peer(writer)
        peer.flush()
        while data := await reader.read(65536):
            for event in peer.h2.receive_data(data):
                peer.events.append(event)
                if isinstance(event, h2.events.StreamEnded):
                    echo(peer, event.stream_id)
            peer.flush()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    # "localhost" is ::1 too on most machines, where nobody listens.
    for host in ("127.0.0.1", "localhost"):
        channel = H2Channel(Endpoint(f"tcp://{host}:{port}", "", host_port=f"{host}:{port}"))
        assert await channel.unary(METHOD, b"x") == b"x"
        await channel.aclose()
    server.close()
    await server.wait_closed()
