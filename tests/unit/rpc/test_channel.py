"""What a channel promises, the same tests over each kind of channel, with grpc's own server as the peer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from google.rpc import status_pb2

from pybuildkit.details import UnknownDetail
from pybuildkit.errors import ConnectError, ConnectionLost, NotFound, RPCError, Unsupported
from pybuildkit.rpc.aio import AioChannel
from pybuildkit.rpc.channel import Channel
from pybuildkit.rpc.h2 import H2Channel
from pybuildkit.transport.endpoint import Endpoint
from tests.support.grpcserver import PREFIX, GrpcServer

pytestmark = pytest.mark.anyio

MakeChannel = Callable[[Path], Channel]


def h2(path: Path) -> Channel:
    return H2Channel(Endpoint(f"unix://{path}", f"unix:{path}", socket_path=str(path)))


def aio(path: Path) -> Channel:
    return AioChannel(f"unix:{path}", address=f"unix://{path}")


@pytest.fixture(params=[h2, aio], ids=["h2", "grpc"])
def make(request: pytest.FixtureRequest) -> MakeChannel:
    found: MakeChannel = request.param
    return found


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GrpcServer]:
    one = GrpcServer(tmp_path / "s")
    async with one.running():
        yield one


@pytest.fixture
async def channel(make: MakeChannel, server: GrpcServer) -> AsyncIterator[Channel]:
    one = [make(server.path)]
    yield one[0]
    await one.pop().aclose()


async def hears_of_cancel(server: GrpcServer) -> None:
    with anyio.fail_after(10):
        await server.cancelled.wait()


async def test_one_question_one_answer(channel: Channel) -> None:
    for message in (b"", b"hello", bytes(300_000)):
        assert await channel.unary(PREFIX + "Echo", message) == message


async def test_messages_up_to_sixteen_mebibytes(channel: Channel) -> None:
    """R1: in both directions, and not a byte more."""
    message = bytes(16 << 20)
    assert await channel.unary(PREFIX + "Echo", message) == message
    with pytest.raises(RPCError) as caught:
        await channel.unary(PREFIX + "Echo", message + b"x")
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert "16777217" in str(caught.value)
    with pytest.raises(RPCError) as caught:
        await channel.unary(PREFIX + "Big", b"%d" % ((16 << 20) + 1))
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert await channel.unary(PREFIX + "Echo", b"still here") == b"still here"


@pytest.mark.parametrize("size", [10, 3 << 20])
async def test_an_error_with_its_details(channel: Channel, size: int) -> None:
    """T7, C50: an error carries a whole Dockerfile in a trailer."""
    status = status_pb2.Status(code=5, message="the full text")
    status.details.add(type_url="a.b/C", value=bytes(size))
    with pytest.raises(NotFound, match="the full text") as caught:
        await channel.unary(PREFIX + "Refuse", status.SerializeToString())
    error = caught.value
    assert (error.code, error.method) == ("NOT_FOUND", PREFIX + "Refuse")
    (detail,) = error.details
    assert isinstance(detail, UnknownDetail)
    assert len(detail.value) == size


async def test_an_error_without_details_and_with_an_odd_text(channel: Channel) -> None:
    with pytest.raises(NotFound) as caught:
        await channel.unary(PREFIX + "Refuse", b"")
    assert caught.value.message == "50 % of it is gone: é\n漢"


async def test_a_method_that_is_not_there(channel: Channel) -> None:
    with pytest.raises(Unsupported, match="may need an update"):
        await channel.unary(PREFIX + "Nothing")


async def test_metadata(channel: Channel, server: GrpcServer) -> None:
    """S2: the values of a repeated key keep their order."""
    await channel.unary(PREFIX + "Echo", metadata=[("b", "1"), ("a", "x y,z"), ("b", "2"), ("empty", "")])
    found = {name: [value for key, value in server.metadata if key == name] for name in ("a", "b", "empty")}
    assert found == {"a": ["x y,z"], "b": ["1", "2"], "empty": [""]}


async def test_answers_come_in_order(channel: Channel) -> None:
    async with channel.server_stream(PREFIX + "Count", b"20000") as stream:
        found = [message async for message in stream]
    assert found == [b"%d" % number for number in range(20000)]


async def test_initial_metadata(channel: Channel) -> None:
    async with channel.server_stream(PREFIX + "Headers") as stream:
        found = list(await stream.initial_metadata())
        assert [pair for pair in found if pair[0] in ("first", "second")] == [
            ("first", "1"),
            ("second", "two"),
            ("second", "2"),
        ]
        assert [message async for message in stream] == [b"x"]


@pytest.mark.parametrize("code", ["CANCELLED", "UNKNOWN", "ABORTED"])
async def test_a_stream_that_the_daemon_breaks_off(channel: Channel, code: str) -> None:
    """Also CANCELLED is an error: nobody cancelled this task."""
    async with channel.server_stream(PREFIX + "Broken", code.encode()) as stream:
        messages = aiter(stream)
        assert await anext(messages) == b"first"
        with pytest.raises(RPCError) as caught:
            await anext(messages)
    assert caught.value.code == code


async def test_both_ways(channel: Channel) -> None:
    async with channel.duplex(PREFIX + "Talk") as both:
        for size in (0, 1, 5, 100_000, 2_000_000):
            await both.send(bytes(size))
            assert await both.receive() == bytes(size)
        await both.done_sending()
        assert await both.receive() == b"goodbye"
        assert await both.receive() is None
        assert await both.receive() is None


async def test_sending_into_a_call_that_is_over(channel: Channel) -> None:
    async with channel.duplex(PREFIX + "Abort") as both:
        await both.send(b"x")
        with pytest.raises(RPCError) as caught:
            await both.receive()
        assert caught.value.code == "CANCELLED"
        with pytest.raises(RPCError) as caught:
            await both.send(b"x")
        assert caught.value.code == "CANCELLED"


async def test_a_cancelled_question_ends_in_the_daemon(channel: Channel, server: GrpcServer) -> None:
    """R15; and anyio's cancellation is passed on as it is, nobody else hears of it."""
    with anyio.move_on_after(5) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.unary, PREFIX + "Wait")
            await server.started.wait()
            tasks.cancel_scope.cancel()
    assert not scope.cancelled_caught
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await hears_of_cancel(server)
    assert await channel.unary(PREFIX + "Echo", b"x") == b"x"


async def test_a_task_that_is_cancelled_by_asyncio(channel: Channel, server: GrpcServer) -> None:
    task = asyncio.ensure_future(channel.unary(PREFIX + "Wait"))
    await server.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    await hears_of_cancel(server)


async def test_a_stream_that_is_left_ends_in_the_daemon(channel: Channel, server: GrpcServer) -> None:
    async with channel.server_stream(PREFIX + "Hang") as stream, aclosing(aiter(stream)) as messages:  # type: ignore[type-var]
        assert await anext(messages) == b"first"
        await server.started.wait()
    await hears_of_cancel(server)


async def test_a_deadline(channel: Channel, server: GrpcServer) -> None:
    """The daemon is told of it."""
    start = time.monotonic()
    with pytest.raises(RPCError) as caught:
        await channel.unary(PREFIX + "Wait", timeout=0.5)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - start < 10
    assert server.remaining is not None
    assert server.remaining < 0.7
    await hears_of_cancel(server)
    await channel.unary(PREFIX + "Echo", timeout=60)
    assert 50 < server.remaining < 61


async def test_many_calls_at_once(channel: Channel) -> None:
    answers: dict[int, bytes] = {}

    async def ask(number: int) -> None:
        answers[number] = await channel.unary(PREFIX + "Echo", b"%d" % number * 1000)

    async with anyio.create_task_group() as tasks:
        for number in range(300):
            tasks.start_soon(ask, number)
    assert answers == {number: b"%d" % number * 1000 for number in range(300)}


async def test_the_daemon_waits_for_a_slow_reader(channel: Channel, server: GrpcServer) -> None:
    async with channel.server_stream(PREFIX + "Flood", b"100") as stream, aclosing(aiter(stream)) as messages:  # type: ignore[type-var]
        await anext(messages)
        before = -1
        while server.sent != before:
            before = server.sent
            await anyio.sleep(0.2)
        assert server.sent < 50
        # One slow call holds up no other.
        assert await channel.unary(PREFIX + "Echo", bytes(2_000_000)) == bytes(2_000_000)
        count = 1
        async for message in messages:
            assert len(message) == 1 << 20
            count += 1
    assert count == 100


async def test_the_sender_waits_for_a_slow_daemon(channel: Channel, server: GrpcServer) -> None:
    sent = 0

    async def send() -> None:
        nonlocal sent
        for _ in range(64):
            await both.send(bytes(1 << 20))
            sent += 1
        await both.done_sending()

    async with channel.duplex(PREFIX + "Sink") as both, anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        before = -1
        while sent != before:
            before = sent
            await anyio.sleep(0.2)
        assert sent < 32
        server.go_on.set()
        assert await both.receive() == b"%d" % (64 << 20)


async def test_nobody_listens(make: MakeChannel, tmp_path: Path) -> None:
    """C38."""
    channel = make(tmp_path / "none")
    for _ in range(2):
        with anyio.fail_after(10), pytest.raises(ConnectError, match="is buildkitd running there") as caught:
            await channel.unary(PREFIX + "Echo")
        assert caught.value.address == f"unix://{tmp_path}/none"
        assert caught.value.address in str(caught.value)
    await channel.aclose()


async def test_a_daemon_that_goes_away_and_comes_back(make: MakeChannel, tmp_path: Path) -> None:
    """R18: a call under way is lost, one without a daemon fails, and the next one finds the new daemon."""
    server = GrpcServer(tmp_path / "s")
    channel = make(server.path)

    async def waits() -> None:
        with pytest.raises(ConnectionLost):
            await channel.unary(PREFIX + "Wait")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks, server.running():
            await channel.unary(PREFIX + "Echo")
            tasks.start_soon(waits)
            await server.started.wait()
        with pytest.raises(ConnectionLost):
            await channel.unary(PREFIX + "Echo")
        async with GrpcServer(server.path).running():
            while True:
                try:
                    assert await channel.unary(PREFIX + "Echo", b"back") == b"back"
                except ConnectionLost:  # grpc waits a moment before it connects again
                    await anyio.sleep(0.1)
                else:
                    break
    await channel.aclose()


async def test_closing_ends_calls(channel: Channel, server: GrpcServer) -> None:
    caught: list[RPCError] = []

    async def waits() -> None:
        with pytest.raises(RPCError) as found:
            await channel.unary(PREFIX + "Wait")
        caught.append(found.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waits)
        await server.started.wait()
        await channel.aclose()
    assert caught
    with pytest.raises(ConnectionLost, match="the client is closed"):
        await channel.unary(PREFIX + "Echo")
    await channel.aclose()
