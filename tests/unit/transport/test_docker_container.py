"""Dialling into a container, against an engine of ours that speaks the few requests of it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from pybuildkit.errors import ConfigError, ConnectError
from pybuildkit.transport import dial
from pybuildkit.transport.rawstream import STDERR, STDOUT

# What an HTTP/2 server says first: an empty SETTINGS frame.
SETTINGS = b"\0\0\0\4\0\0\0\0\0"

RUNNING = {"State": {"Running": True, "Paused": False, "Status": "running"}}


def frame(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


class Engine:
    """An engine with one container, in which ``run`` is the process."""

    def __init__(self) -> None:
        self.container: tuple[int, Any] = (200, RUNNING)
        self.create: tuple[int, Any] = (201, {"Id": "e1"})
        self.exec_state: tuple[int, Any] = (200, {"ExitCode": 127})
        self.start_status = 101
        self.run: Callable[[ByteStream], Any] = echo
        self.asked: list[tuple[str, Any]] = []
        self.processes = 0

    async def serve(self, stream: ByteStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            await self._serve(stream)

    async def _serve(self, stream: ByteStream) -> None:
        async with stream:
            head, body = await self._read(stream)
            method, path, _ = head.split(" ", 2)
            self.asked.append((f"{method} {path}", json.loads(body) if body else None))
            if path.endswith("/start"):
                if self.start_status >= 300:
                    refusal = b'{"message": "can not start"}'
                    await stream.send(b"HTTP/1.1 500 X\r\ncontent-length: %d\r\n\r\n" % len(refusal))
                    await anyio.sleep(0.01)
                    await stream.send(refusal)
                    await stream.receive()  # as HTTP/1.1 has it, the connection is kept
                    return
                await stream.send(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n")
                self.processes += 1
                try:
                    await self.run(stream)
                finally:
                    self.processes -= 1
                return
            status, answer = (
                self.create
                if path.endswith("/exec")
                else self.exec_state
                if path.startswith("/exec/")
                else self.container
            )
            await stream.send(f"HTTP/1.0 {status} X\r\n\r\n".encode() + json.dumps(answer).encode())

    @staticmethod
    async def _read(stream: ByteStream) -> tuple[str, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0
        )
        while len(body) < length:
            body += await stream.receive()
        return head.decode(), body


async def echo(stream: ByteStream) -> None:
    """A daemon that greets, and sends back what it gets, with the framing cut in odd places."""
    await stream.send(frame(STDOUT, SETTINGS))
    while True:
        wire = frame(STDOUT, await stream.receive())
        await stream.send(wire[:5])
        await stream.send(wire[5:])


@asynccontextmanager
async def running(engine: Engine, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncGenerator[Engine]:
    path = folder / "engine.sock"
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, engine.serve)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        yield engine
        group.cancel_scope.cancel()


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not true():  # noqa: ASYNC110 - nothing tells
            await anyio.sleep(0.01)


async def receive_exactly(stream: ByteStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.receive()
    return data


async def test_bytes_go_both_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """N5, N15: one process a connection; several connections at once."""
    async with running(Engine(), monkeypatch, tmp_path) as engine, dial("docker-container://b") as endpoint:
        async with (
            await anyio.connect_unix(endpoint.socket_path) as one,
            await anyio.connect_unix(endpoint.socket_path) as two,
        ):
            for stream, data in ((one, b"1" * 100_000), (two, b"2")):
                await stream.send(data)
                assert await receive_exactly(stream, len(data) + 9) == SETTINGS + data
            assert engine.processes == 2
        await until(lambda: not engine.processes)
        assert endpoint.trouble() == ""
    assert ("GET /containers/b/json", None) in engine.asked
    command = next(body for what, body in engine.asked if what == "POST /containers/b/exec")
    assert command["Cmd"] == ["buildctl", "dial-stdio"]
    assert not command["Tty"]


async def test_the_socket_is_private_and_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(Engine(), monkeypatch, tmp_path), dial("docker-container://b") as endpoint:
        path = Path(endpoint.socket_path)
        assert endpoint.target == f"unix:{path}"
        assert [stat.S_IMODE(os.stat(which).st_mode) for which in (path, path.parent)] == [0o600, 0o700]
        assert endpoint.one_daemon
    assert not os.access(path.parent, os.F_OK)


async def test_leaving_ends_what_is_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(Engine(), monkeypatch, tmp_path) as engine:
        async with dial("docker-container://b") as endpoint:
            stream = await anyio.connect_unix(endpoint.socket_path)
            await receive_exactly(stream, 9)
        await until(lambda: not engine.processes)
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        await stream.aclose()


async def test_an_error_of_the_body_comes_out_bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(Engine(), monkeypatch, tmp_path):
        with pytest.raises(LookupError, match="mine"):
            async with dial("docker-container://b"):
                raise LookupError("mine")


async def test_cancelling_the_body_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(Engine(), monkeypatch, tmp_path):
        with anyio.CancelScope() as scope:
            async with dial("docker-container://b") as endpoint:
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert not os.access(endpoint.socket_path, os.F_OK)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            (404, {"message": "No such container: b"}),
            "there is no container 'b' on the docker engine at unix://",
        ),
        (
            (200, {"State": {"Running": False, "Status": "exited"}}),
            "'b' is exited; start it with 'docker start b'",
        ),
        ((200, {"State": {"Running": True, "Paused": True, "Status": "paused"}}), "'b' is paused"),
        ((500, {"message": "no luck"}), "refused: no luck"),
    ],
)
async def test_no_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: tuple[int, Any], says: str
) -> None:
    engine = Engine()
    engine.container = answer
    async with running(engine, monkeypatch, tmp_path):
        with pytest.raises(ConnectError, match=says) as caught:
            async with dial("docker-container://b"):
                pytest.fail("nothing was dialled")
        assert caught.value.address == "docker-container://b"


async def test_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(ConnectError, match=r"docker engine at unix://.*none\.sock can not be reached"):
        async with dial("docker-container://b"):
            pytest.fail("nothing was dialled")
    with pytest.raises(ConfigError, match="no docker context 'x'"):
        async with dial("docker-container://b?context=x"):
            pytest.fail("nothing was dialled")


async def test_not_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def rude(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"220 mail ready\r\n\r\n")

    path = tmp_path / "x.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, rude)
        with pytest.raises(ConnectError, match="is not a docker engine"):
            async with dial("docker-container://b"):
                pytest.fail("nothing was dialled")
        group.cancel_scope.cancel()


async def trouble_of(engine: Engine, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[str, bytes]:
    """What is said after a connection that fails, and the bytes that reached it."""
    async with running(engine, monkeypatch, folder), dial("docker-container://b") as endpoint:
        got = b""
        async with await anyio.connect_unix(endpoint.socket_path) as stream:
            async for data in stream:
                got += data
        await until(lambda: bool(endpoint.trouble()))
        return endpoint.trouble(), got


async def test_the_process_standard_error_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def run(stream: ByteStream) -> None:
        await stream.send(frame(STDERR, b"x" * 5000 + b"\nerror: dial unix: no such file\n"))

    engine = Engine()
    engine.run = run
    engine.exec_state = (200, {"ExitCode": 1})
    said, got = await trouble_of(engine, monkeypatch, tmp_path)
    assert said.startswith("'buildctl dial-stdio' in container 'b': xxx")
    assert said.endswith("error: dial unix: no such file (exit code 1)")
    assert len(said) < 4300
    assert got == b""


async def test_what_the_engine_says_is_not_taken_for_the_daemon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An engine tells on standard output that it can not run the command."""

    async def run(stream: ByteStream) -> None:
        await stream.send(frame(STDOUT, b"OCI "))
        await stream.send(frame(STDOUT, b'runtime exec failed: "buildctl": executable '))
        await stream.send(frame(STDOUT, b"file not found"))

    engine = Engine()
    engine.run = run
    said, got = await trouble_of(engine, monkeypatch, tmp_path)
    assert said == (
        "'buildctl dial-stdio' in container 'b': "
        'OCI runtime exec failed: "buildctl": executable file not found (exit code 127)'
    )
    assert got == b""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"create": (409, {"message": "b is restarting"})}, "b is restarting"),
        ({"start_status": 500}, "can not start"),
    ],
)
async def test_a_refused_process_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    engine = Engine()
    for name, value in change.items():
        setattr(engine, name, value)
    said, _ = await trouble_of(engine, monkeypatch, tmp_path)
    assert says in said


async def test_frames_that_are_none_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = Engine()
    engine.run = lambda stream: stream.send(b"plain text, no frames")
    said, _ = await trouble_of(engine, monkeypatch, tmp_path)
    assert "where a frame begins" in said
