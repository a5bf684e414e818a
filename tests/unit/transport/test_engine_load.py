"""An archive on its way into a docker engine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from pybuildkit.errors import ConfigError, ConnectError, TransferError
from pybuildkit.outputs import Docker, DockerEngine, Output
from pybuildkit.session.filesinks import Sink
from pybuildkit.targets import Checked
from pybuildkit.transport.docker_engine import Engine
from pybuildkit.transport.engine_load import ImageLoad, ping

LOADED = b'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{"stream":"Loaded image: a:1"}'
REFUSED = b'HTTP/1.1 200 OK\r\n\r\n{"stream":"x"}\n{"errorDetail":{"message":"bad tar"},"error":"bad tar"}\n'


class Seen:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.head = b""
        self.body = b""
        self.whole = False


@contextmanager
def engine(folder: Path, answer: bytes, *, early: bool = False) -> Generator[Seen]:
    """An engine for one request; it answers early, or when it has read all."""
    path = folder / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        seen = Seen(Engine(f"unix://{path}", socket_path=str(path)))

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file, suppress(OSError):
                while line := file.readline().rstrip():
                    seen.head += line + b"\n"
                if not early:
                    read(file)
                connection.sendall(answer)

        def read(file: BinaryIO) -> None:
            while line := file.readline():
                size = int(line, 16)
                if not size:
                    seen.whole = True
                    return
                seen.body += file.read(size)
                file.readline()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield seen
        finally:
            thread.join(10)
            assert not thread.is_alive()


def test_an_archive_in_pieces(tmp_path: Path) -> None:
    with engine(tmp_path, LOADED) as seen:
        load = ImageLoad(seen.engine)
        assert isinstance(load, Sink)
        for piece in (b"one ", b"", memoryview(b"two")):
            load.write(piece)
        load.end()
        load.commit()
    assert seen.head.startswith(b"POST /images/load?quiet=1 HTTP/1.1\n")
    assert (seen.body, seen.whole) == (b"one two", True)


def test_an_engine_that_finds_fault_at_the_end(tmp_path: Path) -> None:
    """Its status is 200 already when it does."""
    with engine(tmp_path, REFUSED) as seen:
        load = ImageLoad(seen.engine)
        load.write(b"not a tar")
        with pytest.raises(TransferError, match=r"docker\.sock did not take the image: bad tar"):
            load.commit()


def test_an_engine_that_refuses_in_the_middle(tmp_path: Path) -> None:
    answer = b'HTTP/1.1 500 X\r\nContent-Length: 23\r\n\r\n{"message":"disk full"}'
    with engine(tmp_path, answer, early=True) as seen:
        load = ImageLoad(seen.engine)
        with pytest.raises(TransferError, match="took no more of the image: disk full"):  # noqa: PT012
            while True:
                load.write(bytes(1 << 16))
        load.abort()


def test_an_engine_that_goes_away(tmp_path: Path) -> None:
    with engine(tmp_path, b"") as seen:
        load = ImageLoad(seen.engine)
        with pytest.raises(TransferError, match="did not say whether"):
            load.commit()


def test_a_build_that_fails_never_sends_the_end(tmp_path: Path) -> None:
    with engine(tmp_path, LOADED) as seen:
        load = ImageLoad(seen.engine)
        load.write(b"all there is")
        load.end()
        load.abort()
        load.abort()
    assert not seen.whole


def test_looking_whether_it_is_there(tmp_path: Path) -> None:
    with engine(tmp_path, b"HTTP/1.1 200 OK\r\n\r\nOK", early=True) as seen:
        ping(seen.engine)
    (tmp_path / "docker.sock").unlink()
    with (
        engine(tmp_path, b"HTTP/1.1 403 Forbidden\r\n\r\n", early=True) as seen,
        pytest.raises(ConnectError, match="403"),
    ):
        ping(seen.engine)
    for nowhere in (
        Engine("unix:///none", socket_path="/none"),
        Engine("tcp://127.0.0.1:9", host="127.0.0.1", port=9),
    ):
        with pytest.raises(ConnectError, match=f"{nowhere.text} can not be reached"):
            ping(nowhere)
        with pytest.raises(ConnectError, match=f"{nowhere.text} can not be reached"):
            ImageLoad(nowhere)


def test_the_output() -> None:
    output = DockerEngine("a:1", "b:2", context="remote", compression="zstd")
    assert output.exporter == "docker"
    assert output.exporter_attrs() == {"name": "a:1,b:2", "compression": "zstd"}
    destination: object = output.target.destination
    assert isinstance(destination, Checked)
    assert repr(output) == "DockerEngine('a:1', 'b:2', compression='zstd', context='remote')"
    parsed = Output.parse('type=docker-engine,"name=a:1,b:2",context=remote,compression=zstd')
    assert parsed == output
    assert parsed != Docker("x", names=("a:1", "b:2"))
    assert DockerEngine().named("c:3") == DockerEngine("c:3")
    with pytest.raises(ConfigError, match="dest= does not go"):
        Output.parse("type=docker-engine,dest=x")
    with pytest.raises(TypeError, match="push"):
        DockerEngine("a:1", push=True)  # type: ignore[call-arg]
