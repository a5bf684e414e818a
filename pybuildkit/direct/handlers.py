"""Coroutine handlers of a session that has no event loop: they get one, in a thread, when the daemon first calls one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from pybuildkit.session.calls import AsyncHandler, Call, Chooser, Machine, MachineFactory

if TYPE_CHECKING:
    from anyio.abc import TaskStatus
    from anyio.from_thread import BlockingPortal

    from pybuildkit.session.bridge import Bridge

__all__ = ["HandlerLoop"]


class HandlerLoop:
    """Runs coroutine handlers in an event loop of their own, started by the first call of one.

    Most cached builds call none, and the loop's modules are half of what there is to import.

    Args:
        post: hands a function to the session's thread.
        failures: takes what handlers raise, with the method.
        portal: gives a running event loop to use, instead of a new one.
    """

    def __init__(
        self,
        post: Callable[[Callable[[], None]], None],
        failures: deque[tuple[str, BaseException]],
        portal: Callable[[], BlockingPortal] | None = None,
    ) -> None:
        self._post = post
        self._failures = failures
        self._portal = portal
        self._stack = ExitStack()
        self._bridge: Bridge | None = None

    def factory(self, handler: AsyncHandler) -> MachineFactory:
        """What makes the machine for a call of that handler."""

        def make(call: Call) -> Machine:
            return self._running().factory(handler)(call)

        return make

    def chosen(self, choose: Chooser) -> MachineFactory:
        """What makes the machine for a call of which only its metadata says what serves it."""

        def make(call: Call) -> Machine:
            made = choose(call)
            return self.factory(made)(call) if callable(made) else made

        return make

    def close(self) -> None:
        """Cancel the handlers, and end the loop."""
        self._stack.close()

    def _running(self) -> Bridge:
        bridge = self._bridge
        if bridge is None:
            portal = self._portal() if self._portal is not None else self._new_portal()
            ended = threading.Event()
            future, bridge = portal.start_task(partial(self._serve, ended))
            self._bridge = bridge
            # Not only cancelled: when the build is over, its handlers are.
            self._stack.callback(ended.wait)
            self._stack.callback(future.cancel)
        return bridge

    def _new_portal(self) -> BlockingPortal:
        from anyio.from_thread import start_blocking_portal

        return self._stack.enter_context(start_blocking_portal("asyncio"))

    async def _serve(self, ended: threading.Event, *, task_status: TaskStatus[Bridge]) -> None:
        import anyio

        from pybuildkit.session.bridge import Bridge

        try:
            async with anyio.create_task_group() as tasks:
                bridge = Bridge(tasks, self._post, self._failures)
                task_status.started(bridge)
                await bridge.serve()
        finally:
            ended.set()
