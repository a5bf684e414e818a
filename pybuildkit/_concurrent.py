"""Several calls at once, with the error of the first that fails as it is, and not in a group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import anyio

__all__ = ["run_all"]


async def run_all(calls: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Run calls at the same time until all have ended; the first error cancels the others and is raised."""
    failure: Exception | None = None

    async def run(call: Callable[[], Awaitable[object]]) -> None:
        nonlocal failure
        try:
            await call()
        except Exception as exc:  # noqa: BLE001 - raised again below, out of the group's wrapping
            failure = failure or exc
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(run, call)
    if failure is not None:
        raise failure
