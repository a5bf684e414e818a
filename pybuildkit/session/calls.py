"""What a service of the session sees of one call from the daemon, and how it answers.

Two kinds of services stand on this. A *machine* (``Machine``) is driven by the session's own thread:
it is told of messages, and asked for output when there is room; it may do bounded blocking file I/O there and
never waits. A *coroutine handler* (``AsyncHandler``) runs on the user's event loop, for whatever must wait:
secrets, credentials, sockets. Bulk goes through machines, the rest through coroutines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import IntEnum
from typing import Protocol, TypeAlias

from pybuildkit._values import dataclass

__all__ = [
    "AsyncCall",
    "AsyncHandler",
    "Buffer",
    "Call",
    "CallMetadata",
    "Chooser",
    "Code",
    "Handlers",
    "Machine",
    "MachineFactory",
    "Service",
    "Status",
    "StatusError",
]

Buffer: TypeAlias = bytes | bytearray | memoryview

CallMetadata: TypeAlias = Mapping[str, Sequence[str]]
"""Request metadata: lower-case key to its values in order. ``-bin`` values stay base64."""


class Code(IntEnum):
    """gRPC status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended: a code, a text, and typed details as ``(type_url, value)`` pairs."""

    code: Code = Code.OK
    message: str = ""
    details: tuple[tuple[str, bytes], ...] = ()


class StatusError(Exception):
    """Raised by a handler to end its call with that status; anything else raised becomes UNKNOWN with its text."""

    def __init__(self, code: Code, message: str, details: tuple[tuple[str, bytes], ...] = ()) -> None:
        super().__init__(message)
        self.status = Status(code, message, details)


class Call(Protocol):
    """One call from the daemon, as a machine sees it. Not thread-safe: session thread only."""

    @property
    def method(self) -> str:
        """As ``/moby.filesync.v1.FileSync/DiffCopy``."""
        ...

    @property
    def metadata(self) -> CallMetadata:
        """The request's metadata."""
        ...

    def send(self, *parts: Buffer) -> None:
        """Queue one message, given in parts. Never blocks; the machine watches ``room``."""
        ...

    def send_framed(self, *buffers: Buffer) -> None:
        """Queue bytes that are already length-prefixed gRPC messages, whole or cut anywhere."""
        ...

    @property
    def room(self) -> int:
        """How many bytes may be queued before the machine should stop until ``pull`` comes again."""
        ...

    def finish(self, status: Status = Status()) -> None:
        """End the call; what is queued goes out first. Later messages are dropped."""
        ...


class Machine(Protocol):
    """A service's side of one call, driven by the session's thread. Raising ends the call."""

    def message(self, data: bytes) -> None:
        """The daemon sent a message."""
        ...

    def half_closed(self) -> None:
        """The daemon will send no more."""
        ...

    def pull(self) -> bool:
        """There is room: queue some output. True asks to be called again soon, even before any input."""
        ...

    def closed(self) -> None:
        """The call is over, however it ended: finished, cancelled by the daemon, or the session broke.

        Called exactly once; releases whatever the machine holds.
        """
        ...


class AsyncCall(Protocol):
    """One call from the daemon, as a coroutine handler sees it, on the user's event loop."""

    @property
    def method(self) -> str:
        """As ``/moby.buildkit.secrets.v1.Secrets/GetSecret``."""
        ...

    @property
    def metadata(self) -> CallMetadata:
        """The request's metadata."""
        ...

    async def receive(self) -> bytes | None:
        """The next message, None when the daemon will send no more."""
        ...

    async def send(self, *parts: Buffer) -> None:
        """Send one message, given in parts; waits while there is no room."""
        ...


MachineFactory: TypeAlias = Callable[[Call], Machine]
AsyncHandler: TypeAlias = Callable[[AsyncCall], Awaitable[None]]
"""Returning ends the call OK. It is cancelled when the daemon cancels the call or the session ends."""

Chooser: TypeAlias = Callable[[Call], Machine | AsyncHandler]
"""Decides by a call's metadata what serves it: a machine made for it, or a coroutine handler after all."""

Handlers: TypeAlias = Mapping[str, MachineFactory | AsyncHandler]


class Service(Protocol):
    """Something the session serves; one or several methods."""

    @property
    def machines(self) -> Mapping[str, Chooser]:
        """Full method name to what makes the machine for a call of it."""
        ...

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """Full method name to its coroutine handler."""
        ...
