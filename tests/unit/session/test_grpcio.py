"""grpc's own C core as the client of a session's services: all kinds of calls, on a unix socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import grpc
import pytest
from google.rpc import status_pb2

from pybuildkit.rpc.channel import Metadata
from pybuildkit.session.calls import AsyncCall, Call, Code, StatusError
from pybuildkit.session.carrier import Carrier
from pybuildkit.session.session import Session
from tests.support.fakedaemon import OneMethod
from tests.support.plainsocket import PlainCarrier

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Collect:
    """Client streaming and all the rest: answers by what the method is called."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.messages: list[bytes] = []
        self.left = 0

    def message(self, data: bytes) -> None:
        self.messages.append(data)
        if self.call.method.endswith("/Echo"):
            self.call.send(data)

    def half_closed(self) -> None:
        if self.call.method.endswith("/Sum"):
            self.call.send(b"%d" % sum(map(len, self.messages)))
            self.call.finish()
        elif self.call.method.endswith("/Stream"):
            self.left = int(self.messages[0])
        else:
            self.call.finish()

    def pull(self) -> bool:
        while self.left and self.call.room > 0:
            self.call.send(bytes(min(self.left, 100_000)))
            self.left -= min(self.left, 100_000)
            if not self.left:
                self.call.finish()
        return bool(self.left)

    def closed(self) -> None:
        pass


async def metadata(call: AsyncCall) -> None:
    await call.receive()
    await call.send(repr(sorted(call.metadata.items())).encode())


async def refuse(call: AsyncCall) -> None:
    raise StatusError(Code.NOT_FOUND, "é%\n", (("type.googleapis.com/a.B", b"\x01"),))


async def wait(call: AsyncCall) -> None:
    await anyio.sleep(30)


async def crash(call: AsyncCall) -> None:
    raise ValueError("on purpose")


SERVICE = OneMethod(
    dict.fromkeys(("/t.T/Echo", "/t.T/Sum", "/t.T/Stream", "/t.T/Unary"), Collect),
    {"/t.T/Metadata": metadata, "/t.T/Refuse": refuse, "/t.T/Wait": wait, "/t.T/Crash": crash},
)


@asynccontextmanager
async def channel(tmp_path: Path) -> AsyncIterator[Any]:
    """A client's channel to a session that accepts one connection."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", 16 << 20),
            ("grpc.absolute_max_metadata_size", 16 << 20),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        with grpc.insecure_channel(f"unix:{path}", options=options) as client:
            client.subscribe(lambda _: None, try_to_connect=True)
            accepted, _ = await anyio.to_thread.run_sync(listener.accept)

            @asynccontextmanager
            async def carrier(_: Metadata) -> AsyncIterator[Carrier]:
                plain = PlainCarrier(accepted)
                try:
                    yield plain
                finally:
                    plain.destroy()

            async with Session([SERVICE]).open(carrier):
                yield client


async def run(function: Callable[..., Any], *args: Any) -> Any:
    return await anyio.to_thread.run_sync(lambda: function(*args))


async def test_unary(tmp_path: Path) -> None:
    async with channel(tmp_path) as client:
        answer = await run(client.unary_unary("/grpc.health.v1.Health/Check"), b"")
        assert answer == b"\x08\x01"


async def test_client_stream(tmp_path: Path) -> None:
    async with channel(tmp_path) as client:
        messages = [b"x" * 300_000] * 50
        assert await run(client.stream_unary("/t.T/Sum"), iter(messages)) == b"15000000"


async def test_server_stream(tmp_path: Path) -> None:
    async with channel(tmp_path) as client:
        answers = await run(lambda: list(client.unary_stream("/t.T/Stream")(b"20000000")))
        assert sum(map(len, answers)) == 20_000_000


async def test_both_streams_at_once(tmp_path: Path) -> None:
    async with channel(tmp_path) as client:
        messages = [bytes([n]) * (n * 1000) for n in range(100)]
        assert await run(lambda: list(client.stream_stream("/t.T/Echo")(iter(messages)))) == messages


async def test_metadata_arrives(tmp_path: Path) -> None:
    """T7: also megabytes of it."""
    async with channel(tmp_path) as client:
        sent = [("include-patterns", f"pattern-{n}" + "x" * 50) for n in range(20_000)] + [
            ("k-bin", b"\x00\x01")
        ]
        answer = await run(lambda: client.unary_unary("/t.T/Metadata")(b"", metadata=sent))
        found = dict(eval(answer))  # our own repr
        assert found["include-patterns"] == [value for key, value in sent if key == "include-patterns"]
        assert found["k-bin"] == ["AAE"]


def failure(call: Callable[[], Any]) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


async def test_a_status_with_details(tmp_path: Path) -> None:
    async with channel(tmp_path) as client:
        error = await run(failure, lambda: client.unary_unary("/t.T/Refuse")(b""))
        assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "é%\n")
        raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(raw)
        assert [(d.type_url, d.value) for d in status.details] == [("type.googleapis.com/a.B", b"\x01")]


@pytest.mark.parametrize(
    ("method", "code", "text"),
    [
        ("/t.T/Nothing", grpc.StatusCode.UNIMPLEMENTED, "unknown method Nothing for service t.T"),
        ("/no.Such/Thing", grpc.StatusCode.UNIMPLEMENTED, "unknown service no.Such"),
        ("/t.T/Crash", grpc.StatusCode.UNKNOWN, "on purpose"),
    ],
)
async def test_refusals(tmp_path: Path, method: str, code: grpc.StatusCode, text: str) -> None:
    async with channel(tmp_path) as client:
        error = await run(failure, lambda: client.unary_unary(method)(b""))
        assert (error.code(), error.details()) == (code, text)


async def test_a_deadline(tmp_path: Path) -> None:
    async with channel(tmp_path) as client:
        error = await run(failure, lambda: client.unary_unary("/t.T/Wait")(b"", timeout=0.2))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_message_that_is_too_long(tmp_path: Path) -> None:
    """S8."""
    async with channel(tmp_path) as client:
        fits = bytes(16 << 20)
        assert await run(client.stream_unary("/t.T/Sum"), iter([fits])) == b"16777216"
        error = await run(failure, lambda: client.stream_unary("/t.T/Sum")(iter([fits + b"x"])))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "16777217 vs. 16777216" in error.details()


async def test_a_compressed_message_is_refused(tmp_path: Path) -> None:
    async with channel(tmp_path) as client:
        call = client.unary_unary("/t.T/Unary")
        error = await run(failure, lambda: call(b"x" * 1000, compression=grpc.Compression.Gzip))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_many_calls_at_once(tmp_path: Path) -> None:
    """S18: more than the 250 that are allowed at once wait their turn in the client."""
    async with channel(tmp_path) as client:
        gate = threading.Barrier(1)

        def one(number: int) -> int:
            def messages() -> Iterator[bytes]:
                gate.wait()
                yield b"x" * number

            return int(client.stream_unary("/t.T/Sum")(messages()))

        def all_of_them() -> list[int]:
            with ThreadPoolExecutor(32) as pool:
                return list(pool.map(one, range(300)))

        assert await run(all_of_them) == list(range(300))
