"""The little HTTP that the engine's API needs: a request with an answer, and one that becomes a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import ByteStream

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
            status, rest = await _read_head(engine, stream)
            content = bytearray(rest)
            while len(content) < _BODY_LIMIT:
                try:
                    content += await stream.receive()
                except anyio.EndOfStream:
                    break
            return Answer(status, bytes(content))


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
            status, rest = await _read_head(engine, stream)
        if status in (101, 200):  # engines that do not know Upgrade answer 200, and stream all the same
            yield Upgraded(stream, rest)
        else:
            yield Answer(status, rest)


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


async def _read_head(engine: Engine, stream: ByteStream) -> tuple[int, bytes]:
    """The status, and the bytes behind the headers that have come along."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        if len(head) > _HEAD_LIMIT:
            break
        head += await stream.receive()
    lines, _, rest = bytes(head).partition(b"\r\n\r\n")
    words = lines.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ConnectError(f"what answers at {engine.text} is not a docker engine", address=engine.text)
    return int(words[1]), rest
