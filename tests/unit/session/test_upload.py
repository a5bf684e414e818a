"""Uploads, pulled as the daemon pulls them."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from pybuildkit import _wire
from pybuildkit.errors import ConfigError
from pybuildkit.session.calls import Code, Status
from pybuildkit.session.upload import PULL
from pybuildkit.uploads import Uploads
from tests.support import fakedaemon
from tests.support.fakedaemon import FakeDaemon, fake_daemon


@pytest.fixture(autouse=True, params=["memory", "socket"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to carry a session."""
    monkeypatch.setattr(fakedaemon, "CARRIER", request.param)


async def pull(daemon: FakeDaemon, url: str) -> tuple[bytes, int, Status]:
    """The content, the size of the biggest message, and how it ended."""
    _, _, host, path = url.split("/", 3)
    content, biggest = b"", 0
    async with daemon.call(PULL, {"urlpath": [f"/{path}"], "urlhost": [host]}) as call:
        async for message in call:
            piece = _wire.first(message, 1)
            content += piece
            biggest = max(biggest, len(piece))
        return content, biggest, await call.status()


async def pieces() -> AsyncIterator[bytes]:
    yield b"one "
    yield b""
    yield b"two"


async def test_what_can_be_uploaded(tmp_path: Path) -> None:
    """S89."""
    (tmp_path / "file").write_bytes(b"in a file")
    send, receive = anyio.create_memory_object_stream[bytes](3)
    async with send:
        for piece in (b"in ", b"a ", b"stream"):
            await send.send(piece)
    file = io.BytesIO(b"in an object")
    sources: dict[Any, bytes] = {
        b"bytes": b"bytes",
        b"": b"",
        tmp_path / "file": b"in a file",
        file: b"in an object",
        pieces(): b"one two",
        receive: b"in a stream",
    }
    uploads = Uploads()
    async with fake_daemon(uploads) as daemon:
        for source, content in sources.items():
            url = uploads.add(source)
            assert re.fullmatch(r"http://buildkit-session/[0-9a-z]{25}", url)
            found, _, status = await pull(daemon, url)
            assert (found, status) == (content, Status())
    receive.close()
    assert not file.closed
    assert uploads.failed == {}


async def test_messages_have_three_mebibytes_at_most() -> None:
    """S89."""
    content = bytes(range(256)) * 30_000
    uploads = Uploads()
    async with fake_daemon(uploads) as daemon:
        assert await pull(daemon, uploads.add(content)) == (content, 3 << 20, Status())


async def test_once_only() -> None:
    """S89: what is not there, or no longer, is an error."""
    uploads = Uploads()
    url = uploads.add(b"x")
    async with fake_daemon(uploads) as daemon:
        assert (await pull(daemon, url))[0] == b"x"
        for path in (url, "http://buildkit-session/unknown", "http://buildkit-session/"):
            name = path.rpartition("/")[2]
            status = Status(Code.UNKNOWN, f"no http response from session for {name}")
            assert await pull(daemon, path) == (b"", 0, status)
        _, status = await daemon.unary(PULL)
        assert status == Status(Code.UNKNOWN, "no http response from session for ")


class Broken(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        raise ValueError("hunter2")


async def wrong() -> AsyncIterator[Any]:
    yield "text"


async def test_what_can_not_be_read(tmp_path: Path) -> None:
    """The daemon is told no more than it may know, and the error is kept."""
    uploads = Uploads()
    cases: list[tuple[Any, str]] = [
        (tmp_path / "missing", "No such file or directory"),
        (Broken(), "ValueError"),
        (wrong(), "TransferError"),
        (io.StringIO("text"), "TransferError"),
    ]
    async with fake_daemon(uploads) as daemon:
        for source, text in cases:
            url = uploads.add(source)
            assert await pull(daemon, url) == (
                b"",
                0,
                Status(Code.UNKNOWN, f"the upload can not be read: {text}"),
            )
            assert url in uploads.failed


@pytest.mark.parametrize("source", ["path or text", None, 7, ["x"]])
async def test_what_is_no_upload(source: Any) -> None:
    with pytest.raises(ConfigError, match="an upload can not be"):
        Uploads().add(source)


async def test_a_slow_reader_holds_the_stream_back() -> None:
    """Memory stays flat: what is not read on the other side is not read here."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield bytes(1 << 20)

    uploads = Uploads()
    async with fake_daemon(uploads) as daemon:
        path = uploads.add(endless()).removeprefix("http://buildkit-session")
        async with daemon.call(PULL, {"urlpath": [path]}) as call:
            await call.receive()
            await anyio.sleep(0.3)
            assert read < 16
