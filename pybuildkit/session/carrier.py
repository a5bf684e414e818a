"""The seam under the session: what carries the bytes of its HTTP/2 connection to the daemon and back.

A carrier has two sides. The session's *thread* takes what has arrived, writes when there is room, and sleeps in
``wait``. The *event loop* runs ``run`` for as long as the session lasts; a carrier that does its I/O in the thread has
nothing to do there. Nothing above knows which carrier it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from pybuildkit import _wire
from pybuildkit.rpc.channel import Metadata
from pybuildkit.session.calls import Buffer

__all__ = ["BATCH", "SESSION", "Carrier", "CarrierFactory", "decode_bytes_message", "encode_bytes_message"]

SESSION = "/moby.buildkit.v1.Control/Session"
"""The method whose stream carries the connection (S1)."""

BATCH = 256 << 10
"""Bytes of one BytesMessage at most: beyond that the gain is noise."""


class Carrier(Protocol):
    """What carries a session's bytes. Thread side, but for ``wake`` (any thread) and ``run`` (event loop).

    Attributes:
        unit: the frame size below, 0 when it does not matter: data is cut so that it ends where a frame ends.
        overhead: bytes that the carrier puts before each write, in the first frame.
    """

    unit: int
    overhead: int

    def take(self) -> list[bytes]:
        """What has arrived."""
        ...

    @property
    def ended(self) -> bool:
        """Nothing more will arrive, once ``take`` gives nothing."""
        ...

    @property
    def error(self) -> Exception | None:
        """Why it ended, when it did not end well."""
        ...

    def room(self) -> int:
        """How many bytes ``write`` takes now."""
        ...

    def write(self, buffers: Sequence[Buffer], size: int) -> None:
        """Send buffers of ``size`` bytes in all; they may be kept until they are sent."""
        ...

    def finish_writing(self) -> None:
        """Nothing more will be written."""
        ...

    def wait(self, timeout: float | None) -> None:
        """Sleep until something has arrived, room came back, ``wake`` was called, or the time is over."""
        ...

    def wake(self) -> None:
        """End the ``wait`` under way, or the next one."""
        ...

    def close(self) -> None:
        """The thread is about to end: it will neither take nor write any more."""
        ...

    async def run(self) -> None:
        """Move bytes until both directions have ended. Errors go into ``error``; it raises only cancellation."""
        ...


CarrierFactory: TypeAlias = Callable[[Metadata], AbstractAsyncContextManager[Carrier]]
"""Opens the session's stream with that metadata (S2)."""

_TAG = b"\x0a"


def encode_bytes_message(buffers: Sequence[Buffer], size: int) -> bytes:
    """A BytesMessage of all the buffers (T25)."""
    return b"".join((_TAG, _wire.varint(size), *buffers))


def decode_bytes_message(message: bytes) -> bytes:
    """The data of a BytesMessage.

    Raises:
        ProtoDecodeError: it is none.
    """
    if message[:1] == _TAG:
        size, start = _wire.read_varint(message, 1, len(message))
        if start + size == len(message):
            return message[start:]
    return _wire.first(message, 1)
