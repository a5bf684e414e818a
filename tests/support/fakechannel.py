"""A channel that answers from a script, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from pybuildkit.rpc.channel import Duplex, Metadata, ServerStream

Answer: TypeAlias = Sequence[bytes] | Exception
"""The responses, or why there are none."""


class ScriptedChannel:
    """Answers each method with a script, or with what a function makes of the request.

    Attributes:
        asked: method and request of each call.
        cancelled: how many streams were left before their end.
    """

    address = "memory://"

    def __init__(self, **answers: Answer | Callable[[bytes], Answer]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, bytes]] = []
        self.cancelled = 0

    def _answer(self, method: str, request: bytes) -> Answer:
        name = method.rpartition("/")[2]
        self.asked.append((name, request))
        answer = self._answers[name]
        return answer(request) if callable(answer) else answer

    async def unary(
        self,
        method: str,
        request: bytes = b"",
        *,
        metadata: Metadata = (),
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        answer = self._answer(method, request)
        if isinstance(answer, Exception):
            raise answer
        return answer[0]

    def server_stream(
        self, method: str, request: bytes = b"", *, metadata: Metadata = ()
    ) -> AbstractAsyncContextManager[ServerStream]:
        return self._stream(self._answer(method, request))

    @asynccontextmanager
    async def _stream(self, answer: Answer) -> AsyncIterator[ServerStream]:
        stream = _Stream(answer)
        try:
            yield stream
        finally:
            self.cancelled += not stream.ended

    def duplex(self, method: str, *, metadata: Metadata = ()) -> AbstractAsyncContextManager[Duplex]:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing is open."""


class _Stream:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.ended = False

    async def initial_metadata(self) -> Metadata:
        return ()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if isinstance(self._answer, Exception):
            raise self._answer
        for message in self._answer:
            yield message
        self.ended = True
