"""The build's task group, against a channel in memory: faults that a real daemon does not show on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from pybuildkit import build as build_module
from pybuildkit import patience
from pybuildkit._pb import control_pb2
from pybuildkit.build import Build, run_build
from pybuildkit.control.solve import SOLVE, SolveRequest
from pybuildkit.control.status import STATUS
from pybuildkit.errors import BuildCancelled, BuildError, BuildKitError, NotFound, RPCError
from pybuildkit.events import Log, VertexCompleted, VertexStarted
from pybuildkit.progress import Progress
from pybuildkit.rpc.channel import Channel
from pybuildkit.session.session import Session

pytestmark = pytest.mark.anyio


class FakeSession(Session):
    """A session without a daemon; remembers that it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    @asynccontextmanager
    async def open(self, over: object, *, bulk: object = None) -> AsyncIterator[object]:  # type: ignore[override]
        try:
            yield object()
        finally:
            self.closed = True


class FakePlan:
    def __init__(self) -> None:
        self.notice: Callable[[str], object] | None = None
        self.request = SolveRequest("ref1", frontend="f")
        self.session = FakeSession()
        self.explained: BuildKitError | None = None
        self.abandoned = False

    async def prepare(self) -> None:
        pass

    async def solve(self, channel: Channel) -> bytes:
        return await channel.unary(SOLVE, self.request.encode())

    async def abandon(self) -> None:
        self.abandoned = True

    async def finish(self, response: dict[str, str]) -> dict[str, str]:
        return {**response, "finished": "yes"}

    def explain(self, error: BuildKitError, progress: Progress) -> BuildKitError:
        self.explained = error
        return BuildError(f"explained: {error}")


class FakeChannel:
    """Answers Solve and Status with what a test gives it."""

    address = "fake://"

    def __init__(
        self,
        solve: Callable[[], Awaitable[bytes]],
        status: Callable[[], AsyncIterator[bytes]] | None = None,
    ) -> None:
        self._solve = solve
        self._status = status or nothing
        self.solve_cancelled = False
        self.status_open = False

    async def unary(self, method: str, request: bytes = b"", **kwargs: object) -> bytes:
        try:
            return await self._solve()
        except anyio.get_cancelled_exc_class():
            self.solve_cancelled = True
            raise

    @asynccontextmanager
    async def server_stream(
        self, method: str, request: bytes = b"", **kwargs: object
    ) -> AsyncIterator[object]:
        assert method == STATUS
        self.status_open = True
        try:
            yield self._status()
        finally:
            self.status_open = False


async def nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for message in none:
        yield message


async def forever() -> bytes:
    await anyio.sleep_forever()
    raise AssertionError


async def answer() -> bytes:
    return control_pb2.SolveResponse(ExporterResponse={"a": "b"}).SerializeToString()


def batch(digest: str, *, ended: bool = False, log: bytes = b"") -> bytes:
    message = control_pb2.StatusResponse()
    vertex = message.vertexes.add(digest=digest, name=f"step {digest}")
    vertex.started.FromSeconds(1)
    if ended:
        vertex.completed.FromSeconds(3)
    if log:
        message.logs.add(vertex=digest, msg=log, stream=1)
    return message.SerializeToString()


async def three() -> AsyncIterator[bytes]:
    yield batch("a")
    yield batch("a", log=b"hello\n")
    yield batch("a", ended=True)


def running(channel: FakeChannel, plan: FakePlan, *, watched: bool = False):  # type: ignore[no-untyped-def]
    return run_build(channel, plan, watched=watched)  # type: ignore[arg-type]


async def test_a_build_that_goes_well() -> None:
    plan = FakePlan()
    async with running(FakeChannel(answer, three), plan, watched=True) as build:
        events = [event async for event in build]
        result = await build.result()
    assert [type(event) for event in events] == [VertexStarted, Log, VertexCompleted]
    assert result.ref == "ref1"
    assert result.metadata == {"a": "b", "finished": "yes"}
    assert plan.session.closed
    assert not plan.abandoned


async def test_nobody_need_read_the_events() -> None:
    """R17: Go stalls when nobody reads; here an unread build runs to its end."""

    async def many() -> AsyncIterator[bytes]:
        for number in range(build_module.BATCHES * 3):
            yield batch(str(number))

    async with running(FakeChannel(answer, many), FakePlan(), watched=True) as build:
        with anyio.fail_after(5):
            assert (await build.result()).metadata["a"] == "b"


async def test_a_failure_is_explained_once_all_progress_is_in() -> None:
    """T16: the last updates come after Solve has failed."""
    solved = anyio.Event()

    async def fails() -> bytes:
        solved.set()
        raise NotFound("nope", code="NOT_FOUND")

    async def late() -> AsyncIterator[bytes]:
        yield batch("a")
        await solved.wait()
        await anyio.sleep(0.05)
        yield batch("a", log=b"the reason\n")

    plan = FakePlan()
    async with running(FakeChannel(fails, late), plan) as build:
        with pytest.raises(BuildError, match="explained: NOT_FOUND: nope"):
            await build.result()
    assert isinstance(plan.explained, NotFound)
    assert build.progress.log_tail("a") == "the reason"


async def test_status_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """T16."""
    monkeypatch.setattr(patience, "STATUS_PATIENCE", 0.1)

    async def hangs() -> AsyncIterator[bytes]:
        yield batch("a")
        await anyio.sleep_forever()

    channel = FakeChannel(answer, hangs)
    with anyio.fail_after(5):
        async with running(channel, FakePlan()) as build:
            await build.result()
    assert not channel.status_open


async def test_a_failing_status_does_not_fail_the_build() -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield batch("a")
        raise RPCError("no such job", code="NOT_FOUND")

    async with running(FakeChannel(answer, breaks), FakePlan()) as build:
        await build.result()


async def test_cancel_reaches_the_daemon_and_says_so() -> None:
    channel, plan = FakeChannel(forever, three), FakePlan()
    with anyio.fail_after(5):
        async with running(channel, plan, watched=True) as build:
            async for event in build:
                if isinstance(event, VertexStarted):
                    build.cancel()
            with pytest.raises(BuildCancelled) as caught:
                await build.result()
    assert channel.solve_cancelled
    assert plan.session.closed
    assert plan.abandoned
    assert caught.value.ref == "ref1"


async def test_leaving_the_block_cancels() -> None:
    channel = FakeChannel(forever)
    with anyio.fail_after(5):
        async with running(channel, FakePlan()) as build:
            await anyio.sleep(0.01)
    assert channel.solve_cancelled
    assert build.done


async def test_an_error_in_the_block_comes_out_bare_and_cancels() -> None:
    channel = FakeChannel(forever)

    async def block() -> None:
        async with running(channel, FakePlan()):
            await anyio.sleep(0.01)
            raise ZeroDivisionError

    with anyio.fail_after(5), pytest.raises(ZeroDivisionError):
        await block()
    assert channel.solve_cancelled


async def test_cancelling_the_caller_cancels_the_build() -> None:
    channel, plan = FakeChannel(forever, three), FakePlan()
    builds: list[Build] = []

    async def caller() -> None:
        async with running(channel, plan) as build:
            builds.append(build)
            await build.result()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert channel.solve_cancelled
    assert plan.session.closed
    assert builds[0].done


async def test_a_failing_finish_is_the_builds_failure() -> None:
    class BadPlan(FakePlan):
        async def finish(self, response: dict[str, str]) -> dict[str, str]:
            raise BuildKitError("disk full")

    async with running(FakeChannel(answer), BadPlan()) as build:
        with pytest.raises(BuildKitError, match="disk full"):
            await build.result()
