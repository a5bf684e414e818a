"""The session: what the daemon may ask this client for while it builds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Self, cast

import anyio

from pybuildkit.errors import BuildKitError, ConfigError
from pybuildkit.rpc.channel import Channel, EagerDuplex
from pybuildkit.session.bridge import Bridge
from pybuildkit.session.calls import Service
from pybuildkit.session.carrier import Carrier, CarrierFactory
from pybuildkit.session.driver import Driver
from pybuildkit.session.loopdriver import LoopDriver
from pybuildkit.session.offer import LOSS_PATIENCE, MAX_FAILURES, Offer, may_follow_from_loss, new_id
from pybuildkit.session.server import Server
from pybuildkit.session.stubcarrier import StubCarrier, on_channel
from pybuildkit.session.watch import watching

__all__ = ["LiveSession", "Session", "new_id"]


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


class Session(Offer):
    """An offer that can be open.

    One session can serve several builds at once (S18). It can be opened again after it was closed, not while
    it is open: the daemon would forget the first one (S5).

    The arguments are those of ``Offer``.
    """

    def __init__(
        self,
        services: Iterable[Service] = (),
        *,
        shared_key: str = "",
        id: str | None = None,  # noqa: A002
        health_timeout: float | None = None,
    ) -> None:
        super().__init__(services, shared_key=shared_key, id=id, health_timeout=health_timeout)
        self._open = False

    @classmethod
    def of(cls, offer: Offer) -> Self:
        """The session of an offer."""
        return cls(
            offer.services,
            shared_key=offer.shared_key,
            id=offer.id,
            health_timeout=offer.health_timeout,
        )

    @asynccontextmanager
    async def open(
        self, over: Channel | CarrierFactory, *, bulk: CarrierFactory | None = None
    ) -> AsyncGenerator[LiveSession, None]:
        """Offer the session for as long as the block lasts.

        When the session breaks, the block is cancelled and the cause raised in its place; an error of the block that
        only follows from it becomes its context. Leaving the block closes the session: half-closes the stream and, where
        there is a thread, waits for the daemon to do the same and joins it (S12). Handlers still at work are cancelled.

        The daemon does not say when it has seen the session; it waits five seconds for one that it is asked for (T14).

        Args:
            over: a channel, to ride on its connection, or a carrier of another kind.
            bulk: another carrier for a session that moves files.

        Raises:
            ConfigError: it is open already.
            SessionError: the session broke: ProtocolError when the daemon broke a rule.
            ConnectionLost: the daemon, or the way to it, went away.
        """
        if self._open:
            raise ConfigError(f"session {self._id} is open already; share it, or make another one")
        chosen = over if bulk is None or self.light else bulk
        factory = chosen if callable(chosen) else on_channel(chosen)
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
        failures: deque[tuple[str, BaseException]] = deque(maxlen=MAX_FAILURES)
        live = LiveSession(self._id, failures)
        body = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            bridge = Bridge(tasks, lambda function: driver.post(function), failures)
            server = Server(self.machines(bridge), failures)

            def ended() -> None:
                live.end(driver.error)
                if driver.error is not None:
                    body.cancel()

            def tell() -> None:
                if driver.in_thread:
                    loop.call_soon_threadsafe(ended)
                else:
                    ended()

            driver: Driver
            eager = _eager(carrier) if self.light else None
            if eager is not None:
                driver = LoopDriver(eager, carrier, server, tell, bridge)
            else:
                driver = Driver(carrier, server, tell)
                tasks.start_soon(carrier.run)
            driver.start()
            tasks.start_soon(bridge.serve)
            try:
                with body, watching(driver, self._health_timeout):
                    yield live
            except BaseException as exc:  # noqa: BLE001 - raised again below, out of the group's wrapping
                failure = exc
            with anyio.CancelScope(shield=True):
                if may_follow_from_loss(failure):
                    with anyio.move_on_after(LOSS_PATIENCE):
                        await live.lost()
                driver.stop()
                await live.lost()
                await driver.join()
            bridge.close()
            if driver.in_thread:
                tasks.cancel_scope.cancel()
        if live.error is not None and (body.cancelled_caught or isinstance(failure, BuildKitError)):
            raise live.error from failure
        if failure is not None:
            raise failure


def _eager(carrier: Carrier) -> EagerDuplex | None:
    """The carrier's stream, if it calls who waits for it."""
    duplex = carrier.duplex if isinstance(carrier, StubCarrier) else None
    return cast("EagerDuplex", duplex) if getattr(duplex, "is_eager", False) else None
