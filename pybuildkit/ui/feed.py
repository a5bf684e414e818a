"""Feeding a display from a build, without letting a slow terminal hold up the build's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import anyio
from anyio import to_thread

from pybuildkit.events import SolveStatus
from pybuildkit.ui.display import Display

__all__ = ["show", "show_batches"]

REFRESH = 0.15
"""Seconds without news after which the display is refreshed (P2)."""


class Watched(Protocol):
    """The part of a build that a display needs."""

    def status(self) -> AsyncIterator[SolveStatus]:
        """The daemon's batches of progress."""
        ...


async def show(build: Watched, display: Display) -> None:
    """Show a build's progress until it ends. Only one may read a build's progress."""
    await show_batches(build.status(), display)


async def show_batches(batches: AsyncIterator[SolveStatus], display: Display) -> None:
    """Show batches of progress until there are no more."""
    lock = anyio.Lock()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_refresh, display, lock)
        try:
            async for batch in batches:
                async with lock:
                    await to_thread.run_sync(display.update, batch)
        finally:
            tasks.cancel_scope.cancel()
    await to_thread.run_sync(display.done)


async def _refresh(display: Display, lock: anyio.Lock) -> None:
    while True:
        await anyio.sleep(REFRESH)
        async with lock:
            await to_thread.run_sync(display.refresh)
