"""One build: a task group that holds its session, its progress and its solve, and outlives none of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from pybuildkit.control.solve import SolveRequest, decode_response
from pybuildkit.control.status import STATUS, decode_status_response, encode_status_request
from pybuildkit.errors import BuildCancelled, BuildKitError, RPCError
from pybuildkit.events import Event, SolveStatus
from pybuildkit.patience import status_patience
from pybuildkit.progress import Progress, own_step
from pybuildkit.result import Result
from pybuildkit.rpc.channel import Channel
from pybuildkit.session.carrier import CarrierFactory
from pybuildkit.session.session import Session
from pybuildkit.tracing import traced_build

__all__ = ["Build", "Plan", "run_alone", "run_build"]

BATCHES = 256
"""How many batches may wait for a reader before Status waits too."""


class Plan(Protocol):
    """What a build needs beside a channel: made by the planning layer, run here.

    Attributes:
        notice: told what is done for the daemon on this side, a line each; set by whoever runs the plan.
    """

    notice: Callable[[str], object] | None

    @property
    def request(self) -> SolveRequest:
        """What the daemon is told."""
        ...

    @property
    def session(self) -> Session:
        """What the daemon may ask for."""
        ...

    async def prepare(self) -> None:
        """Check what can be checked before anything is sent.

        Raises:
            ConfigError: the build could not end well.
        """
        ...

    async def solve(self, channel: Channel) -> bytes:
        """Have the request solved, by a daemon that can ask for the session; the encoded ``SolveResponse``.

        Raises:
            RPCError: the daemon refused, the build failed, or the daemon went away.
        """
        ...

    async def abandon(self) -> None:
        """The build went badly: clean up on this side. Does nothing after ``finish`` went well."""
        ...

    async def finish(self, response: dict[str, str]) -> dict[str, str]:
        """Complete the results on this side after a solve that went well; the metadata of the result."""
        ...

    def explain(self, error: BuildKitError, progress: Progress) -> BuildKitError:
        """The error that the caller sees for a solve that went badly."""
        ...


class Build:
    """A build under way.

    Iterate over it for events, or over ``status()`` for the daemon's batches; only one of both. Nothing need be
    read: a build that is not watched runs as well.
    """

    def __init__(
        self, channel: Channel, plan: Plan, *, watched: bool, carrier: CarrierFactory | None
    ) -> None:
        self._channel = channel
        self._carrier = carrier
        self._plan = plan
        self._progress = Progress()
        self._solve_scope = anyio.CancelScope()
        self._status_scope = anyio.CancelScope()
        self._status_ended = asyncio.Event()
        self._news = asyncio.Event()
        self._cancelled = False
        self._done = asyncio.Event()
        self._result: Result | None = None
        self._error: BuildKitError | None = None
        self._last_news = time.monotonic()
        self._send: MemoryObjectSendStream[SolveStatus] | None = None
        self._receive: MemoryObjectReceiveStream[SolveStatus] | None = None
        plan.notice = self._note
        if watched:
            self._send, self._receive = anyio.create_memory_object_stream[SolveStatus](BATCHES)

    @property
    def ref(self) -> str:
        """The build's id: the key of its history record, and of its progress for other clients."""
        return self._plan.request.ref

    @property
    def progress(self) -> Progress:
        """What is known of the vertices so far."""
        return self._progress

    @property
    def done(self) -> bool:
        """Whether the build has ended, well or badly."""
        return self._done.is_set()

    async def ended(self) -> None:
        """Wait for the end, well or badly; unlike ``result()`` it leaves events to whoever reads them."""
        await self._done.wait()

    async def heard_of(self, digest: str, patience: float = 1.0) -> None:
        """Wait until Status has told how a vertex ended, so that its log is complete; at most ``patience`` seconds."""
        with anyio.move_on_after(patience):
            while not self._status_ended.is_set():
                vertex = self._progress.vertex(digest)
                if vertex is not None and vertex.completed is not None:
                    return
                await self._news.wait()

    def cancel(self) -> None:
        """Stop the build in the daemon. ``result()`` then raises BuildCancelled; once ended it does nothing."""
        if not self.done:
            self._cancelled = True
            self._solve_scope.cancel()

    async def status(self) -> AsyncIterator[SolveStatus]:
        """The daemon's batches of progress as they come; ends with the build."""
        if self._receive is None:
            return
        async for batch in self._receive:
            yield batch

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events as they come; ends with the build."""
        folded = Progress()
        async for batch in self.status():
            for event in folded.feed(batch):
                yield event

    async def result(self) -> Result:
        """Wait for the end.

        Raises:
            BuildError: the build failed; the subclass says how.
            SessionError: something this side serves to the daemon failed.
            RPCError: the daemon refused the request, or went away.
        """
        if self._receive is not None and not self.done:
            # Whoever waits here reads no events; Status must not wait for them.
            self._receive.close()
        await self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    async def _run(self) -> None:
        request = self._plan.request
        with traced_build(request.ref, request.frontend, self._channel.address) as traced:
            try:
                await self._run_to_end()
            finally:
                if self._error is not None:
                    traced.failed(self._error)

    async def _run_to_end(self) -> None:
        started = time.monotonic()
        try:
            await self._plan.prepare()
            response = await self._converse()
            metadata = await self._plan.finish(response)
            self._result = Result(
                ref=self.ref,
                metadata=metadata,
                warnings=self._progress.warnings,
                duration=time.monotonic() - started,
            )
        except BuildKitError as exc:
            self._error = exc
        except BaseException:
            self._error = self._was_cancelled()
            raise
        finally:
            if self._result is None:
                with anyio.CancelScope(shield=True):
                    await self._plan.abandon()
            self._done.set()
            if self._send is not None:
                self._send.close()

    def _was_cancelled(self) -> BuildCancelled:
        return BuildCancelled("the build was cancelled", ref=self.ref, code="CANCELLED")

    async def _converse(self) -> dict[str, str]:
        """Solve and Status side by side; whichever way Solve ends, Status is read to its end first (T16)."""
        response: dict[str, str] | None = None
        error: BuildKitError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow)
            try:
                response = await self._solve()
            except BuildKitError as exc:
                error = exc
            patience = status_patience(
                error, cancelled=response is None and self._cancelled, heard=bool(self._progress.vertices)
            )
            await self._give_up_on_status(patience)
        if error is not None:
            raise self._plan.explain(error, self._progress)
        if response is None:
            raise self._was_cancelled()
        return response

    async def _solve(self) -> dict[str, str] | None:
        """The session and, inside it, the solve (S13); None when it was cancelled."""
        with self._solve_scope:
            async with self._plan.session.open(self._channel, bulk=self._carrier):
                return decode_response(await self._plan.solve(self._channel))
        return None

    async def _follow(self) -> None:
        """Read Status until it ends. Its own failure is not the build's: Solve says what happened."""
        with self._status_scope:
            try:
                async with self._channel.server_stream(STATUS, encode_status_request(self.ref)) as stream:
                    async for message in stream:
                        self._last_news = time.monotonic()
                        await self._hand_out(decode_status_response(message))
            except RPCError:
                pass
        self._status_ended.set()
        self._tell()

    def _tell(self) -> None:
        """Wake up whoever waits for news."""
        self._news.set()
        self._news = asyncio.Event()

    async def _hand_out(self, batch: SolveStatus) -> None:
        self._progress.feed(batch)
        self._tell()
        if self._send is not None:
            try:
                await self._send.send(batch)
            except anyio.BrokenResourceError:  # nobody reads any more
                self._send.close()
                self._send = None

    def _note(self, line: str) -> None:
        """Show what this side does for the daemon as a step of its own, as buildctl does (S79)."""
        batch = own_step(self.ref, line)
        self._progress.feed(batch)
        if self._send is not None:
            with suppress(anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._send.send_nowait(batch)

    async def _give_up_on_status(self, patience: float) -> None:
        """T16: Status mostly ends by itself; if it does not, stop waiting for it."""
        self._last_news = time.monotonic()
        while not self._status_ended.is_set():
            left = self._last_news + patience - time.monotonic()
            if left <= 0:
                self._status_scope.cancel()
                return
            with anyio.move_on_after(left):
                await self._status_ended.wait()


async def run_alone(channel: Channel, plan: Plan, *, carrier: CarrierFactory | None = None) -> Result:
    """Run a build that nobody watches; see ``run_build``.

    Raises:
        BuildError, SessionError, RPCError: see ``Build.result``.
    """
    build = Build(channel, plan, watched=False, carrier=carrier)
    await build._run()  # noqa: SLF001 - one module
    return await build.result()


@asynccontextmanager
async def run_build(
    channel: Channel, plan: Plan, *, watched: bool, carrier: CarrierFactory | None = None
) -> AsyncGenerator[Build, None]:
    """Run a build; leaving the block before it has ended cancels it in the daemon.

    Args:
        channel: to the daemon.
        plan: what to build.
        watched: whether somebody reads the build's events.
        carrier: what carries the session; the channel when None.
    """
    build = Build(channel, plan, watched=watched, carrier=carrier)
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(build._run)  # noqa: SLF001 - one module
        try:
            yield build
        except Exception as exc:  # noqa: BLE001 - raised again below, out of the group's wrapping
            failure = exc
        finally:
            build.cancel()
            if build._receive is not None:  # noqa: SLF001
                build._receive.close()  # noqa: SLF001
    if failure is not None:
        raise failure
