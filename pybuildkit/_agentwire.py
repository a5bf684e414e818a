"""The protocol of SSH agents: messages behind their length, and what is in them.

One question, one answer, in order. The numbers are those of the IETF's draft on SSH agents.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = [
    "EXTENSION",
    "EXTENSION_FAILURE",
    "FAILURE",
    "IDENTITIES_ANSWER",
    "MAX_MESSAGE",
    "REQUEST_IDENTITIES",
    "SIGN_REQUEST",
    "SIGN_RESPONSE",
    "AgentWireError",
    "Fields",
    "Splitter",
    "framed",
    "is_harmless",
    "number",
    "refusal",
    "string",
]

FAILURE = 5
REQUEST_IDENTITIES = 11
IDENTITIES_ANSWER = 12
SIGN_REQUEST = 13
SIGN_RESPONSE = 14
EXTENSION = 27
EXTENSION_FAILURE = 28

MAX_MESSAGE = 256 << 10
"""Bytes of one message: what OpenSSH's agent takes."""

_HARMLESS_EXTENSIONS = frozenset([b"query", b"session-bind@openssh.com"])
"""The first lists extensions. The second tells the agent for which server it will be asked to sign, so that keys that
are only for some can be used for those (OpenSSH 8.9); it can but forbid more."""


class AgentWireError(ValueError):
    """The bytes are no message of the protocol."""


class Splitter:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole now; take all of them before feeding more.

        Raises:
            AgentWireError: one is empty or too long.
        """
        self._data += data
        while len(self._data) >= 4:
            size = int.from_bytes(self._data[:4])
            if not 0 < size <= MAX_MESSAGE:
                raise AgentWireError(f"a message of {size:,} bytes")
            if len(self._data) < 4 + size:
                return
            message = bytes(self._data[4 : 4 + size])
            del self._data[: 4 + size]
            yield message


class Fields:
    """Reads the parts of a message, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """A 32-bit number.

        Raises:
            AgentWireError: the message ends before.
        """
        return int.from_bytes(self._take(4))

    def string(self) -> bytes:
        """Bytes behind their length.

        Raises:
            AgentWireError: the message ends before.
        """
        return self._take(self.number())

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise AgentWireError("a message is cut off")
        found, self._at = self._data[self._at : end], end
        return found


def number(value: int) -> bytes:
    """A 32-bit number."""
    return value.to_bytes(4)


def string(data: bytes) -> bytes:
    """Bytes behind their length."""
    return number(len(data)) + data


def framed(message: bytes) -> bytes:
    """A message as it travels."""
    return string(message)


def is_harmless(request: bytes) -> bool:
    """Whether a request neither changes the agent nor takes anything out of it: listing keys, and signing."""
    if request[0] in {REQUEST_IDENTITIES, SIGN_REQUEST}:
        return True
    if request[0] != EXTENSION:
        return False
    try:
        return Fields(request[1:]).string() in _HARMLESS_EXTENSIONS
    except AgentWireError:
        return False


def refusal(request: bytes) -> bytes:
    """What a request is answered that is not let through."""
    return bytes([EXTENSION_FAILURE if request[0] == EXTENSION else FAILURE])
