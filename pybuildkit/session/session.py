"""The session: what the daemon may ask this client for while it builds."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import anyio

from pybuildkit.errors import BuildKitError, ConfigError, RPCError
from pybuildkit.rpc.channel import Channel, Metadata
from pybuildkit.session.bridge import Bridge
from pybuildkit.session.calls import MachineFactory, Service
from pybuildkit.session.carrier import Carrier, CarrierFactory
from pybuildkit.session.driver import Driver
from pybuildkit.session.health import Health
from pybuildkit.session.server import Server
from pybuildkit.session.stubcarrier import on_channel
from pybuildkit.session.watch import watch

__all__ = ["LiveSession", "Session", "new_id"]

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 25

_MAX_FAILURES = 100
"""Errors of services that are kept: the last ones."""

_LOSS_PATIENCE = 0.25
"""Seconds to wait for the session's own end when a call beside it failed in a way that the end would explain."""


def new_id() -> str:
    """An id as the daemon's own are: 25 characters of base 36, from the system's randomness (S4)."""
    number = int.from_bytes(os.urandom(17))
    digits: list[str] = []
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(digits)


class LiveSession:
    """A session that is open.

    Attributes:
        id: what the daemon knows it by; the ``session`` of a solve request.
        failures: what services raised, with the method, oldest first: mostly the cause of a build's failure.
    """

    def __init__(self, session_id: str, failures: deque[tuple[str, BaseException]]) -> None:
        self.id = session_id
        self.failures = failures
        self._ended = asyncio.Event()
        self._error: BuildKitError | None = None

    @property
    def error(self) -> BuildKitError | None:
        """Why the session broke, None while it has not."""
        return self._error

    async def lost(self) -> BuildKitError | None:
        """Wait until the session ends; why, None when it was closed from here."""
        await self._ended.wait()
        return self._error

    def end(self, error: BuildKitError | None) -> None:
        """The session has ended; for the session itself."""
        self._error = error
        self._ended.set()


class Session:
    """What is offered to the daemon, under which id; ``open`` offers it.

    One session can serve several builds at once (S18). It can be opened again after it was closed, not while
    it is open: the daemon would forget the first one (S5).

    Args:
        services: what the daemon may call; health is always there.
        shared_key: names what the local directories of this session are synced with: builds with the same
            directory name and the same key reuse what the daemon has got already (T19).
        id: the id; a new one by default.
        health_timeout: seconds after which the daemon gives up a session that does not answer, 1 at least (S10);
            the daemon's own rule (S9) by default.

    Raises:
        ConfigError: two services answer to the same method, or the id or key can not be sent.
    """

    def __init__(
        self,
        services: Iterable[Service] = (),
        *,
        shared_key: str = "",
        id: str | None = None,  # noqa: A002
        health_timeout: float | None = None,
    ) -> None:
        self._id = new_id() if id is None else id
        if not self._id or ":" in self._id or not (self._id.isascii() and self._id.isprintable()):
            raise ConfigError(
                f"session id {self._id!r} can not be used; give printable ASCII without a colon"
            )
        if not (shared_key.isascii() and (shared_key.isprintable() or not shared_key)):
            raise ConfigError(
                f"shared key {shared_key!r} can not be sent; give printable ASCII, as a hex digest"
            )
        self._shared_key = shared_key
        self._health_timeout = health_timeout
        self._services = (Health(), *services)
        self._methods: list[str] = []
        for service in self._services:
            for method in (*service.machines, *service.handlers):
                if method in self._methods:
                    raise ConfigError(f"two services answer to {method}; leave one out")
                self._methods.append(method)
        self._open = False

    @property
    def id(self) -> str:
        """What the daemon knows the session by."""
        return self._id

    @property
    def shared_key(self) -> str:
        """See the constructor."""
        return self._shared_key

    @property
    def methods(self) -> tuple[str, ...]:
        """What the daemon may call; it sees nothing that is not listed here (S3)."""
        return tuple(self._methods)

    @property
    def metadata(self) -> Metadata:
        """The headers of the session's stream (S2)."""
        pairs = [
            ("x-docker-expose-session-uuid", self._id),
            ("x-docker-expose-session-sharedkey", self._shared_key),
            *(("x-docker-expose-session-grpc-method", method) for method in self._methods),
        ]
        if self._health_timeout is not None:
            pairs.append(
                (
                    "x-buildkit-session-health-custom-timeout",
                    str(max(1000, round(self._health_timeout * 1000))),
                )
            )
        return pairs

    @asynccontextmanager
    async def open(self, over: Channel | CarrierFactory) -> AsyncGenerator[LiveSession, None]:
        """Offer the session for as long as the block lasts.

        When the session breaks, the block is cancelled and the cause raised in its place; an error of the block that
        only follows from it becomes its context. Leaving the block closes the session: half-closes the
        stream, waits for the daemon to do the same, and joins the thread (S12). Handlers still at work are cancelled.

        The daemon does not say when it has seen the session; it waits five seconds for one that it is asked for (T14).

        Args:
            over: a channel, to ride on its connection, or a carrier of another kind.

        Raises:
            ConfigError: it is open already.
            SessionError: the session broke: ProtocolError when the daemon broke a rule.
            ConnectionLost: the daemon, or the way to it, went away.
        """
        if self._open:
            raise ConfigError(f"session {self._id} is open already; share it, or make another one")
        factory = over if callable(over) else on_channel(over)
        self._open = True
        try:
            async with factory(self.metadata) as carrier, self._attached(carrier) as live:
                yield live
        finally:
            self._open = False

    @asynccontextmanager
    async def _attached(self, carrier: Carrier) -> AsyncGenerator[LiveSession, None]:
        loop = asyncio.get_running_loop()
        failure: BaseException | None = None
        failures: deque[tuple[str, BaseException]] = deque(maxlen=_MAX_FAILURES)
        live = LiveSession(self._id, failures)
        body = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            bridge = Bridge(tasks, lambda function: driver.post(function), failures)
            server = Server(self._machines(bridge), failures)

            def ended() -> None:
                live.end(driver.error)
                if driver.error is not None:
                    body.cancel()

            def tell() -> None:
                loop.call_soon_threadsafe(ended)

            driver = Driver(carrier, server, tell)
            driver.start()
            tasks.start_soon(carrier.run)
            tasks.start_soon(bridge.serve)
            tasks.start_soon(watch, driver, self._health_timeout)
            try:
                with body:
                    yield live
            except BaseException as exc:  # noqa: BLE001 - raised again below, out of the group's wrapping
                failure = exc
            with anyio.CancelScope(shield=True):
                if _may_follow_from_loss(failure):
                    with anyio.move_on_after(_LOSS_PATIENCE):
                        await live.lost()
                driver.stop()
                await live.lost()
                await driver.join()
            tasks.cancel_scope.cancel()
        if live.error is not None and (body.cancelled_caught or isinstance(failure, BuildKitError)):
            raise live.error from failure
        if failure is not None:
            raise failure

    def _machines(self, bridge: Bridge) -> dict[str, MachineFactory]:
        methods: dict[str, MachineFactory] = {}
        for service in self._services:
            methods.update({name: bridge.chosen(choose) for name, choose in service.machines.items()})
            methods.update({name: bridge.factory(handler) for name, handler in service.handlers.items()})
        return methods


def _may_follow_from_loss(error: BaseException | None) -> bool:
    """Whether a call beside the session failed as it does when the session is lost, or the daemon."""
    if not isinstance(error, RPCError):
        return False
    return error.code in ("CANCELLED", "UNAVAILABLE") or "context canceled" in error.message
