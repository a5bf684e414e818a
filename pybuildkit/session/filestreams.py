"""The two kinds of streams that exporters send, at work: trees of files, and the bytes of one file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.to_thread import run_sync

from pybuildkit import _wire
from pybuildkit._values import dataclass, field
from pybuildkit.errors import ProtocolError, TransferError
from pybuildkit.fsutil.receive import Receiver
from pybuildkit.http2.messages import prefix
from pybuildkit.session.calls import AsyncCall, Call
from pybuildkit.session.filesinks import Sink
from pybuildkit.targets import ByteSender

__all__ = ["Delivery", "FileMachine", "TreeMachine", "serve_sender", "serve_sink"]

_ANSWERS = 1024
"""Answers that are kept for one send at most."""

_BUFFER = 1 << 20
"""Bytes that wait for a slow destination."""


@dataclass(slots=True)
class Delivery:
    """What came for one target.

    Attributes:
        metadata: what the exporter says of its result (S60).
        bytes: content received.
        entries: entries of trees.
        streams: streams that were begun; several for a tree of several platforms.
        ended: streams that came to their end.
        skipped: the target did not want it (S65).
        left_out: device nodes that were not made.
        sink: where a file's bytes are.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    bytes: int = 0
    entries: int = 0
    streams: int = 0
    ended: int = 0
    skipped: bool = False
    left_out: list[str] = field(default_factory=list)
    sink: Sink | None = None


class TreeMachine:
    """Feeds a ``Receiver`` (S62)."""

    def __init__(self, call: Call, receiver: Receiver, delivery: Delivery) -> None:
        self._call = call
        self._receiver = receiver
        self._delivery = delivery
        self._answers: list[bytes] = []
        delivery.streams += 1

    def message(self, data: bytes) -> None:
        """See ``Machine``."""
        receiver = self._receiver
        if answers := receiver.feed(data):
            for answer in answers:
                self._answers.append(prefix(len(answer)))
                self._answers.append(answer)
            if len(self._answers) >= _ANSWERS:
                self._flush()
        if receiver.error is not None:
            self._flush()
            raise receiver.error
        if receiver.finished:
            self._call.finish()

    def half_closed(self) -> None:
        """See ``Machine``. After a success the daemon does not even do this (S53)."""
        if not self._receiver.complete:
            raise ProtocolError("the daemon ended the transfer of a tree in its middle")
        self._call.finish()

    def pull(self) -> bool:
        """See ``Machine``."""
        self._flush()
        return False

    def closed(self) -> None:
        """See ``Machine``. A cancel after our FIN is how a success ends (T9)."""
        self._receiver.abort()
        delivery = self._delivery
        delivery.bytes += self._receiver.received_bytes
        delivery.entries += self._receiver.entries
        delivery.left_out += self._receiver.skipped
        if self._receiver.complete:
            delivery.ended += 1

    def _flush(self) -> None:
        if self._answers:
            self._call.send_framed(b"".join(self._answers))
            self._answers.clear()


class FileMachine:
    """Writes a file's bytes at once, for destinations that do not keep anybody waiting (S64)."""

    def __init__(self, call: Call, sink: Sink, delivery: Delivery) -> None:
        self._call = call
        self._sink = sink
        self._delivery = delivery
        self._ended = False
        delivery.streams += 1
        delivery.sink = sink

    def message(self, data: bytes) -> None:
        """See ``Machine``."""
        piece = piece_of(data)
        self._sink.write(piece)
        self._delivery.bytes += len(piece)

    def half_closed(self) -> None:
        """See ``Machine``."""
        self._sink.end()
        self._ended = True
        self._delivery.ended += 1
        self._call.finish()

    def pull(self) -> bool:
        """See ``Machine``."""
        return False

    def closed(self) -> None:
        """See ``Machine``."""
        if not self._ended:
            self._sink.abort()


async def serve_sink(call: AsyncCall, sink: Sink, delivery: Delivery) -> None:
    """Write a file's bytes in a thread, for destinations that may wait."""
    delivery.streams += 1
    delivery.sink = sink
    ended = False
    try:
        await _pump(call, delivery, lambda data: run_sync(sink.write, data, abandon_on_cancel=True))
        await run_sync(sink.end, abandon_on_cancel=True)
        ended = True
        delivery.ended += 1
    finally:
        if not ended:
            with anyio.CancelScope(shield=True):
                await run_sync(sink.abort)


async def serve_sender(call: AsyncCall, sender: ByteSender, delivery: Delivery) -> None:
    """Send a file's bytes to a stream of the caller's, on the event loop."""
    delivery.streams += 1
    await _pump(call, delivery, sender.send)
    delivery.ended += 1


def piece_of(message: bytes) -> bytes | memoryview:
    """The bytes in a ``BytesMessage``, mostly without a copy.

    Raises:
        ProtocolError: the message is none.
    """
    if not message:
        return b""
    try:
        if message[0] == 0x0A:
            size, start = _wire.read_varint(message, 1, len(message))
            if start + size == len(message):
                return memoryview(message)[start:]
        return _wire.first(message, 1)
    except _wire.ProtoDecodeError as exc:
        raise ProtocolError(f"the daemon sent a piece of a file that can not be read: {exc}") from exc


async def _pump(call: AsyncCall, delivery: Delivery, write: Callable[[bytes], Awaitable[object]]) -> None:
    """Read while the last pieces are written, a bounded amount ahead."""
    pieces: list[bytes | memoryview] = []
    waiting = 0
    ended = False
    news, room = anyio.Event(), anyio.Event()
    failure: BaseException | None = None

    async def read() -> None:
        nonlocal waiting, ended, room, failure
        try:
            while (message := await call.receive()) is not None:
                piece = piece_of(message)
                pieces.append(piece)
                waiting += len(piece)
                delivery.bytes += len(piece)
                news.set()
                while waiting >= _BUFFER:
                    room = anyio.Event()
                    await room.wait()
        except ProtocolError as exc:
            failure = exc
        ended = True
        news.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        try:
            while not (ended and not pieces):
                if not pieces:
                    news = anyio.Event()
                    await news.wait()
                    continue
                data, waiting = b"".join(pieces), 0
                pieces.clear()
                room.set()
                if data:
                    await write(data)
        except Exception as exc:  # noqa: BLE001 - raised again below, out of the group's wrapping
            failure = exc
            tasks.cancel_scope.cancel()
    if isinstance(failure, OSError):
        raise TransferError(f"the output can not be written: {failure.strerror or failure}") from failure
    if failure is not None:
        raise failure
