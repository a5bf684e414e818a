"""Flow both ways: memory stays flat when the other side is slow, and nobody waits for somebody else's transfer."""

from __future__ import annotations

import time
import tracemalloc

import anyio
import pytest

from pybuildkit.errors import ProtocolError
from pybuildkit.http2 import frames
from pybuildkit.session.calls import AsyncCall, Call
from tests.support import fakedaemon
from tests.support.fakedaemon import DaemonCall, FakeDaemon, fake_daemon, serve_handler, serve_machine

BULK = "/test.Bulk/Bulk"
CHECK = "/grpc.health.v1.Health/Check"
MIB = 1 << 20


@pytest.fixture(autouse=True, params=["memory", "socket"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to carry a session."""
    monkeypatch.setattr(fakedaemon, "CARRIER", request.param)


class Source:
    """Sends without end, as fast as it is asked."""

    sent = 0

    def __init__(self, call: Call) -> None:
        self.call = call
        self.chunk = bytes(64 << 10)

    def message(self, data: bytes) -> None:
        pass

    def half_closed(self) -> None:
        pass

    def pull(self) -> bool:
        while self.call.room > 0:
            self.call.send(self.chunk)
            Source.sent += len(self.chunk)
        return True

    def closed(self) -> None:
        pass


async def read(call: DaemonCall, size: int) -> None:
    """Read at full speed."""
    while size > 0:
        message = await call.receive()
        assert message is not None
        size -= len(message)


async def test_health_is_answered_while_a_transfer_runs_at_full_speed() -> None:
    """T6, S9: within a second; here it is milliseconds."""
    async with (
        fake_daemon(serve_machine(BULK, Source)) as daemon,
        daemon.call(BULK) as one,
        daemon.call(BULK) as two,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(read, one, 1 << 40)
        tasks.start_soon(read, two, 1 << 40)
        await anyio.sleep(0.1)
        for _ in range(10):
            started = time.monotonic()
            assert (await daemon.unary(CHECK))[0] == b"\x08\x01"
            assert time.monotonic() - started < 1
            await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()


async def test_transfers_take_turns() -> None:
    """Of eight at once none is far behind."""
    async with fake_daemon(serve_machine(BULK, Source)) as daemon, anyio.create_task_group() as tasks:
        done = dict.fromkeys(range(8), 0)

        async def follow(number: int) -> None:
            async with daemon.call(BULK) as call:
                while (message := await call.receive()) is not None:
                    done[number] += len(message)
                    if done[number] >= 8 * MIB:
                        tasks.cancel_scope.cancel()

        for number in done:
            tasks.start_soon(follow, number)
    assert min(done.values()) > 3 * MIB


async def test_a_daemon_that_does_not_read_stops_the_machines() -> None:
    """What is queued stays below two megabytes: the high-water mark, what the carrier holds, and a batch."""
    Source.sent = 0
    async with fake_daemon(serve_machine(BULK, Source)) as daemon, daemon.call(BULK) as call:
        daemon.pause()
        await anyio.sleep(0.2)
        assert 512 << 10 <= Source.sent <= 2 * MIB
        stuck = Source.sent
        await anyio.sleep(0.2)
        assert Source.sent == stuck
        daemon.resume()
        await read(call, 4 * MIB)
        assert Source.sent > 4 * MIB


async def test_a_stream_that_is_not_read_stops_only_itself() -> None:
    """The stream's window is full; another stream flows on the same connection."""
    async with (
        fake_daemon(serve_machine(BULK, Source)) as daemon,
        daemon.call(BULK),
        daemon.call(BULK) as reader,
    ):
        await read(reader, 16 * MIB)
        assert (await daemon.unary(CHECK))[0] == b"\x08\x01"


async def test_a_handler_that_sends_too_fast_waits() -> None:
    sent = 0

    async def flood(call: AsyncCall) -> None:
        nonlocal sent
        for _ in range(1000):
            await call.send(bytes(64 << 10))
            sent += 64 << 10

    async with fake_daemon(serve_handler(BULK, flood)) as daemon, daemon.call(BULK) as call:
        daemon.pause()
        await anyio.sleep(0.2)
        assert sent <= 2 * MIB
        daemon.resume()
        await read(call, 1000 * (64 << 10))
        assert await call.receive() is None


async def test_a_handler_that_reads_slowly_stops_the_daemon() -> None:
    """The window is given back as messages are read, not as they arrive."""
    gate = anyio.Event()
    got = 0

    async def slow(call: AsyncCall) -> None:
        nonlocal got
        await gate.wait()
        while (message := await call.receive()) is not None:
            got += len(message)

    async with fake_daemon(serve_handler(BULK, slow)) as daemon, daemon.call(BULK) as call:
        assert call.stream is not None
        stuck = await send_until_stuck(daemon, call)
        assert stuck <= 3 * MIB
        gate.set()
        for _ in range(100):
            await call.send(bytes(64 << 10))
        await call.done_sending()
        await call.status()
    assert got == stuck + 100 * (64 << 10) + call.stream.queued


async def send_until_stuck(daemon: FakeDaemon, call: DaemonCall) -> int:
    sent = 0
    with anyio.move_on_after(0.5):
        for _ in range(1000):
            await call.send(bytes(64 << 10))
            sent += 64 << 10
    return sent


async def test_memory_stays_flat_both_ways() -> None:
    """A hundred megabytes through a machine that echoes them, on a few megabytes of memory."""

    class Echo(Source):
        def message(self, data: bytes) -> None:
            self.call.send(data)

        def pull(self) -> bool:
            return False

        def half_closed(self) -> None:
            self.call.finish()

    async with fake_daemon(serve_machine(BULK, Echo)) as daemon, daemon.call(BULK) as call:

        async def send() -> None:
            chunk = bytes(256 << 10)
            for _ in range(400):
                await call.send(chunk)
            await call.done_sending()

        tracemalloc.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                await read(call, 100 * MIB)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 24 * MIB


async def test_answers_wait_for_the_window_of_what_carries_the_session() -> None:
    """Session-speed's trap: PING and SETTINGS answers cost the outer window, too; beyond it the daemon resets all."""
    async with fake_daemon(serve_machine(BULK, Source)) as daemon, daemon.call(BULK) as call:
        await call.send(b"")
        daemon.pause()
        await anyio.sleep(0.2)
        for _ in range(100):
            daemon.send_raw(frames.ping(b"12345678", ack=False) + frames.settings({}))
        await anyio.sleep(0.1)
        daemon.resume()
        await read(call, 4 * MIB)
        assert (await daemon.unary(CHECK))[0] == b"\x08\x01"
        assert daemon.session is not None
        assert daemon.session.error is None


async def test_a_daemon_that_only_asks_is_thrown_out() -> None:
    """Answers that pile up because nobody reads them are bounded: a megabyte."""
    with pytest.raises(ProtocolError, match="answers are asked for faster than they are read"):  # noqa: PT012
        async with fake_daemon() as daemon:
            daemon.pause()
            pings = frames.ping(b"12345678", ack=False) * 10_000
            for _ in range(30):
                daemon.send_raw(pings)
                await anyio.sleep(0.001)
            await anyio.sleep(10)
