"""Running coroutines of a client's event loop from threads that block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

__all__ = ["borrow_texts", "call_in", "pull"]

T = TypeVar("T")


def call_in(portal: BlockingPortal, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a coroutine function in the portal's thread and wait; whatever ends the wait early cancels it."""
    future = portal.start_task_soon(partial(function, *args, **kwargs))
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def pull(portal: BlockingPortal, source: AsyncIterator[T]) -> Iterator[T]:
    """Iterate over something asynchronous; leaving the loop early ends it there too."""
    end: Any = object()

    async def following() -> Any:
        return await anext(source, end)

    try:
        while (item := call_in(portal, following)) is not end:
            yield item
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            call_in(portal, close)


def borrow_texts(kind: type, twin: type) -> None:
    """Give the methods that have no text of their own that of their namesakes."""
    for name, member in vars(kind).items():
        other = getattr(twin, name, None)
        if not name.startswith("_") and not member.__doc__ and other is not None:
            member.__doc__ = other.__doc__
