"""Channels in memory for a gateway: answers that a test writes, and streams that it speaks the daemon's part of."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import anyio
import anyio.lowlevel

from pybuildkit._pb import gateway_pb2 as pb
from pybuildkit.errors import RPCError
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.rpc.channel import Duplex, Metadata, ServerStream

Answer: TypeAlias = bytes | Exception | Callable[[bytes], Awaitable[bytes]]


class FakeStream:
    """A stream both ways; the test is the daemon: ``say`` and ``heard``."""

    def __init__(self) -> None:
        self._to_client: deque[bytes | Exception | None] = deque()
        self._news = anyio.Event()
        self.heard: list[pb.ExecMessage] = []
        self.half_closed = anyio.Event()
        self.broken: RPCError | None = None
        self.on_half_close: Callable[[], None] = lambda: None

    def say(self, *messages: pb.ExecMessage | Exception | None) -> None:
        """Send messages; None ends the stream well, an error badly."""
        for message in messages:
            self._to_client.append(
                message.SerializeToString() if isinstance(message, pb.ExecMessage) else message
            )
        self._news.set()

    async def send(self, message: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        if self.broken is not None:
            raise self.broken
        self.heard.append(pb.ExecMessage.FromString(message))

    async def receive(self) -> bytes | None:
        while not self._to_client:
            self._news = anyio.Event()
            await self._news.wait()
        message = self._to_client.popleft()
        if isinstance(message, Exception):
            raise message
        return message

    async def done_sending(self) -> None:
        self.half_closed.set()
        self.on_half_close()


class FakeGateway:
    """A channel whose calls are answered by name; remembers them, with their metadata."""

    address = "memory://"

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers: dict[str, Answer] = {"Ping": pong(), **(answers or {})}
        self.asked: list[tuple[str, bytes]] = []
        self.metadata: list[Metadata] = []
        self.streams: list[FakeStream] = []
        self.on_stream: Callable[[FakeStream], None] = lambda _: None

    async def unary(
        self,
        method: str,
        request: bytes = b"",
        *,
        metadata: Metadata = (),
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        name = method.rpartition("/")[2]
        self.asked.append((name, request))
        self.metadata.append(metadata)
        await anyio.lowlevel.checkpoint()
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else await answer(request)

    def server_stream(
        self, method: str, request: bytes = b"", *, metadata: Metadata = ()
    ) -> AbstractAsyncContextManager[ServerStream]:
        raise NotImplementedError

    @asynccontextmanager
    async def duplex(self, method: str, *, metadata: Metadata = ()) -> AsyncIterator[Duplex]:
        self.metadata.append(metadata)
        stream = FakeStream()
        self.streams.append(stream)
        self.on_stream(stream)
        yield stream

    async def aclose(self) -> None:
        """Nothing is open."""

    def requests(self, name: str) -> list[bytes]:
        """What one method was asked."""
        return [request for method, request in self.asked if method == name]


ALL_CAPS = [
    "solve.base",
    "readfile",
    "readdir",
    "statfile",
    "return",
    "returnmap",
    "gateway.exec",
    "gateway.exec.signals",
    "gateway.exec.filesystem",
    "gateway.exec.secretenv",
    "gateway.exec.extrahosts",
    "gateway.evaluate",
    "gateway.solve.evaluate",
    "gateway.warnings",
    "frontend.inputs",
    "importcaches",
    "reference.output",
    "reference.attestations",
    "source.metaresolver",
    "resolveimage",
    "source.metaresolver.image.attestations",
    "source.metaresolver.http.checksumrequest",
]


def pong(*caps: str) -> bytes:
    """The answer to the first call."""
    message = pb.PongResponse()
    for name in caps or ALL_CAPS:
        message.FrontendAPICaps.add(ID=name, Enabled=True)
    message.LLBCaps.add(ID="source.image", Enabled=True)
    message.Workers.add(ID="worker")
    return message.SerializeToString()


async def bridge_to(channel: FakeGateway) -> Bridge:
    """A bridge that is connected."""
    bridge = Bridge(channel, metadata=[("buildkit-controlapi-buildid", "b1")])
    await bridge.connect()
    return bridge
