"""The daemon's content store: blobs of history and of images, read by digest (C4, C35)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from pybuildkit import _wire as wire
from pybuildkit._wire import field_bytes, field_varint, fields, signed
from pybuildkit.digests import parse_digest
from pybuildkit.errors import ConfigError, ContentError

if TYPE_CHECKING:
    from pybuildkit.rpc.channel import Channel

__all__ = ["INFO", "READ", "Content", "decode_info", "decode_piece", "encode_read_request"]

_SERVICE = "/containerd.services.content.v1.Content/"
INFO = f"{_SERVICE}Info"
READ = f"{_SERVICE}Read"

READ_LIMIT = 64 << 20
"""Bytes that ``read`` takes into memory by default."""


class Content:
    """Reads blobs from the daemon: ``client.content``.

    The daemon gives what its history refers to (logs, traces, attestations, errors) and what is in its image store;
    nothing can be written.
    """

    def __init__(self, connected: Callable[[], Channel]) -> None:
        self._connected = connected

    async def size(self, digest: str) -> int:
        """How many bytes a blob has.

        Raises:
            ConfigError: the text is no digest.
            NotFound: the daemon has no such blob.
        """
        parse_digest(digest)
        return decode_info(await self._connected().unary(INFO, field_bytes(1, digest.encode())))

    async def stream(self, digest: str) -> AsyncGenerator[bytes, None]:
        """A blob in pieces, as they come. They are the blob's only when the iteration ends without an error.

        Leave it early with ``contextlib.aclosing`` around it, so that the call ends with the loop.

        Raises:
            ConfigError: the text is no digest.
            NotFound: the daemon has no such blob.
            ContentError: the bytes do not have that digest.
        """
        algorithm, value = parse_digest(digest)
        seen = hashlib.new(algorithm)
        async with self._connected().server_stream(READ, encode_read_request(digest)) as stream:
            async for message in stream:
                piece = decode_piece(message)
                seen.update(piece)
                yield piece
        if seen.hexdigest() != value:
            raise ContentError(
                f"the daemon's blob {digest} has the digest {algorithm}:{seen.hexdigest()}; its store is damaged",
                reason="mismatch",
            )

    async def read(self, digest: str, *, limit: int = READ_LIMIT) -> bytes:
        """A whole blob.

        Args:
            digest: as ``sha256:...``.
            limit: bytes that may be taken into memory; ``stream`` has none.

        Raises:
            ConfigError: the text is no digest.
            NotFound: the daemon has no such blob.
            ContentError: the blob is longer than ``limit``, or its bytes do not have that digest.
        """
        if limit < 0:
            raise ConfigError(f"limit={limit!r} must be a number of bytes from 0 on")
        parts: list[bytes] = []
        total = 0
        async with aclosing(self.stream(digest)) as pieces:
            async for piece in pieces:
                total += len(piece)
                if total > limit:
                    raise ContentError(
                        f"the daemon's blob {digest} is longer than limit={limit}; raise it, or use stream()",
                        reason="range",
                    )
                parts.append(piece)
        return b"".join(parts)


def encode_read_request(digest: str, offset: int = 0, size: int = 0) -> bytes:
    """``ReadContentRequest``; all behind the offset when the size is 0."""
    return field_bytes(1, digest.encode()) + field_varint(2, offset) + field_varint(3, size)


def decode_piece(message: bytes) -> bytes:
    """The data of a ``ReadContentResponse``."""
    return wire.first(message, 2)


def decode_info(message: bytes) -> int:
    """The size in an ``InfoResponse``."""
    return next(
        (signed(v) for n, v in fields(wire.first(message, 1)) if n == 2 and isinstance(v, int)),
        0,
    )
