"""What a session offers, before it is open: its id, its services, and how the daemon is told of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

from pybuildkit.errors import ConfigError, RPCError
from pybuildkit.rpc.channel import Metadata
from pybuildkit.session.calls import AsyncHandler, Chooser, MachineFactory, Service
from pybuildkit.session.health import Health

__all__ = ["LOSS_PATIENCE", "MAX_FAILURES", "Bridging", "Offer", "may_follow_from_loss", "new_id"]

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 25

MAX_FAILURES = 100
"""Errors of services that are kept: the last ones."""

LOSS_PATIENCE = 0.25
"""Seconds to wait for the session's own end when a call beside it failed in a way that the end would explain."""


def new_id() -> str:
    """An id as the daemon's own are: 25 characters of base 36, from the system's randomness (S4)."""
    number = int.from_bytes(os.urandom(17))
    digits: list[str] = []
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(digits)


class Bridging(Protocol):
    """Makes machines of coroutine handlers."""

    def factory(self, handler: AsyncHandler) -> MachineFactory:
        """What makes the machine for a call of that handler."""
        ...

    def chosen(self, choose: Chooser) -> MachineFactory:
        """What makes the machine for a call of which only its metadata says what serves it."""
        ...


class Offer:
    """What is offered to the daemon, under which id.

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
        self._services = tuple(services)
        self._methods: list[str] = []
        for service in self._serving():
            for method in (*service.machines, *service.handlers):
                if method in self._methods:
                    raise ConfigError(f"two services answer to {method}; leave one out")
                self._methods.append(method)

    @property
    def id(self) -> str:
        """What the daemon knows the session by."""
        return self._id

    @property
    def shared_key(self) -> str:
        """See the constructor."""
        return self._shared_key

    @property
    def services(self) -> tuple[Service, ...]:
        """What serves the methods, beside health."""
        return self._services

    def _serving(self) -> tuple[Service, ...]:
        return (Health(), *self._services)

    def machines(self, bridge: Bridging) -> dict[str, MachineFactory]:
        """What makes the machine for a call, by the method.

        Args:
            bridge: to where coroutine handlers run.
        """
        methods: dict[str, MachineFactory] = {}
        for service in self._serving():
            methods.update({name: bridge.chosen(choose) for name, choose in service.machines.items()})
            methods.update({name: bridge.factory(handler) for name, handler in service.handlers.items()})
        return methods

    @property
    def light(self) -> bool:
        """Whether no service moves files: all that it does is done by coroutines, and by answers made in memory."""
        return not any(service.machines for service in self._services)

    @property
    def health_timeout(self) -> float | None:
        """See the constructor."""
        return self._health_timeout

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


def may_follow_from_loss(error: BaseException | None) -> bool:
    """Whether a call beside the session failed as it does when the session is lost, or the daemon."""
    if not isinstance(error, RPCError):
        return False
    return error.code in ("CANCELLED", "UNAVAILABLE") or "context canceled" in error.message
