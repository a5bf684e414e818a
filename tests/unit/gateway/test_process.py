"""Processes against a daemon in memory: orders of messages that a real one shows seldom or never."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from google.rpc import status_pb2

from pybuildkit._pb import gateway_pb2 as pb
from pybuildkit.errors import ConfigError, ConnectionLost, ExecError, RPCError, Unsupported
from pybuildkit.gateway import Process, process
from pybuildkit.gateway._exec import Init
from pybuildkit.gateway.process import open_process
from tests.unit.gateway.channels import FakeGateway, FakeStream, bridge_to, pong

pytestmark = pytest.mark.anyio

STARTED = pb.ExecMessage(Started=pb.StartedMessage())
DONE = pb.ExecMessage(Done=pb.DoneMessage())
EXIT_0 = pb.ExecMessage(Exit=pb.ExitMessage())
OTHER = pb.ExecMessage(ProcessID="c:1")


def data(fd: int, content: bytes = b"", *, eof: bool = False) -> pb.ExecMessage:
    return pb.ExecMessage(File=pb.FdMessage(Fd=fd, Data=content, EOF=eof))


def ended(code: int, *, known: bool = True, text: str = "it failed") -> pb.ExecMessage:
    status = status_pb2.Status(code=2, message=text)
    if known:
        detail = status.details.add(type_url="github.com/moby/buildkit/gatewayapi.ExitMessage+json")
        detail.value = b'{"Code":%d}' % code
    return pb.ExecMessage(Exit=pb.ExitMessage(Code=code, Error=status))


@asynccontextmanager
async def started(
    *fds: int, caps: tuple[str, ...] = (), tty: bool = False
) -> AsyncIterator[tuple[Process, FakeStream]]:
    """A process that has been started, and the stream by which its daemon speaks."""
    channel = FakeGateway({"Ping": pong(*caps)} if caps else None)
    bridge = await bridge_to(channel)
    channel.on_stream = lambda stream: stream.say(STARTED)
    async with open_process(bridge, "c:1", Init("c", ["a", "b c"], fds=fds, tty=tty)) as running:
        yield running, channel.streams[0]


async def test_output_behind_the_exit_code() -> None:
    """V71: a File may follow Exit."""
    async with started(1, 2) as (running, stream):
        stream.say(
            data(1, b"a"), EXIT_0, data(1, b"b"), data(2, b"e"), data(1, eof=True), data(2, eof=True), DONE
        )
        assert b"".join([chunk async for chunk in running.stdout]) == b"ab"
        assert b"".join([chunk async for chunk in running.stderr]) == b"e"
        assert await running.wait() == 0


async def test_done_before_the_exit_code() -> None:
    """What the daemon does when a process leaves input unread; it then ends only once the call is half-closed."""
    async with started(0, 1) as (running, stream):
        stream.on_half_close = lambda: stream.say(
            ended(4), RPCError("io: read/write on closed pipe", code="UNKNOWN")
        )
        stream.say(data(1, eof=True), DONE)
        assert await running.wait() == 4
        assert stream.half_closed.is_set()


async def test_a_call_that_fails_behind_the_exit_code() -> None:
    async with started(0, 1) as (running, stream):
        stream.say(EXIT_0, RPCError("io: read/write on closed pipe", code="UNKNOWN"))
        assert await running.wait() == 0
        assert running.exit_code == 0


async def test_a_call_that_ends_without_a_word() -> None:
    async with started(1) as (running, stream):
        stream.say(data(1, b"x"), None)
        with pytest.raises(RPCError, match="without a word"):
            await running.wait()
        assert running.exit_code is None
        assert running.ended


async def test_the_daemon_goes_away() -> None:
    async with started(0, 1) as (running, stream):
        stream.say(ConnectionLost("gone", code="UNAVAILABLE"))
        with pytest.raises(ConnectionLost, match="gone"):
            await running.wait()
        stream.broken = ConnectionLost("gone", code="UNAVAILABLE")
        with pytest.raises(anyio.BrokenResourceError):
            await running.stdin.send(b"x")
        await running.signal("TERM")
        with pytest.raises(anyio.EndOfStream):
            await running.stdout.receive()


async def test_an_end_that_nobody_saw() -> None:
    """V71: 255 without an exit message is not an exit code."""
    async with started(1) as (running, stream):
        stream.say(ended(255, known=False, text="runc did not start"), DONE)
        with pytest.raises(ExecError, match=r"a 'b c': runc did not start") as caught:
            await running.wait()
        assert caught.value.argv == ("a", "b c")
        assert caught.value.exit_code == -1
    async with started(1) as (running, stream):
        stream.say(ended(255), DONE)
        assert await running.wait() == 255


async def test_at_the_exit_input_is_ended() -> None:
    """Otherwise the daemon never says that it is done."""
    async with started(0, 1) as (running, stream):
        stream.say(EXIT_0)
        while len(stream.heard) < 2:
            await anyio.lowlevel.checkpoint()
        assert stream.heard[-1].File.EOF
        assert running.ended
        stream.say(DONE)
        assert await running.wait() == 0
        await running.stdin.aclose()
        assert len(stream.heard) == 2
        with pytest.raises(anyio.ClosedResourceError):
            await running.stdin.send(b"late")


async def test_input_goes_in_pieces() -> None:
    async with started(0) as (running, stream):
        await running.stdin.send(b"x" * 70_000)
        await running.stdin.aclose()
        sizes = [len(message.File.Data) for message in stream.heard[1:]]
        assert sizes == [32768, 32768, 4464, 0]
        assert all(message.ProcessID == "c:1" for message in stream.heard)
        stream.say(EXIT_0, DONE)
        assert await running.wait() == 0


async def test_signals_and_sizes() -> None:
    async with started(0, 1, tty=True) as (running, stream):
        await running.signal("sigint")
        await running.resize(3, 5)
        assert stream.heard[1].Signal.Name == "INT"
        assert (stream.heard[2].Resize.Rows, stream.heard[2].Resize.Cols) == (3, 5)
        stream.say(EXIT_0, DONE)
        await running.wait()
        await running.kill()
        assert len(stream.heard) == 4  # the end of input, and nothing for a process that has ended


async def test_output_waits_for_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "WAITING", 2)
    async with started(1) as (running, stream):
        stream.say(*[data(1, b"%d" % number) for number in range(9)], EXIT_0, DONE)
        await anyio.wait_all_tasks_blocked()
        assert not running.ended
        assert b"".join([chunk async for chunk in running.stdout]) == b"012345678"
        assert await running.wait() == 0


async def test_output_that_nobody_wants_is_thrown_away() -> None:
    async with started(1) as (running, stream):
        await running.stdout.aclose()
        stream.say(data(1, b"x"), data(1, b"y", eof=True), data(2, b"was not asked for"), OTHER, EXIT_0, DONE)
        assert await running.wait() == 0


async def test_leaving_the_block_kills() -> None:
    async with started(1) as (running, stream):
        heard = stream.heard

        async def die() -> None:
            while not any(m.WhichOneof("Input") == "Signal" for m in heard):
                await anyio.lowlevel.checkpoint()
            stream.say(ended(137), DONE)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(die)
            await running._end()
    assert heard[-1].Signal.Name == "KILL"
    assert running.exit_code == 137


async def test_a_process_that_does_not_die_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "KILL_PATIENCE", 0.05)
    with anyio.fail_after(5):
        async with started(1) as (running, _):
            pass
    assert running.exit_code is None


async def test_without_signals_the_containers_end_is_the_process_own() -> None:
    async with started(1, caps=("gateway.exec",)) as (running, stream):
        with pytest.raises(Unsupported) as caught:
            await running.kill()
        assert caught.value.capability == "gateway.exec.signals"
    assert len(stream.heard) == 1


async def test_a_start_that_is_refused() -> None:
    channel = FakeGateway()
    bridge = await bridge_to(channel)
    channel.on_stream = lambda stream: stream.say(
        RPCError("container c previously released", code="NOT_FOUND")
    )
    with pytest.raises(RPCError, match="previously released"):
        await open_process(bridge, "c:1", Init("c", ["a"], fds=[1])).__aenter__()


async def test_a_start_that_is_answered_with_something_else() -> None:
    channel = FakeGateway()
    bridge = await bridge_to(channel)
    channel.on_stream = lambda stream: stream.say(DONE)
    with pytest.raises(RPCError, match="answered to the start"):
        await open_process(bridge, "c:1", Init("c", ["a"])).__aenter__()


@pytest.mark.parametrize("known", [True, False])
async def test_a_hopeless_start(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """The daemon keeps its refusal to itself until the call is half-closed: at once when it is known, or late."""
    if not known:
        monkeypatch.setattr(process, "START_PATIENCE", 0.2)
    channel = FakeGateway()
    bridge = await bridge_to(channel)

    def refuse(stream: FakeStream) -> None:
        stream.on_half_close = lambda: stream.say(RPCError("secret x: not found", code="UNKNOWN"))

    channel.on_stream = refuse
    with anyio.fail_after(5), pytest.raises(RPCError, match="secret x"):
        await open_process(bridge, "c:1", Init("c", ["a"], fds=[1]), lambda: known).__aenter__()


async def test_messages_that_can_not_be_read() -> None:
    async with started(1) as (running, stream):
        stream._to_client.append(b"\xff")
        stream.say(OTHER)
        with pytest.raises(RPCError, match="can not be read"):
            await running.wait()


async def test_streams_that_were_not_asked_for() -> None:
    async with started() as (running, stream):
        for name in ("stdin", "stdout", "stderr"):
            with pytest.raises(ConfigError, match="the process has no"):
                getattr(running, name)
        stream.say(EXIT_0, DONE)
        assert await running.wait() == 0


async def test_lines() -> None:
    """Whatever pieces they come in; a character may come in two."""
    async with started(1) as (running, stream):
        word = "käse\n".encode()
        stream.say(data(1, b"one\ntw"), data(1, b"o\n\n" + word[:2]), data(1, word[2:]), data(1, b"\xff end"))
        stream.say(data(1, eof=True), EXIT_0, DONE)
        assert [line async for line in running.lines()] == ["one", "two", "", "käse", "\ufffd end"]
