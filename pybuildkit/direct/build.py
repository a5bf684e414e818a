"""One build on a direct channel: its session, its progress and its solve, in turn, in one thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pybuildkit.control.solve import SOLVE, SolveRequest, decode_response
from pybuildkit.control.status import STATUS, decode_status_response, encode_status_request
from pybuildkit.direct.channel import DirectCall, DirectChannel
from pybuildkit.direct.handlers import HandlerLoop
from pybuildkit.errors import BuildCancelled, BuildKitError, SessionError
from pybuildkit.events import SolveStatus
from pybuildkit.patience import status_patience
from pybuildkit.progress import Progress, own_step
from pybuildkit.result import Result
from pybuildkit.session.driver import Driver
from pybuildkit.session.offer import LOSS_PATIENCE, MAX_FAILURES, Offer, may_follow_from_loss
from pybuildkit.session.server import Server
from pybuildkit.session.socketcarrier import SocketCarrier
from pybuildkit.session.watch import BEAT, Watcher
from pybuildkit.tracing import trace_headers

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

__all__ = ["DirectBuild", "DirectPlan", "Spectator"]

REFRESH = 0.15
"""Seconds without news after which whoever watches is told that time goes by (P2)."""


class DirectPlan(Protocol):
    """What a build needs beside a channel; the part of ``pybuildkit.build.Plan`` that waits for nothing."""

    notice: Callable[[str], object] | None

    @property
    def request(self) -> SolveRequest:
        """What the daemon is told."""
        ...

    @property
    def offer(self) -> Offer:
        """What the daemon may ask for."""
        ...

    def ready(self) -> None:
        """Check what can be checked before anything is sent; see ``Plan.prepare``."""
        ...

    def complete(self, response: dict[str, str]) -> dict[str, str]:
        """See ``Plan.finish``."""
        ...

    def discard(self) -> None:
        """See ``Plan.abandon``."""
        ...

    def explain(self, error: BuildKitError, progress: Progress) -> BuildKitError:
        """See ``Plan.explain``."""
        ...


class Spectator(Protocol):
    """Who watches a build: a display."""

    def update(self, status: SolveStatus) -> None:
        """One batch of progress."""
        ...

    def refresh(self) -> None:
        """Time has gone by."""
        ...


class DirectBuild:
    """A build.

    Args:
        channel: to the daemon; nothing else may use it meanwhile.
        plan: what to build.
        spectator: is told of the progress.
        portal: the event loop for coroutines that the daemon asks for; one of the build's own by default.
    """

    def __init__(
        self,
        channel: DirectChannel,
        plan: DirectPlan,
        spectator: Spectator,
        *,
        portal: Callable[[], BlockingPortal] | None = None,
    ) -> None:
        self._channel = channel
        self._plan = plan
        self._spectator = spectator
        self._portal = portal
        self._progress = Progress()
        self._notes: deque[str] = deque()
        self._cancelled = False
        self._leave_at: float | None = None
        self._trouble: BaseException | None = None
        self._ended: float | None = None
        self._last_news = self._shown = self._watched = time.monotonic()
        plan.notice = self._note

    @property
    def ref(self) -> str:
        """The build's id."""
        return self._plan.request.ref

    def cancel(self, *, grace: float | None = None) -> None:
        """Stop the build in the daemon; ``run`` then raises BuildCancelled. From a signal's handler or any thread.

        Args:
            grace: seconds after which ``run`` waits for nothing any more.
        """
        self._cancelled = True
        if grace is not None:
            self._leave_at = time.monotonic() + grace
        self._channel.way.wake()

    def _left(self, now: float) -> bool:
        return self._leave_at is not None and now >= self._leave_at

    def run(self) -> Result:
        """Run it to its end.

        Raises:
            BuildError: the build failed; the subclass says how.
            SessionError: something this side serves to the daemon failed.
            RPCError: the daemon refused the request, or went away.
        """
        started = time.monotonic()
        try:
            self._plan.ready()
            metadata = self._plan.complete(self._converse())
        except BaseException:
            self._plan.discard()
            raise
        return Result(
            ref=self.ref,
            metadata=metadata,
            warnings=self._progress.warnings,
            duration=time.monotonic() - started,
        )

    def _converse(self) -> dict[str, str]:
        """Solve and Status side by side; whichever way Solve ends, Status is read to its end first (T16)."""
        status = self._channel.start(STATUS, encode_status_request(self.ref), self._take_status)
        answers: list[bytes] = []
        error = self._solve(answers)
        cancelled = error is None and not answers
        heard = bool(self._progress.vertices)
        self._read_on(status, status_patience(error, cancelled=cancelled, heard=heard))
        if self._trouble is not None:
            raise self._trouble
        if error is not None:
            raise self._plan.explain(error, self._progress)
        if cancelled:
            raise BuildCancelled("the build was cancelled", ref=self.ref, code="CANCELLED")
        return decode_response(answers[0])

    # The solve inside its session (S13).

    def _solve(self, answers: list[bytes]) -> BuildKitError | None:
        """Why it went badly; None when there is an answer, or it was cancelled."""
        failures: deque[tuple[str, BaseException]] = deque(maxlen=MAX_FAILURES)
        offer, channel = self._plan.offer, self._channel
        handlers = HandlerLoop(lambda function: driver.post(function), failures, self._portal)
        carrier = _Carrier(channel, offer, lambda: self._look(solve, driver, watcher))
        # Nothing depends on the end of a session that moves no files: it comes with the rest of Status, or later.
        drain = 0 if offer.light else None
        driver = Driver(carrier, Server(offer.machines(handlers), failures), lambda: None, drain=drain)
        watcher = Watcher(driver, offer.health_timeout)
        solve = channel.start(SOLVE, self._plan.request.encode(), answers.append)
        try:
            driver.run()
        finally:
            handlers.close()
        if solve.over and solve.error is None:
            return (
                None
                if answers
                else channel.error("INTERNAL", "the daemon ended the build without an answer", SOLVE)
            )
        answers.clear()
        error = solve.error
        solve.give_up()
        channel.way.flush()
        if self._cancelled:
            return None
        if driver.error is not None:
            driver.error.__context__ = error
        return driver.error or error

    def _look(self, solve: DirectCall, driver: Driver, watcher: Watcher) -> None:
        """Called whenever the session has heard, or has waited: end it when there is nothing more to wait for."""
        now = time.monotonic()
        self._show(now)
        if now - self._watched >= BEAT:
            self._watched = now
            watcher.look()
        if self._cancelled:
            solve.give_up()
        if self._left(now):
            driver.give_up(SessionError("the build was left"))
        if solve.over and self._ended is None:
            self._ended = now
        if self._ended is not None:
            # The session's own end says more than a call that only follows from it.
            patience = LOSS_PATIENCE if may_follow_from_loss(solve.error) and not self._cancelled else 0
            if now - self._ended >= patience:
                driver.stop()

    # Progress.

    def _take_status(self, message: bytes) -> None:
        self._last_news = time.monotonic()
        self._hand_out(decode_status_response(message))

    def _note(self, line: str) -> None:
        """Show what this side does for the daemon; from any thread."""
        self._notes.append(line)
        self._channel.way.wake()

    def _hand_out(self, batch: SolveStatus) -> None:
        self._progress.feed(batch)
        self._tell(lambda: self._spectator.update(batch))

    def _show(self, now: float) -> None:
        while self._notes:
            self._hand_out(own_step(self.ref, self._notes.popleft()))
        if now - self._shown >= REFRESH:
            self._tell(self._spectator.refresh)

    def _tell(self, tell: Callable[[], object]) -> None:
        """What a display raises ends the build, and is raised by ``run``: not from the middle of a connection's bytes."""
        if self._trouble is not None:
            return
        try:
            tell()
        except BaseException as exc:  # noqa: BLE001 - raised by run
            self._trouble = exc
            self.cancel(grace=0)
        self._shown = time.monotonic()

    def _read_on(self, status: DirectCall, patience: float) -> None:
        """T16: Status mostly ends by itself; if it does not, stop waiting for it."""
        self._last_news = time.monotonic()
        while not status.over:
            now = time.monotonic()
            left = self._last_news + patience - now
            if left <= 0 or self._left(now):
                break
            self._show(now)
            self._channel.step(min(left, REFRESH))
        status.give_up()
        self._channel.way.flush()


class _Carrier(SocketCarrier):
    """Carries the session on the channel's own connection, and has the build looked after meanwhile."""

    def __init__(self, channel: DirectChannel, offer: Offer, look: Callable[[], object]) -> None:
        super().__init__(
            channel.way,
            [*offer.metadata, *trace_headers()],
            authority=channel.authority,
            address=channel.address,
        )
        self._look = look

    def take(self) -> list[bytes]:
        """See ``Carrier.take``."""
        taken = super().take()
        self._look()
        return taken

    def wait(self, timeout: float | None) -> None:
        """See ``Carrier.wait``."""
        super().wait(REFRESH if timeout is None else min(timeout, REFRESH))

    def close(self) -> None:
        """See ``Carrier.close``: the connection goes on."""
        self.give_up()
