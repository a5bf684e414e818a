"""A private unix socket that leads somewhere else: grpc can connect to sockets only, not to a stream of ours."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import ByteStream

__all__ = ["relay"]


@asynccontextmanager
async def relay(serve: Callable[[ByteStream], Awaitable[None]]) -> AsyncGenerator[str]:
    """Listen on a socket that only this user can reach, while the context lasts.

    It runs on an event loop in a thread of its own: user code that stalls the caller's loop does not stall the
    connections, and the context may be left in another task, or another cancel scope, than it was entered in.

    Args:
        serve: is called there with each connection, in a task of its own; the connection is closed when it
            returns. What it raises ends all of them: it must deal with what can be expected to break.

    Yields:
        The socket's path.
    """
    with ExitStack() as stack:
        path = await anyio.to_thread.run_sync(_start, stack, serve)
        try:
            yield path
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(stack.close)


def _start(stack: ExitStack, serve: Callable[[ByteStream], Awaitable[None]]) -> str:
    folder = Path(tempfile.mkdtemp(prefix="pybuildkit-dial-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    portal = stack.enter_context(anyio.from_thread.start_blocking_portal("asyncio"))
    path = str(folder / "buildkitd.sock")
    stack.enter_context(portal.wrap_async_context_manager(_listening(path, serve)))
    return path


@asynccontextmanager
async def _listening(path: str, serve: Callable[[ByteStream], Awaitable[None]]) -> AsyncGenerator[None]:
    async def handle(connection: ByteStream) -> None:
        async with connection:
            await serve(connection)

    async with (
        await anyio.create_unix_listener(path, mode=0o600) as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, handle)
        yield
        group.cancel_scope.cancel()
