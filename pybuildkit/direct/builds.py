"""Builds by the thread that asks for them: no event loop, and a connection for each build under way."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pybuildkit.direct.build import DirectBuild, Spectator
from pybuildkit.direct.channel import DirectChannel, open_channel
from pybuildkit.errors import BuildKitError, ConfigError
from pybuildkit.planning import is_graph, plan_now

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from pybuildkit.events import SolveStatus
    from pybuildkit.plan import SolvePlan
    from pybuildkit.result import Result
    from pybuildkit.transport.endpoint import Endpoint
    from pybuildkit.ui import Display

__all__ = ["DirectBuilds", "needs_loop"]

_IN_A_LOOP = ("session", "inputs", "uploads", "late_outputs", "on_exported")
"""Options whose values live in an event loop, or are asked there."""

_IDLE = 16
"""Connections that are kept for the next builds."""


class DirectBuilds:
    """Runs builds on a daemon. Threads may share it; close it in the end.

    Args:
        endpoint: where the daemon listens; every connection must reach the same one.
        timeout: seconds to wait for a new connection's first answer.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._closed = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._running: set[DirectBuild] = set()
        self._idle: list[DirectChannel] = []

    def _leave_parent(self) -> None:
        """After a fork the connections are the parent's, and so is whoever holds the lock."""
        if self._process != os.getpid():
            idle = self._idle
            self._begin_anew()
            for channel in idle:
                channel.close()

    def connect(self, *, wait: bool) -> None:
        """Connect for the first build.

        Args:
            wait: keep trying for ``timeout`` seconds while nobody listens.

        Raises:
            ConnectError: nobody listens, or it is no daemon.
            ConnectTimeout: nobody answered in time.
        """
        self._idle.append(open_channel(self._endpoint, timeout=self._timeout, wait=wait))

    @property
    def address(self) -> str:
        """The address as the user gave it."""
        return self._endpoint.address

    def run(
        self,
        target: object,
        options: Mapping[str, Any],
        call: str,
        *,
        portal: Callable[[], BlockingPortal],
        begun: Callable[[DirectBuild], object] | None = None,
    ) -> Result | None:
        """Run a build to its end.

        Args:
            target: what the client's method takes.
            options: keyword options as users write them, with what opens registries.
            call: the method's name.
            portal: the event loop for the coroutines that the daemon asks for, when it first does.
            begun: given the build, for ``cancel``.

        Returns:
            The result; None when the build needs an event loop: nothing has happened then.

        Raises:
            ConfigError, DefinitionError: an argument can not work; nothing was sent.
            BuildError, SessionError, RPCError: see ``DirectBuild.run``.
        """
        if needs_loop(options):
            return None
        spectator = _spectator(options.get("progress"))
        plan = _planned(target, {key: value for key, value in options.items() if key != "progress"}, call)
        if plan is None:
            return None
        try:
            return self._run(plan, spectator, portal, begun)
        finally:
            spectator.done()

    def _run(
        self,
        plan: SolvePlan,
        spectator: _Watching,
        portal: Callable[[], BlockingPortal],
        begun: Callable[[DirectBuild], object] | None,
    ) -> Result:
        channel = self._take()
        build = DirectBuild(channel, plan, spectator, portal=portal)
        try:
            self._begin(build)
            if begun is not None:
                begun(build)
            result = build.run()
        except BuildKitError:
            self._end(build, channel, keep=True)
            raise
        except BaseException:
            self._end(build, channel, keep=False)  # left in the middle of something
            raise
        self._end(build, channel, keep=True)
        return result

    def _begin(self, build: DirectBuild) -> None:
        with self._lock:
            if self._closed:
                raise ConfigError("this client was closed while a build began; begin it inside the `with`")
            self._running.add(build)

    def _end(self, build: DirectBuild, channel: DirectChannel, *, keep: bool) -> None:
        """Nobody cancels the build any more; keep its connection if it is of more use."""
        with self._lock:
            self._running.discard(build)
            keep = keep and not self._closed and channel.usable and len(self._idle) < _IDLE
            if keep:
                self._idle.append(channel)
        if not keep:
            channel.close()

    def cancel(self, build: DirectBuild) -> None:
        """Stop a build in the daemon; once ended it does nothing. From any thread."""
        with self._lock:
            if build in self._running:
                build.cancel()

    def _take(self) -> DirectChannel:
        """A connection that works, or did a moment ago."""
        self._leave_parent()
        while True:
            with self._lock:
                channel = self._idle.pop() if self._idle else None
            if channel is None:
                return open_channel(self._endpoint, timeout=self._timeout, greet=False)
            if channel.usable:
                return channel
            channel.close()

    def close(self) -> None:
        """Cancel the builds under way, and close the connections that are not in use; the others close with their builds."""
        self._leave_parent()
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for build in self._running:
                build.cancel(grace=0)
        for channel in idle:
            channel.close()


def needs_loop(options: Mapping[str, Any]) -> bool:
    """Whether a build can not do without an event loop, as far as its options tell."""
    if any(options.get(key) for key in _IN_A_LOOP) or callable(options.get("source_policy")):
        return True
    return "opentelemetry.trace" in sys.modules  # spans are recorded where the calls of an event loop are


def _planned(target: object, options: dict[str, Any], call: str) -> SolvePlan | None:
    if is_graph(target) and call != "build":
        from pybuildkit.marshalling import definition_now

        target = definition_now(target)
        if target is None:
            return None
    plan = plan_now(target, options, call)
    return None if plan.hides else plan


class _Watching(Spectator):
    """Shows nothing."""

    def update(self, status: SolveStatus) -> None:
        pass

    def refresh(self) -> None:
        pass

    def done(self) -> None:
        """The build has ended."""


class _Telling(_Watching):
    """Tells a function."""

    def __init__(self, listener: Callable[[SolveStatus], object]) -> None:
        self._listener = listener

    def update(self, status: SolveStatus) -> None:
        self._listener(status)


class _Showing(_Watching):
    """Shows a build on a display."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def update(self, status: SolveStatus) -> None:
        self._display.update(status)

    def refresh(self) -> None:
        self._display.refresh()

    def done(self) -> None:
        self._display.done()


def _spectator(progress: Any) -> _Watching:
    if progress is None:
        return _Watching()
    if isinstance(progress, str):
        from pybuildkit.ui import open_display

        return _Showing(open_display(progress))
    if callable(progress):
        return _Telling(progress)
    raise ConfigError(f"progress={progress!r} is neither a mode, as 'plain', nor a function")
