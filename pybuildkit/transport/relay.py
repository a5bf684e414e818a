"""A private unix socket that leads somewhere else: grpc can connect to sockets only, not to a stream of ours."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import ByteStream

__all__ = ["relay"]


@asynccontextmanager
async def relay(serve: Callable[[ByteStream], Awaitable[None]]) -> AsyncGenerator[str]:
    """Listen on a socket that only this user can reach, while the context lasts.

    Args:
        serve: is called with each connection, in a task of its own; the connection is closed when it
            returns. What it raises ends the context: it must deal with what can be expected to break.

    Yields:
        The socket's path.
    """
    folder = Path(await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="pybuildkit-dial-")))
    error: BaseException | None = None
    try:
        path = folder / "buildkitd.sock"
        listener = await anyio.create_unix_listener(path, mode=0o600)

        async def handle(connection: ByteStream) -> None:
            async with connection:
                await serve(connection)

        async with anyio.create_task_group() as group, listener:
            group.start_soon(listener.serve, handle)
            try:
                yield str(path)
            except BaseException as exc:  # noqa: BLE001 - raised again below, bare, not inside a group
                error = exc
            finally:
                group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
    if error is not None:
        raise error
