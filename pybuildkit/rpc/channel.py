"""The one small interface that callers of the daemon see; what carries it is in files beside this one.

Messages are bytes on both sides: encoding belongs to the caller, so that no generated stub need be
imported to open a channel.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from pybuildkit.errors import BuildKitError

__all__ = ["Channel", "Duplex", "EagerDuplex", "Metadata", "ServerStream"]

Metadata: TypeAlias = Sequence[tuple[str, str]]
"""Request metadata: lower-case keys, repeated keys allowed."""


class ServerStream(Protocol):
    """A call with one request and many responses."""

    async def initial_metadata(self) -> Metadata:
        """The response headers, once the daemon has sent them."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Each response; ends when the daemon ends the call well, raises RPCError otherwise."""
        ...


class Duplex(Protocol):
    """A call with many messages both ways."""

    async def send(self, message: bytes) -> None:
        """Send one message; returns when the transport has taken it (backpressure).

        Raises:
            RPCError: the call has ended.
        """
        ...

    async def receive(self) -> bytes | None:
        """The next message, None when the daemon has ended the call well.

        Raises:
            RPCError: the call ended badly.
        """
        ...

    async def done_sending(self) -> None:
        """Half-close: no more messages from here."""
        ...


class EagerDuplex(Duplex, Protocol):
    """One that is also good for who waits for nothing, and is called instead.

    Attributes:
        is_eager: true; others do not have it.
    """

    is_eager: bool

    def watch(self, watcher: Callable[[], object] | None) -> None:
        """Have a function called whenever something has come, or there is room, or the call is over."""
        ...

    @property
    def has_messages(self) -> bool:
        """``take`` would give one."""
        ...

    def take(self) -> bytes:
        """The next message; there must be one."""
        ...

    @property
    def over(self) -> bool:
        """The call has ended, and all messages are taken."""
        ...

    @property
    def error(self) -> BuildKitError | None:
        """Why it ended badly."""
        ...

    @property
    def crowded(self) -> bool:
        """As much waits to be sent as may."""
        ...

    def post(self, message: bytes) -> None:
        """Send a message without waiting for room; nothing when the call has ended."""
        ...

    def post_end(self) -> None:
        """Half-close: no more messages from here."""
        ...

    def part(self, patience: float) -> None:
        """Leave the call to its end: the daemon has so many seconds for it, and is told of no cancellation before."""
        ...


class Channel(Protocol):
    """A connection to one daemon, shared by all calls of a client."""

    @property
    def address(self) -> str:
        """The address as the user gave it."""
        ...

    async def unary(
        self,
        method: str,
        request: bytes = b"",
        *,
        metadata: Metadata = (),
        timeout: float | None = None,  # noqa: ASYNC109 - the daemon is told of it too
    ) -> bytes:
        """One request, one response. Cancelling the awaiting task cancels the call in the daemon.

        Raises:
            ConnectError: nothing answers at the address.
            RPCError: the daemon refused.
        """
        ...

    def server_stream(
        self, method: str, request: bytes = b"", *, metadata: Metadata = ()
    ) -> AbstractAsyncContextManager[ServerStream]:
        """One request, many responses. Leaving the context cancels what is left of the call."""
        ...

    def duplex(self, method: str, *, metadata: Metadata = ()) -> AbstractAsyncContextManager[Duplex]:
        """Messages both ways. Leaving the context cancels what is left of the call."""
        ...

    async def aclose(self) -> None:
        """Close the connection; calls under way end with an error."""
        ...
