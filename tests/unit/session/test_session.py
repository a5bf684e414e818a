"""The session in memory: what it announces, how it ends, what it does about errors. See ``tests.support.fakedaemon``."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
import threading

import anyio
import anyio.lowlevel
import pytest

from pybuildkit.errors import (
    BuildKitError,
    ConfigError,
    ConnectionLost,
    ProtocolError,
    RPCError,
    SessionError,
)
from pybuildkit.http2 import frames
from pybuildkit.session import driver, loopdriver
from pybuildkit.session.calls import AsyncCall, Call, Code, Service, Status, StatusError
from pybuildkit.session.session import Session, new_id
from tests.support import fakedaemon
from tests.support.fakedaemon import (
    DaemonCall,
    FakeDaemon,
    MemoryChannel,
    fake_daemon,
    serve_handler,
    serve_machine,
)

ECHO = "/test.Echo/Echo"


@pytest.fixture(autouse=True, params=["memory", "loop", "socket"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ways to carry a session."""
    monkeypatch.setattr(fakedaemon, "CARRIER", request.param)


class Echo:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.closes = 0

    def message(self, data: bytes) -> None:
        self.call.send(data)

    def half_closed(self) -> None:
        self.call.finish()

    def pull(self) -> bool:
        return False

    def closed(self) -> None:
        self.closes += 1


async def echo(call: AsyncCall) -> None:
    while (message := await call.receive()) is not None:
        await call.send(message)


async def forever(call: AsyncCall) -> None:
    await anyio.sleep_forever()


BOTH = pytest.mark.parametrize(
    "service", [serve_machine(ECHO, Echo), serve_handler(ECHO, echo)], ids=["machine", "coroutine"]
)


# What the daemon sees.


async def test_the_headers_of_the_stream() -> None:
    """S2, S3: names, the empty shared key, each method, health's three."""
    session = Session([serve_handler("/a.B/C", echo), serve_machine("/d.E/F", Echo)])
    async with fake_daemon(session=session) as daemon:
        await daemon.unary("/grpc.health.v1.Health/Check")
        assert list(daemon.metadata) == [
            ("x-docker-expose-session-uuid", session.id),
            ("x-docker-expose-session-sharedkey", ""),
            ("x-docker-expose-session-grpc-method", "/grpc.health.v1.Health/Check"),
            ("x-docker-expose-session-grpc-method", "/grpc.health.v1.Health/List"),
            ("x-docker-expose-session-grpc-method", "/grpc.health.v1.Health/Watch"),
            ("x-docker-expose-session-grpc-method", "/a.B/C"),
            ("x-docker-expose-session-grpc-method", "/d.E/F"),
        ]
        assert daemon.session is not None
        assert daemon.session.id == session.id


def test_the_optional_headers() -> None:
    """T19, S10: at least a second."""
    session = Session(shared_key="k", health_timeout=2.5, id="x")
    assert session.shared_key == "k"
    assert ("x-docker-expose-session-sharedkey", "k") in session.metadata
    assert ("x-buildkit-session-health-custom-timeout", "2500") in session.metadata
    assert ("x-buildkit-session-health-custom-timeout", "1000") in Session(health_timeout=0.1).metadata


def test_ids() -> None:
    """S4."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[0-9a-z]{25}", one) for one in ids)


@pytest.mark.parametrize("bad", ["", "a:b", "é", "a\n"])
def test_an_id_that_can_not_be(bad: str) -> None:
    """S4: the daemon splits at the first colon."""
    with pytest.raises(ConfigError, match="without a colon"):
        Session(id=bad)


def test_a_shared_key_that_can_not_be_sent() -> None:
    with pytest.raises(ConfigError, match="hex digest"):
        Session(shared_key="é")


def test_two_services_of_one_method() -> None:
    with pytest.raises(ConfigError, match="two services answer to /test"):
        Session([serve_handler(ECHO, echo), serve_machine(ECHO, Echo)])


async def test_one_session_is_open_once() -> None:
    """S5, S20: again afterwards is well."""
    session = Session()
    async with fake_daemon(session=session):
        with pytest.raises(ConfigError, match="is open already"):
            async with session.open(MemoryChannel()):
                pass
    async with fake_daemon(session=session) as daemon:
        assert (await daemon.unary("/grpc.health.v1.Health/Check"))[1] == Status()


# Calls.


@BOTH
async def test_messages_come_back(service: Service) -> None:
    sent = [b"", b"x", b"y" * 70_000, b"z" * 3_000_000]
    async with fake_daemon(service) as daemon, daemon.call(ECHO) as call:
        for message in sent:
            await call.send(message)
        await call.done_sending()
        assert [message async for message in call] == sent
        assert await call.status() == Status()


@BOTH
async def test_many_calls_at_once(service: Service) -> None:
    """S18."""
    answers: dict[int, bytes | None] = {}
    async with fake_daemon(service) as daemon:

        async def one(number: int) -> None:
            answers[number], _ = await daemon.unary(ECHO, b"%d" % number)

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(one, number)
    assert answers == {number: b"%d" % number for number in range(200)}


async def test_health() -> None:
    """S9, T6: Check, List and Watch of the session as a whole, and of a service that it does not know."""
    check, listed, watch = (f"/grpc.health.v1.Health/{name}" for name in ("Check", "List", "Watch"))
    async with fake_daemon() as daemon:
        assert await daemon.unary(check) == (b"\x08\x01", Status())
        assert await daemon.unary(check, b"\x0a\x01x") == (None, Status(Code.NOT_FOUND, "unknown service"))
        assert await daemon.unary(listed) == (b"\x0a\x06\x0a\x00\x12\x02\x08\x01", Status())
        async with daemon.call(watch) as known, daemon.call(watch) as unknown:
            await known.send(b"")
            await unknown.send(b"\x0a\x01x")
            assert await known.receive() == b"\x08\x01"
            assert await unknown.receive() == b"\x08\x03"
            assert not known.ended
        assert (await daemon.unary(check, b"\xff"))[1].code == Code.INVALID_ARGUMENT


async def test_metadata_reaches_the_handler() -> None:
    """S11: repeated keys keep their order; binary ones stay base64."""
    seen: dict[str, list[str]] = {}

    async def look(call: AsyncCall) -> None:
        seen.update({key: list(values) for key, values in call.metadata.items()})
        assert call.method == ECHO

    async with fake_daemon(serve_handler(ECHO, look)) as daemon:
        metadata = {"dir-name": ["context"], "include-patterns": ["b", "a"], "k-bin": ["AAE"]}
        assert (await daemon.unary(ECHO, b"", metadata))[1] == Status()
    assert seen == metadata


async def test_a_status_reaches_the_daemon() -> None:
    details = (("type.googleapis.com/x.Y", b"\x01"),)

    async def refuse(call: AsyncCall) -> None:
        raise StatusError(Code.NOT_FOUND, "not found: é%", details)

    async with fake_daemon(serve_handler(ECHO, refuse)) as daemon:
        assert await daemon.unary(ECHO) == (None, Status(Code.NOT_FOUND, "not found: é%", details))
        assert daemon.session is not None
        assert not daemon.session.failures, "an answer is no failure"


async def test_what_a_handler_raises_is_told_and_kept() -> None:
    error = ValueError("the cause")

    async def crash(call: AsyncCall) -> None:
        await call.send(b"first")
        raise error

    async with fake_daemon(serve_handler(ECHO, crash)) as daemon:
        assert await daemon.unary(ECHO) == (b"first", Status(Code.UNKNOWN, "the cause"))
        assert daemon.session is not None
        assert list(daemon.session.failures) == [(ECHO, error)]


class Crashing(Echo):
    def __init__(self, call: Call) -> None:
        super().__init__(call)
        machines.append(self)
        if "init" in call.metadata:
            raise RuntimeError("in init")

    def message(self, data: bytes) -> None:
        if "message" in self.call.metadata:
            raise RuntimeError("in message")

    def half_closed(self) -> None:
        if "half_closed" in self.call.metadata:
            raise RuntimeError("in half_closed")
        if "closed" in self.call.metadata:
            self.call.finish(Status(Code.OK))

    def pull(self) -> bool:
        if "pull" in self.call.metadata:
            raise StatusError(Code.DATA_LOSS, "in pull")
        return False

    def closed(self) -> None:
        super().closed()
        if "closed" in self.call.metadata:
            raise RuntimeError("in closed")


machines: list[Crashing] = []


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ("init", Status(Code.UNKNOWN, "in init")),
        ("message", Status(Code.UNKNOWN, "in message")),
        ("half_closed", Status(Code.UNKNOWN, "in half_closed")),
        ("pull", Status(Code.DATA_LOSS, "in pull")),
        ("closed", Status()),
    ],
)
async def test_what_a_machine_raises_ends_its_call_only(where: str, status: Status) -> None:
    machines.clear()
    async with fake_daemon(serve_machine(ECHO, Crashing)) as daemon:
        assert await daemon.unary(ECHO, b"x", {where: ["1"]}) == (None, status)
        assert (await daemon.unary("/grpc.health.v1.Health/Check"))[1] == Status()
    assert [machine.closes for machine in machines] == [0 if where == "init" else 1]


@pytest.mark.parametrize("how", ["half a message", "compressed", "too long"])
async def test_messages_that_can_not_be(how: str) -> None:
    """S8."""
    raw, status = {
        "half a message": (
            b"\0\0\0\0\x09abc",
            Status(Code.INTERNAL, "the request ends in the middle of a message"),
        ),
        "compressed": (
            b"\1\0\0\0\1x",
            Status(Code.UNIMPLEMENTED, "grpc: a message is compressed; send it as it is"),
        ),
        "too long": (
            b"\0\1\0\0\1",
            Status(Code.RESOURCE_EXHAUSTED, "grpc: received message larger than max (16777217 vs. 16777216)"),
        ),
    }[how]
    async with fake_daemon(serve_machine(ECHO, Echo)) as daemon, daemon.call(ECHO) as call:
        assert call.stream is not None
        call.stream.send(raw)
        await call.done_sending()
        assert await call.status() == status


async def test_memory_for_unfinished_messages_is_bounded() -> None:
    """Sixty-four megabytes for all calls together; then they are refused."""
    async with fake_daemon(serve_machine(ECHO, Echo)) as daemon, contextlib.AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(daemon.call(ECHO)) for _ in range(6)]
        for call in calls:
            assert call.stream is not None
            call.stream.send(b"\0\1\0\0\0" + bytes(15 << 20))
        daemon.flush()
        refused: list[Status] = []
        enough = anyio.Event()

        async def watch(call: DaemonCall) -> None:
            refused.append(await call.status())
            if len(refused) == 2:
                enough.set()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for call in calls:
                    tasks.start_soon(watch, call)
                await enough.wait()
                tasks.cancel_scope.cancel()
        assert {status.code for status in refused} == {Code.RESOURCE_EXHAUSTED}


# Ends of calls.


async def test_a_handler_is_cancelled_when_the_daemon_cancels() -> None:
    cancelled = anyio.Event()
    started = anyio.Event()

    async def wait(call: AsyncCall) -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with fake_daemon(serve_handler(ECHO, wait)) as daemon:
        async with daemon.call(ECHO):
            await started.wait()
        with anyio.fail_after(5):
            await cancelled.wait()


async def test_a_deadline_ends_the_call() -> None:
    """The daemon's own clock may be slower than ours."""
    async with fake_daemon(serve_handler(ECHO, forever)) as daemon, daemon.call(ECHO, timeout="50m") as call:
        with anyio.fail_after(5):
            status = await call.status()
        assert status.code == Code.DEADLINE_EXCEEDED


async def test_machines_and_handlers_end_with_the_session() -> None:
    ended: list[str] = []

    class Idle(Echo):
        def closed(self) -> None:
            ended.append("machine")

    async def wait(call: AsyncCall) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("handler")

    async with (
        contextlib.AsyncExitStack() as calls,
        fake_daemon(serve_machine("/a/A", Idle), serve_handler("/b/B", wait)) as daemon,
    ):
        for method in ("/a/A", "/b/B"):
            await calls.enter_async_context(daemon.call(method))
        await daemon.unary("/grpc.health.v1.Health/Check")
        await anyio.sleep(0.01)
        assert not ended
    assert sorted(ended) == ["handler", "machine"]


async def test_handlers_run_in_the_context_of_the_opening() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    seen: list[str] = []

    async def look(call: AsyncCall) -> None:
        seen.append(variable.get())

    variable.set("inside")
    async with fake_daemon(serve_handler(ECHO, look)) as daemon:
        await daemon.unary(ECHO)
    assert seen == ["inside"]


# Ends of the session.


def session_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pybuildkit-session"]


async def test_leaving_closes_the_stream_and_joins_the_thread() -> None:
    """S12: half-close, then wait for the daemon to end."""
    async with fake_daemon() as daemon:
        assert len(session_threads()) == (fakedaemon.CARRIER != "loop")
    assert daemon.client_done
    assert daemon.connection.goaway == 0
    assert not session_threads()


async def test_a_session_that_lasts_goes_on_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that holds up its event loop must not lose its session."""
    monkeypatch.setattr(loopdriver, "_SHORT", 0.05)

    async def echo(call: AsyncCall) -> None:
        while (message := await call.receive()) is not None:
            await call.send(message)

    async with fake_daemon(serve_handler(ECHO, echo)) as daemon, daemon.call(ECHO) as call:
        await call.send(b"in the loop, mostly")
        assert await call.receive() == b"in the loop, mostly"
        await call.send(b"on the way")
        while not session_threads():  # noqa: ASYNC110
            await anyio.sleep(0.01)
        assert await call.receive() == b"on the way"
        await call.send(b"x" * 1_000_000)
        assert await call.receive() == b"x" * 1_000_000
        await call.done_sending()
        assert (await call.status()).code == Code.OK
    assert daemon.client_done
    assert not session_threads()


async def test_a_daemon_that_does_not_end_its_side_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "DRAIN", 0.05)
    monkeypatch.setattr(FakeDaemon, "done_sending", lambda self: anyio.lowlevel.checkpoint())
    with anyio.fail_after(2):
        async with fake_daemon():
            pass
    assert not session_threads()


async def test_an_error_of_the_block_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        async with fake_daemon(serve_handler(ECHO, forever)) as daemon, daemon.call(ECHO):
            raise ZeroDivisionError
    assert not session_threads()


async def test_a_cancelled_block_passes() -> None:
    with anyio.move_on_after(0.05) as scope:
        async with fake_daemon():
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not session_threads()


async def broken_by(how: str) -> BuildKitError:
    """Open a session, break it while the block waits; what comes out."""
    with pytest.raises(BuildKitError) as caught:  # noqa: PT012
        async with fake_daemon(serve_handler(ECHO, forever)) as daemon, daemon.call(ECHO) as call:
            await call.send(b"")
            if how == "end":
                daemon.end()
            elif how == "error":
                daemon.end(ConnectionLost("Connection reset by peer", code="UNAVAILABLE"))
            elif how == "frames":
                daemon.send_raw(b"\0\0\1\0\0\0\0\0\0x")
            elif how == "envelope":
                daemon._to_client.append(b"\x0a\xff")
                daemon._news.set()
            elif how == "goaway":
                daemon.send_raw(frames.goaway(0, 0, b"client transport shutdown"))
            await anyio.sleep_forever()
    assert not session_threads()
    return caught.value


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ("end", SessionError, "the daemon ended the session; its log says why"),
        ("error", ConnectionLost, "Connection reset by peer"),
        (
            "frames",
            ProtocolError,
            "the peer broke HTTP/2's rules (PROTOCOL_ERROR): data on stream 0, which is not open",
        ),
        (
            "envelope",
            ProtocolError,
            "the session's stream carries no BytesMessage: a varint is cut off or too long",
        ),
        (
            "goaway",
            SessionError,
            "the daemon gave up the session (client transport shutdown): this client did not answer in time, or the daemon is stopping; its log says which",
        ),
    ],
)
async def test_a_session_that_breaks_ends_the_block(how: str, kind: type[BuildKitError], text: str) -> None:
    """S14, S15: the cause comes out, in place of the block's cancellation."""
    error = await broken_by(how)
    assert type(error) is kind
    assert text in str(error)


@pytest.mark.parametrize(
    ("code", "text"), [("CANCELLED", "x"), ("UNKNOWN", "context canceled"), ("UNAVAILABLE", "")]
)
async def test_an_error_that_follows_from_the_break_gives_way_to_it(code: str, text: str) -> None:
    """Session-speed's trap: Solve only says "context canceled"."""
    solve_error = RPCError(text, code=code)
    with pytest.raises(ConnectionLost, match="the real cause") as caught:  # noqa: PT012
        async with fake_daemon() as daemon:
            cause = ConnectionLost("the real cause", code="UNAVAILABLE")
            asyncio.get_running_loop().call_later(0.05, daemon.end, cause)
            raise solve_error
    assert caught.value.__cause__ is solve_error


async def test_an_error_that_has_nothing_to_do_with_it_does_not_wait() -> None:
    with pytest.raises(RPCError, match="process did not complete"), anyio.fail_after(0.2):
        async with fake_daemon():
            raise RPCError("process did not complete", code="UNKNOWN")


async def test_waiting_for_the_end() -> None:
    async with fake_daemon() as daemon:
        live = daemon.session
        assert live is not None
        assert live.error is None
    assert await live.lost() is None


async def test_a_bug_in_the_thread_is_told() -> None:
    def factory(call: Call) -> Echo:
        raise SystemExit(3)

    with pytest.raises(SessionError, match="the session's thread failed: SystemExit: 3"):
        async with fake_daemon(serve_machine(ECHO, factory)) as daemon, daemon.call(ECHO):
            await anyio.sleep_forever()
