"""gRPC's message framing: each message behind a flag byte and a length of four bytes."""

from __future__ import annotations

import struct

__all__ = ["MAX_MESSAGE", "PREFIX_SIZE", "MessageError", "MessageReader", "prefix"]

MAX_MESSAGE = 16 << 20
"""Bytes of one received message; the daemon's own limit (S8), four times that of Go's session (X4)."""

PREFIX_SIZE = 5

_PREFIX = struct.Struct(">BL")


def prefix(size: int) -> bytes:
    """The five bytes before a message of ``size`` bytes that is not compressed."""
    return _PREFIX.pack(0, size)


class MessageError(ValueError):
    """A message that can not be taken; its call ends.

    Attributes:
        compressed: it is compressed, which was not offered; else it is too long.
    """

    def __init__(self, text: str, *, compressed: bool) -> None:
        super().__init__(text)
        self.compressed = compressed


class MessageReader:
    """Puts one call's messages together again.

    Args:
        limit: bytes of one message.

    Attributes:
        pending: bytes kept of a message that is not whole yet.
    """

    __slots__ = ("_limit", "_need", "_parts", "pending")

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._need = PREFIX_SIZE
        self.pending = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, cut anywhere; the messages that they complete.

        Raises:
            MessageError: a message is compressed or too long.
        """
        if self.pending:
            self._parts.append(data)
            self.pending += len(data)
            if self.pending < self._need:
                return []
            data = b"".join(self._parts)
            self._parts.clear()
        found: list[bytes] = []
        pos, end = 0, len(data)
        self._need = PREFIX_SIZE
        while end - pos >= PREFIX_SIZE:
            flag, size = _PREFIX.unpack_from(data, pos)
            if flag:
                raise MessageError("a message is compressed; send it as it is", compressed=True)
            if size > self._limit:
                raise MessageError(
                    f"received message larger than max ({size} vs. {self._limit})", compressed=False
                )
            stop = pos + PREFIX_SIZE + size
            if stop > end:
                self._need = PREFIX_SIZE + size
                break
            found.append(data[pos + PREFIX_SIZE : stop])
            pos = stop
        self.pending = end - pos
        if pos < end:
            self._parts.append(data[pos:])
        return found
