"""The little HTTP that the engine's API needs: a request with an answer, and one that becomes a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import ByteStream

from pybuildkit._values import dataclass
from pybuildkit.errors import ConnectError
from pybuildkit.transport.docker_engine import Engine

__all__ = ["Answer", "Upgraded", "request", "upgrade"]

_SECONDS = 30.0
_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, an object; empty when it is none."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    @property
    def message(self) -> str:
        """What the engine says is wrong."""
        return str(self.json().get("message") or self.body.decode(errors="replace")).strip()


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A connection that is a plain stream from now on, and the bytes that have come already."""

    stream: ByteStream
    early: bytes


async def request(engine: Engine, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
    """Send one request and read the whole answer.

    Raises:
        ConnectError: the engine can not be reached, or does not speak HTTP.
    """
    with _translated(engine), anyio.fail_after(_SECONDS):
        # By HTTP/1.0 the answer is never chunked, and ends with the connection.
        async with await _connect(engine) as stream:
            await stream.send(_head(engine, method, path, body, "HTTP/1.0"))
            head = await _read_head(engine, stream)
            return Answer(head.status, await _read_body(stream, head, _BODY_LIMIT))


@asynccontextmanager
async def upgrade(engine: Engine, path: str, body: Mapping[str, object]) -> AsyncGenerator[Upgraded | Answer]:
    """Send one POST that turns the connection into a stream, while the context lasts.

    Gives an ``Answer`` instead when the engine refuses.

    Raises:
        ConnectError: the engine can not be reached, or does not speak HTTP.
    """
    with _translated(engine), anyio.fail_after(_SECONDS):
        stream = await _connect(engine)
    async with stream:
        with _translated(engine), anyio.fail_after(_SECONDS):
            await stream.send(
                _head(engine, "POST", path, body, "HTTP/1.1", ("Upgrade: tcp", "Connection: Upgrade"))
            )
            head = await _read_head(engine, stream)
            upgraded = head.status in (
                101,
                200,
            )  # who does not know Upgrade answers 200, and streams all the same
            content = head.rest if upgraded else await _read_body(stream, head, head.length)
        yield Upgraded(stream, content) if upgraded else Answer(head.status, content)


class _translated:  # noqa: N801 - used as a function
    """Turns what a broken connection raises into a ConnectError that names the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (OSError, anyio.BrokenResourceError, anyio.EndOfStream)):
            if isinstance(error, ConnectError):
                return
            reason = (
                "it did not answer in time" if isinstance(error, TimeoutError) else str(error) or "it hung up"
            )
            raise ConnectError(
                f"the docker engine at {self._engine.text} can not be reached: {reason}",
                address=self._engine.text,
            ) from error


async def _connect(engine: Engine) -> ByteStream:
    if engine.socket_path:
        return await anyio.connect_unix(engine.socket_path)
    if engine.tls is None:
        return await anyio.connect_tcp(engine.host, engine.port)
    return await anyio.connect_tcp(
        engine.host,
        engine.port,
        ssl_context=engine.tls,
        tls_hostname=engine.host,
        tls_standard_compatible=False,
    )


def _head(
    engine: Engine,
    method: str,
    path: str,
    body: Mapping[str, object] | None,
    version: str,
    more: tuple[str, ...] = (),
) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} {version}", f"Host: {engine.host or 'docker'}", *more]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands before a body: the status, its length, 0 when that is not said, and the first bytes of it."""

    status: int
    length: int
    rest: bytes


async def _read_head(engine: Engine, stream: ByteStream) -> _Head:
    head = bytearray()
    while b"\r\n\r\n" not in head and len(head) <= _HEAD_LIMIT:
        head += await stream.receive()
    text, _, rest = bytes(head).partition(b"\r\n\r\n")
    first, *lines = text.split(b"\r\n")
    words = first.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ConnectError(f"what answers at {engine.text} is not a docker engine", address=engine.text)
    lengths = [
        value
        for name, _, value in (line.partition(b":") for line in lines)
        if name.lower() == b"content-length"
    ]
    length = int(lengths[0]) if lengths and lengths[0].strip().isdigit() else 0
    return _Head(int(words[1]), length, rest)


async def _read_body(stream: ByteStream, head: _Head, limit: int) -> bytes:
    """The body up to so many bytes, or to its end."""
    body = bytearray(head.rest)
    while len(body) < limit:
        try:
            body += await stream.receive()
        except anyio.EndOfStream:
            break
    return bytes(body)
