"""A build's progress on a display that can be stopped before the build ends, so that something else has the screen."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from pybuildkit.events import SolveStatus
from pybuildkit.ui import open_display
from pybuildkit.ui.feed import show_batches

__all__ = ["Shown"]

LAG = 2.0
"""Seconds that progress may be behind."""


class Shown:
    """Shows what it is given until it is stopped; what comes later is dropped.

    Args:
        mode: how, see ``open_display``.
    """

    def __init__(self, mode: str) -> None:
        self._display = open_display(mode)
        self._send, self._receive = anyio.create_memory_object_stream[SolveStatus](math.inf)
        self._done = anyio.Event()
        self._news = anyio.Event()
        self._running: set[str] = set()
        self._ended: set[str] = set()
        self._stopped = False
        self._tasks: TaskGroup | None = None

    @property
    def shows_logs(self) -> bool:
        """Whether steps' output is shown."""
        return self._display.shows_logs

    def put(self, status: SolveStatus) -> None:
        """Show a batch."""
        if self._stopped:
            return
        self._send.send_nowait(status)
        for vertex in status.vertexes:
            if vertex.completed is not None:
                self._running.discard(vertex.digest)
                self._ended.add(vertex.digest)
            elif vertex.started is not None:
                self._running.add(vertex.digest)
        self._news.set()
        self._news = anyio.Event()

    async def stop(self, failed: str = "") -> None:
        """Show what has come, and no more.

        Args:
            failed: the digest of the vertex that failed: progress lags behind errors, and its end must be seen.
        """
        with anyio.move_on_after(LAG):
            while self._running or (failed and failed not in self._ended):
                await self._news.wait()
        self._close()
        await self._done.wait()

    def _close(self) -> None:
        self._stopped = True
        self._send.close()

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._show)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        self._close()
        return await self._tasks.__aexit__(kind, error, trace)

    async def _show(self) -> None:
        try:
            await show_batches(self._receive, self._display)
        finally:
            self._done.set()
