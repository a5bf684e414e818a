"""Dialling a daemon in a docker container: ``buildctl dial-stdio``, run through the engine's API (N5, N15).

No docker binary is involved. Each connection is one process in the container; its standard input and
output are the bytes of the daemon's socket there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote

import anyio
import anyio.to_thread
from anyio.abc import ByteStream

from pybuildkit.errors import ConnectError, ProtocolError
from pybuildkit.transport.address import DockerContainerAddress
from pybuildkit.transport.docker_engine import Engine, find_engine
from pybuildkit.transport.endpoint import Endpoint
from pybuildkit.transport.engine_http import Answer, Upgraded, request, upgrade
from pybuildkit.transport.rawstream import STDERR, RawStream
from pybuildkit.transport.relay import relay

__all__ = ["dial"]

COMMAND = ("buildctl", "dial-stdio")

_CHUNK = 256 * 1024
_SAID_LIMIT = 4096
_SETTINGS_HEADER = 9
_SETTINGS_TYPE = 4


@asynccontextmanager
async def dial(address: DockerContainerAddress, text: str) -> AsyncGenerator[Endpoint]:
    """Find the container, and lead a private socket into it.

    Raises:
        ConfigError: the docker context does not exist, or its engine can not be reached from here.
        ConnectError: there is no such container, or it does not run.
    """
    engine = await anyio.to_thread.run_sync(find_engine, address.context)
    await _check_container(engine, address.name, text)
    tunnel = _Tunnel(engine, address.name)
    async with relay(tunnel.serve) as path:
        yield Endpoint(text, f"unix:{path}", socket_path=path, trouble=lambda: tunnel.trouble)


async def _check_container(engine: Engine, name: str, text: str) -> None:
    answer = await request(engine, "GET", f"/containers/{quote(name)}/json")
    if answer.status == 404:
        raise ConnectError(
            f"there is no container {name!r} on the docker engine at {engine.text}", address=text
        )
    if answer.status != 200:
        raise ConnectError(f"the docker engine at {engine.text} refused: {answer.message}", address=text)
    state = answer.json().get("State", {})
    if not state.get("Running") or state.get("Paused"):
        what = state.get("Status", "not running")
        raise ConnectError(f"container {name!r} is {what}; start it with 'docker start {name}'", address=text)


class _Tunnel:
    """Runs the command for each connection, and remembers why the last one broke."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self._container = container
        self.trouble = ""

    async def serve(self, local: ByteStream) -> None:
        """Be one connection: a process in the container, and bytes both ways until one side ends."""
        said = _Said()
        try:
            exec_id = await self._create_exec()
            async with upgrade(
                self._engine, f"/exec/{exec_id}/start", {"Detach": False, "Tty": False}
            ) as remote:
                if isinstance(remote, Answer):
                    raise ConnectError(remote.message, address=self._container)
                await _pump(local, remote, said)
            if said:
                code = (await request(self._engine, "GET", f"/exec/{exec_id}/json")).json().get("ExitCode")
                self._remember(f"{said} (exit code {code})")
        except ConnectError as exc:
            self._remember(str(exc))

    async def _create_exec(self) -> str:
        answer = await request(
            self._engine,
            "POST",
            f"/containers/{quote(self._container)}/exec",
            {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": COMMAND},
        )
        if answer.status != 201:
            raise ConnectError(answer.message, address=self._container)
        return str(answer.json()["Id"])

    def _remember(self, what: str) -> None:
        self.trouble = f"'{' '.join(COMMAND)}' in container {self._container!r}: {what}"


class _Said:
    """The last of what the process said that was meant for people."""

    def __init__(self) -> None:
        self._text = bytearray()

    def add(self, data: bytes) -> None:
        self._text += data
        del self._text[:-_SAID_LIMIT]

    def __bool__(self) -> bool:
        return bool(self._text)

    def __str__(self) -> str:
        return self._text.decode(errors="replace").strip()


async def _pump(local: ByteStream, remote: Upgraded, said: _Said) -> None:
    """Bytes both ways, until one side ends; then both do: gRPC knows no half-closed connections."""
    async with anyio.create_task_group() as group:

        async def one_way(copy: Callable[[], Awaitable[None]]) -> None:
            # How a connection ends, politely or not, is nothing to report: grpc sees it too.
            try:
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await copy()
            except ProtocolError as exc:
                said.add(str(exc).encode())
            group.cancel_scope.cancel()

        group.start_soon(one_way, lambda: _upwards(local, remote.stream))
        group.start_soon(one_way, lambda: _downwards(remote, local, said))


async def _upwards(local: ByteStream, remote: ByteStream) -> None:
    while True:
        await remote.send(await local.receive(_CHUNK))


async def _downwards(remote: Upgraded, local: ByteStream, said: _Said) -> None:
    frames, greeting, data = RawStream(), _Greeting(), remote.early
    while True:
        for kind, piece in frames.feed(data):
            theirs, words = (b"", piece) if kind == STDERR else greeting.sort(piece)
            said.add(words)
            if theirs:
                await local.send(theirs)
        data = await remote.stream.receive(_CHUNK)


class _Greeting:
    """Holds the first bytes back until it is clear who speaks.

    An engine that can not run the command says so where the daemon's bytes should be, on the process'
    standard output. An HTTP/2 server's first frame is SETTINGS, on stream 0, of entries of six bytes.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._is_daemon: bool | None = None

    def sort(self, data: bytes) -> tuple[bytes, bytes]:
        """What is the daemon's by now, and what is for people."""
        if self._is_daemon is None:
            self._held += data
            if len(self._held) < _SETTINGS_HEADER:
                return b"", b""
            size, stream = int.from_bytes(self._held[:3], "big"), int.from_bytes(self._held[5:9], "big")
            self._is_daemon = self._held[3] == _SETTINGS_TYPE and size % 6 == 0 and stream == 0
            data = bytes(self._held)
        return (data, b"") if self._is_daemon else (b"", data)
