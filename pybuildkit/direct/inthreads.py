"""Builds for who waits in an event loop: each in a thread, and in the event loop only what the daemon asks coroutines for."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from pybuildkit._shielding import shield
from pybuildkit.direct.builds import DirectBuilds, needs_loop
from pybuildkit.errors import BuildCancelled
from pybuildkit.planning import is_quick

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from pybuildkit.direct.build import DirectBuild
    from pybuildkit.result import Result
    from pybuildkit.transport.endpoint import Endpoint

__all__ = ["BuildsInThreads"]

_AT_ONCE = 4
"""Builds in threads at the same time: more of them spend their time on waiting for the interpreter."""


class BuildsInThreads:
    """Runs builds on a daemon, in threads; close it in the end.

    Args:
        endpoint: where the daemon listens; every connection must reach the same one.
        timeout: seconds to wait for a new connection's first answer.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float) -> None:
        self._builds = DirectBuilds(endpoint, timeout=timeout)
        self._running = 0

    async def run(self, target: object, options: Mapping[str, Any], call: str) -> Result | None:
        """Run a build to its end; see ``DirectBuilds.run``. A cancel stops it in the daemon.

        A quick build is none for a thread: it would take less time than that.

        Returns:
            The result; None when the build belongs into the event loop: nothing has happened then.
        """
        if self._running >= _AT_ONCE or needs_loop(options) or is_quick(target, options, call):
            return None
        self._running += 1
        try:
            return await _Threaded(self._builds, target, options, call).ended()
        finally:
            self._running -= 1

    def close(self) -> None:
        """Cancel the builds under way, and close the connections."""
        self._builds.close()


class _Threaded:
    """One build, between its thread and the task that waits for it."""

    def __init__(self, builds: DirectBuilds, target: object, options: Mapping[str, Any], call: str) -> None:
        self._builds = builds
        self._call = (target, options, call)
        self._loop = asyncio.get_running_loop()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="pybuildkit-build", daemon=True)
        self._news = asyncio.Event()
        self._over = False
        self._wants_portal = False
        self._portal: Future[BlockingPortal] = Future()
        self._lock = threading.Lock()
        self._build: DirectBuild | None = None
        self._cancelled = False
        self._result: Result | None = None
        self._error: BaseException | None = None

    # The task.

    async def ended(self) -> Result | None:
        """Run the build in a thread, and wait for its end."""
        self._thread.start()
        async with AsyncExitStack() as stack:
            try:
                await self._wait(stack)
            except BaseException:
                self._cancel()
                with shield():
                    await self._wait(None)
                raise
        if self._error is not None:
            raise self._error
        return self._result

    async def _wait(self, stack: AsyncExitStack | None) -> None:
        """Wait for the thread's end; open the way to the event loop, into the stack, if it wants one."""
        while not self._over:
            await self._news.wait()
            self._news.clear()
            if self._wants_portal and stack is not None and not self._portal.done():
                from anyio.from_thread import BlockingPortal

                self._portal.set_result(await stack.enter_async_context(BlockingPortal()))
        while self._thread.is_alive():  # noqa: ASYNC110 - a thread tells nobody when it is really gone
            await asyncio.sleep(0)

    def _cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            build = self._build
        if build is not None:
            self._builds.cancel(build)
        if not self._portal.done():
            self._portal.set_exception(BuildCancelled("the build is being cancelled"))

    # The thread.

    def _run(self) -> None:
        target, options, call = self._call
        try:
            self._result = self._builds.run(
                target, options, call, portal=self._wait_for_portal, begun=self._begun
            )
        except BaseException as exc:  # noqa: BLE001 - raised by the task
            self._error = exc
        with suppress(RuntimeError):  # the event loop is gone, and with it who waited
            self._loop.call_soon_threadsafe(self._tell, True)

    def _begun(self, build: DirectBuild) -> None:
        with self._lock:
            self._build = build
            cancelled = self._cancelled
        if cancelled:
            build.cancel()

    def _wait_for_portal(self) -> BlockingPortal:
        self._loop.call_soon_threadsafe(self._tell, False)
        return self._portal.result()

    # Callbacks in the event loop.

    def _tell(self, over: bool) -> None:
        if over:
            self._over = True
        else:
            self._wants_portal = True
        self._news.set()
