"""``Bridge``: the calls of ``LLBBridge`` over any channel.

A client's build reaches the daemon over the client's own channel, with the build's id in the metadata (T15); a frontend
in a container over its standard input and output, with none. Nothing here or above knows which of them it is.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import anyio

from pybuildkit._wire import ProtoDecodeError
from pybuildkit.control.workers import decode_workers
from pybuildkit.errors import BuildKitError, ConfigError, NotFound, RPCError
from pybuildkit.gateway._proto import Message, message
from pybuildkit.gateway.caps import GatewayCaps, decode_caps
from pybuildkit.rpc.channel import Channel, Duplex, Metadata
from pybuildkit.workers import Worker

__all__ = ["BUILDING", "BUILD_ID_KEY", "SERVICE", "Bridge", "Explain"]

SERVICE = "/moby.buildkit.v1.frontend.LLBBridge/"

BUILDING = frozenset(
    SERVICE + name
    for name in (
        "Solve",
        "Evaluate",
        "ResolveSourceMeta",
        "ResolveImageConfig",
        "NewContainer",
        "ExecProcess",
    )
)
"""Calls whose refusal is a failed build; that of others can be, and then names a vertex."""

BUILD_ID_KEY = "buildkit-controlapi-buildid"
"""T15: the metadata that says which build a call belongs to."""

PING_TIMEOUT = 15.0
"""V62: seconds that the daemon has to answer the first call."""

Explain: TypeAlias = Callable[[RPCError], Awaitable[BuildKitError]]
"""Makes of a refused call the error that the caller sees."""


async def _as_it_is(error: RPCError) -> BuildKitError:
    return error


class Bridge:
    """A connection to the gateway of one build.

    Args:
        channel: to the daemon; it stays open when the build ends.
        metadata: what every call carries.
        explain: makes of a refused call the error that the caller sees.

    Attributes:
        caps: what the gateway can do, once connected.
        llb_caps: what graphs may use, once connected.
        workers: the daemon's workers, once connected.
    """

    def __init__(self, channel: Channel, *, metadata: Metadata = (), explain: Explain = _as_it_is) -> None:
        self._channel = channel
        self._metadata = tuple(metadata)
        self._explain = explain
        self._closed = ""
        self._end: BuildKitError | None = None
        self._calls: set[anyio.CancelScope] = set()
        self.caps = GatewayCaps(())
        self.llb_caps = GatewayCaps(())
        self.workers: tuple[Worker, ...] = ()

    async def connect(self, *, patience: float = 0.0) -> None:
        """Make the first call: learn what the daemon can do.

        Args:
            patience: seconds for which a build that the daemon does not know yet is asked for again (T14).

        Raises:
            RPCError: there is no such build, or the daemon went away.
        """
        until = time.monotonic() + patience
        while True:
            try:
                pong = await self._channel.unary(
                    SERVICE + "Ping", metadata=self._metadata, timeout=PING_TIMEOUT
                )
            except NotFound:
                if time.monotonic() >= until:
                    raise
                await anyio.sleep(0.05)
            else:
                break
        self._read_pong(pong)

    def _read_pong(self, data: bytes) -> None:
        try:
            pong = Message(data)
            self.caps = decode_caps(pong.messages(1), llb=False)
            self.llb_caps = decode_caps(pong.messages(2), llb=True)
            self.workers = decode_workers(_renumbered(pong))
        except ProtoDecodeError as exc:
            raise _unreadable("Ping", exc) from exc

    def close(self, reason: str) -> None:
        """The build is over: every further call is an error that says so."""
        self._closed = self._closed or reason

    def abort(self, error: BuildKitError) -> None:
        """The build has ended by itself: calls under way, and further ones, raise what it ended with."""
        self._end = self._end or error
        self.close(str(error))
        for scope in self._calls:
            scope.cancel()

    @property
    def over(self) -> bool:
        """Whether the build is over."""
        return bool(self._closed)

    def check(self, call: str, *capabilities: str) -> None:
        """See whether a call can be made.

        Raises:
            ConfigError: the build is over.
            BuildKitError: the build has ended by itself; what it ended with.
            Unsupported: the daemon lacks a capability.
        """
        if self._end is not None:
            raise self._end
        if self._closed:
            raise ConfigError(f"{call}: {self._closed}")
        for capability in capabilities:
            self.caps.require(capability, call)

    async def call(
        self,
        name: str,
        request: bytes,
        *capabilities: str,
        what: str = "",
        read: Callable[[RPCError], BuildKitError | None] = lambda _: None,
    ) -> Message:
        """Make a call.

        Args:
            name: the method.
            request: the encoded request.
            capabilities: what the daemon must be able to do.
            what: what the call is for, for errors; its name by default.
            read: gives the error for refusals that only this call has.

        Raises:
            ConfigError: the build is over.
            Unsupported: the daemon lacks a capability.
            BuildKitError: the daemon refused the call.
        """
        self.check(what or name, *capabilities)
        try:
            answer = await self._unary(name, request)
        except RPCError as exc:
            if exc is self._end:
                raise
            raise (read(exc) or await self._explain(exc)) from None
        try:
            return Message(answer)
        except ProtoDecodeError as exc:
            raise _unreadable(name, exc) from exc

    async def _unary(self, name: str, request: bytes) -> bytes:
        """A call that ends with the build."""
        with anyio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                return await self._channel.unary(SERVICE + name, request, metadata=self._metadata)
            finally:
                self._calls.discard(scope)
        assert self._end is not None
        raise self._end

    async def send_return(self, request: bytes) -> None:
        """Tell the daemon how the build ends, even when nothing else can be asked any more.

        Raises:
            RPCError: the daemon refused, or went away.
        """
        await self._channel.unary(SERVICE + "Return", request, metadata=self._metadata)

    async def release(self, request: bytes) -> None:
        """Release a container; at the build's end the daemon has done so itself.

        Raises:
            RPCError: a process in it had failed, or the daemon is gone.
        """
        if self.over:
            return
        await self._channel.unary(SERVICE + "ReleaseContainer", request, metadata=self._metadata)

    async def explained(self, error: RPCError) -> BuildKitError:
        """The error that the caller sees, for a call that was not made with ``call``."""
        return await self._explain(error)

    def duplex(self, name: str) -> AbstractAsyncContextManager[Duplex]:
        """Messages both ways; see ``Channel.duplex``."""
        return self._channel.duplex(SERVICE + name, metadata=self._metadata)


def _renumbered(pong: Message) -> bytes:
    """The workers of a ``PongResponse`` as a ``ListWorkersResponse``: the same messages under another number."""
    return b"".join(message(1, worker) for worker in pong.blobs(3))


def _unreadable(name: str, exc: Exception) -> RPCError:
    return RPCError(f"the daemon's answer can not be read: {exc}", code="INTERNAL", method=SERVICE + name)
