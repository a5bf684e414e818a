"""A channel whose calls take part in the program's trace."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from pybuildkit.rpc.channel import Channel, Duplex, Metadata, ServerStream
from pybuildkit.session.carrier import Carrier, CarrierFactory
from pybuildkit.tracing import Traced, trace_headers, traced_call

__all__ = ["TracedChannel", "traced_carrier"]


class TracedChannel:
    """The Channel interface on another channel.

    Args:
        channel: what makes the calls.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def address(self) -> str:
        """The address as the user gave it."""
        return self._channel.address

    async def unary(
        self,
        method: str,
        request: bytes = b"",
        *,
        metadata: Metadata = (),
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        """One request, one response; see ``Channel.unary``."""
        with _recorded(traced_call(method, self.address)) as traced:
            headers = [*metadata, *traced.headers()]
            return await self._channel.unary(method, request, metadata=headers, timeout=timeout)

    @asynccontextmanager
    async def server_stream(
        self, method: str, request: bytes = b"", *, metadata: Metadata = ()
    ) -> AsyncGenerator[ServerStream]:
        """One request, many responses; see ``Channel.server_stream``."""
        with _recorded(traced_call(method, self.address)) as traced:
            headers = [*metadata, *traced.headers()]
            async with self._channel.server_stream(method, request, metadata=headers) as stream:
                yield stream

    @asynccontextmanager
    async def duplex(self, method: str, *, metadata: Metadata = ()) -> AsyncGenerator[Duplex]:
        """Messages both ways; see ``Channel.duplex``."""
        with _recorded(traced_call(method, self.address)) as traced:
            async with self._channel.duplex(method, metadata=[*metadata, *traced.headers()]) as duplex:
                yield duplex

    async def aclose(self) -> None:
        """Close the connection; calls under way end with an error."""
        await self._channel.aclose()


@contextmanager
def _recorded(traced: Traced) -> Generator[Traced]:
    try:
        yield traced
    except Exception as exc:
        traced.failed(exc)
        raise
    finally:
        traced.end()


def traced_carrier(factory: CarrierFactory) -> CarrierFactory:
    """What opens a session's stream, with the program's trace in its metadata."""

    def opened(metadata: Metadata) -> AbstractAsyncContextManager[Carrier]:
        return factory([*metadata, *trace_headers()])

    return opened
