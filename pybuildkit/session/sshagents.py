"""The agents behind the session's SSH service: a running one behind a filter, one of keys in memory, any socket."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio
from anyio import to_thread
from anyio.abc import ByteStream, SocketStream

from pybuildkit import _agentwire as agentwire
from pybuildkit import _wire
from pybuildkit.agent import Keyring
from pybuildkit.errors import SessionError
from pybuildkit.session.calls import AsyncCall, Code, StatusError
from pybuildkit.ssh import SSHAgent

__all__ = ["Agent", "FilteredSocket", "KeyAgent", "RawSocket", "open_agents"]

CHUNK = 32 << 10
"""Bytes of one message of the session (S81)."""

CONNECT_TIMEOUT = 2.0
"""Seconds within which a socket on this machine must be connected (S85)."""

_log = logging.getLogger("pybuildkit.ssh")


class Agent(Protocol):
    """What a step of the build may talk to."""

    async def serve(self, call: AsyncCall) -> None:
        """Serve one connection of a step, until one of both sides ends it.

        Raises:
            SessionError: the agent can not be reached.
            StatusError: one of both sides breaks the protocol.
        """
        ...


class KeyAgent:
    """Keys in memory."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    async def serve(self, call: AsyncCall) -> None:
        """See ``Agent``. Signing takes a thread: it may take a while."""
        requests = _requests(call)
        while (request := await requests.next()) is not None:
            await _send(call, agentwire.framed(await to_thread.run_sync(self._keyring.answer, request)))


class FilteredSocket:
    """A running agent, of which a step can use the keys, and can change nothing (S82, X28)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def serve(self, call: AsyncCall) -> None:
        """See ``Agent``. Each connection of a step has its own one to the agent."""
        async with await _connect(self._path) as agent:
            requests, answers = _requests(call), _Messages(partial(_receive, agent), "the SSH agent")
            while (request := await requests.next()) is not None:
                if agentwire.is_harmless(request):
                    answer = await self._ask(agent, request, answers)
                else:
                    _log.warning("a step's request of kind %d was kept from the SSH agent", request[0])
                    answer = agentwire.refusal(request)
                await _send(call, agentwire.framed(answer))

    async def _ask(self, agent: SocketStream, request: bytes, answers: _Messages) -> bytes:
        try:
            await agent.send(agentwire.framed(request))
            answer = await answers.next()
        except (anyio.BrokenResourceError, OSError):
            answer = None
        if answer is None:
            raise StatusError(Code.UNAVAILABLE, "the SSH agent ended the connection")
        return answer


class RawSocket:
    """Any socket, whatever is spoken there (S84)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def serve(self, call: AsyncCall) -> None:
        """See ``Agent``."""
        broken: list[StatusError] = []

        async def forward() -> None:
            try:
                await self._forward(call, socket)
            except StatusError as exc:
                broken.append(exc)
                tasks.cancel_scope.cancel()

        async with await _connect(self._path) as socket, anyio.create_task_group() as tasks:
            tasks.start_soon(forward)
            while (data := await _receive(socket)) is not None:
                await _send(call, data)
            tasks.cancel_scope.cancel()
        if broken:
            raise broken[0]

    async def _forward(self, call: AsyncCall, socket: SocketStream) -> None:
        """What the step says; its half-close is passed on (S81)."""
        try:
            while (data := await _received(call)) is not None:
                if data:
                    await socket.send(data)
            await socket.send_eof()
        except (anyio.BrokenResourceError, OSError):
            pass  # The socket's end is seen where it is read from.


def open_agents(agents: Mapping[str, SSHAgent]) -> dict[str, Agent]:
    """The agents of a build, by id. Reads keys; blocks, also on functions for passphrases.

    Raises:
        ConfigError: a socket is not there, or a key can not be used.
    """
    return {name: _open(name, agent) for name, agent in agents.items()}


def _open(name: str, agent: SSHAgent) -> Agent:
    agent.check(name)
    path = agent.socket_path()
    if path is None:
        return KeyAgent(Keyring.load(agent.keys, agent.passphrase))
    return RawSocket(path) if agent.raw else FilteredSocket(path)


async def _connect(path: Path) -> SocketStream:
    try:
        with anyio.fail_after(CONNECT_TIMEOUT):
            return await anyio.connect_unix(path)
    except TimeoutError:
        reason = f"it did not answer within {CONNECT_TIMEOUT:g} s"
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
    raise SessionError(f"the SSH agent at {str(path)!r} can not be reached: {reason}")


async def _receive(stream: ByteStream) -> bytes | None:
    """Bytes of a socket, None at its end, however it comes."""
    try:
        return await stream.receive(CHUNK)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return None


async def _received(call: AsyncCall) -> bytes | None:
    """Bytes from the step, None at their end."""
    message = await call.receive()
    if message is None:
        return None
    try:
        return _wire.first(message, 1)
    except _wire.ProtoDecodeError:
        raise StatusError(Code.INVALID_ARGUMENT, "not a BytesMessage") from None


async def _send(call: AsyncCall, data: bytes) -> None:
    for at in range(0, len(data), CHUNK):
        await call.send(_wire.field_bytes(1, data[at : at + CHUNK]))


class _Messages:
    """The messages in a stream of bytes.

    Args:
        receive: gives the next bytes, None at the end.
        who: sends them, for errors.
    """

    def __init__(self, receive: Callable[[], Awaitable[bytes | None]], who: str) -> None:
        self._receive = receive
        self._who = who
        self._splitter = agentwire.Splitter()
        self._whole: deque[bytes] = deque()

    async def next(self) -> bytes | None:
        """The next one, None when there are no more.

        Raises:
            StatusError: the bytes are no messages.
        """
        while not self._whole:
            data = await self._receive()
            if data is None:
                return None
            try:
                self._whole.extend(self._splitter.feed(data))
            except agentwire.AgentWireError as exc:
                text = f"{self._who} does not speak the protocol of SSH agents: {exc}"
                raise StatusError(Code.INVALID_ARGUMENT, text) from None
        return self._whole.popleft()


def _requests(call: AsyncCall) -> _Messages:
    return _Messages(partial(_received, call), "the step")
