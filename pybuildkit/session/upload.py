"""``moby.upload.v1.Upload``: streams that the daemon reads as if they were behind a URL (S89)."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing
from typing import BinaryIO, Protocol, TypeAlias, runtime_checkable

import anyio
from anyio import to_thread

from pybuildkit import _wire
from pybuildkit.errors import ConfigError, TransferError
from pybuildkit.session.calls import AsyncCall, AsyncHandler, Code, MachineFactory, StatusError
from pybuildkit.session.offer import new_id

__all__ = ["PULL", "UploadSource", "Uploads"]

PULL = "/moby.upload.v1.Upload/Pull"

_URL = "http://buildkit-session/"
_PATH = "urlpath"

READ = 1 << 20
"""Bytes that are read of a file at once."""

CHUNK = 3 << 20
"""Bytes of one message at most (S89)."""


@runtime_checkable
class ByteReceiver(Protocol):
    """A stream of bytes as anyio has it."""

    async def receive(self) -> bytes:
        """The next bytes; raises ``anyio.EndOfStream`` at the end."""
        ...


UploadSource: TypeAlias = "bytes | os.PathLike[str] | BinaryIO | AsyncIterable[bytes] | ByteReceiver"
"""Bytes, a file's path, a file object in binary mode, or a stream of bytes."""


class Uploads:
    """Streams for builds, each behind a URL that only the build can read, and only once.

    Give it to the build as ``uploads=``, and the URL to whatever takes one: the context of a Dockerfile build (a tar
    archive, or a Dockerfile), ``llb.http``. A file object is read in a thread, and stays open.
    """

    def __init__(self) -> None:
        self._sources: dict[str, UploadSource] = {}
        self.failed: dict[str, Exception] = {}
        """What could not be read, by URL."""

    def add(self, source: UploadSource) -> str:
        """Offer a stream.

        Returns:
            Its URL, as ``http://buildkit-session/<id>``.

        Raises:
            ConfigError: it is nothing that can be read.
        """
        kinds = (bytes, bytearray, memoryview, os.PathLike, AsyncIterable, ByteReceiver)
        if isinstance(source, str) or not (
            isinstance(source, kinds) or callable(getattr(source, "read", None))
        ):
            raise ConfigError(
                f"an upload can not be {type(source).__name__}: give bytes, a Path, a binary file or a byte stream"
            )
        name = new_id()
        self._sources[name] = source
        return _URL + name

    @property
    def machines(self) -> Mapping[str, MachineFactory]:
        """See ``Service.machines``."""
        return {}

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {PULL: self._pull}

    async def _pull(self, call: AsyncCall) -> None:
        paths = call.metadata.get(_PATH, ())
        name = (paths[0] if paths else "").rpartition("/")[2]
        source = self._sources.pop(name, None)
        if source is None:
            raise StatusError(Code.UNKNOWN, f"no http response from session for {name}")
        try:
            async with aclosing(_pieces(source)) as pieces:
                async for data in pieces:
                    for at in range(0, len(data), CHUNK):
                        await call.send(_wire.field_bytes(1, data[at : at + CHUNK]))
        except Exception as exc:  # noqa: BLE001 - streams of users raise what they like
            self.failed[_URL + name] = exc
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
            raise StatusError(Code.UNKNOWN, f"the upload can not be read: {reason}") from None


async def _pieces(source: UploadSource) -> AsyncGenerator[bytes, None]:
    """The stream in pieces of any size.

    Raises:
        TransferError: a piece is not bytes.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        yield bytes(source)
    elif isinstance(source, os.PathLike):
        async with await anyio.open_file(os.path.expanduser(source), "rb") as file:  # noqa: ASYNC240, PTH111 - no I/O
            while data := await file.read(READ):
                yield data
    elif isinstance(source, AsyncIterable):
        async for data in source:
            yield _checked(data)
    elif isinstance(source, ByteReceiver):
        while True:
            try:
                data = await source.receive()
            except anyio.EndOfStream:
                return
            yield _checked(data)
    else:
        read = source.read
        while data := _checked(await to_thread.run_sync(read, READ)):
            yield data


def _checked(data: object) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TransferError(f"an upload gave {type(data).__name__}, it must give bytes")
