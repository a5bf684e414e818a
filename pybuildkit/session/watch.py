"""Notices that the daemon is gone though no connection says so (X2): a cut cable, a frozen machine, a dead proxy.

The daemon asks for the session's health every few seconds (S9), so a session that hears nothing at all for much longer has
lost its daemon. TCP would find out in minutes, or never where a proxy keeps the connection up.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from pybuildkit.errors import ConnectionLost
from pybuildkit.session.carrier import SESSION
from pybuildkit.session.driver import Driver

__all__ = ["BEAT", "Watcher", "watching"]

BEAT = 5.0
"""Seconds between two looks."""

SILENCE = 60.0
"""Seconds after which a silent daemon is given up. It would have asked a dozen times."""

_HEALTH_CHECKS = 4
"""How many checks must have failed to come, where the daemon was told to check less often (S10)."""


class Watcher:
    """Looks whether a session still hears of its daemon.

    Looks are counted and not seconds: a process that was stopped for a while, or a blocked event loop, has not listened.

    Args:
        driver: the session's.
        health_timeout: the session's own, None for the daemon's rule.
    """

    def __init__(self, driver: Driver, health_timeout: float | None) -> None:
        self._driver = driver
        self._looks = max(SILENCE, _HEALTH_CHECKS * (health_timeout or 0)) / BEAT
        self._heard = -1
        self._silent = 0

    def look(self) -> bool:
        """To be called every ``BEAT`` seconds; breaks a session that hears nothing any more, and is True then."""
        now = self._driver.heard
        self._silent = self._silent + 1 if now == self._heard else 0
        self._heard = now
        if self._silent < self._looks:
            return False
        self._driver.give_up(
            ConnectionLost(
                f"nothing was heard of the daemon for {self._silent * BEAT:.0f} s: its machine, or the way to it, "
                "is down; build again when it is back",
                code="UNAVAILABLE",
                method=SESSION,
            )
        )
        return True


@contextmanager
def watching(driver: Driver, health_timeout: float | None) -> Generator[None]:
    """Look every few seconds for as long as the block lasts, in the event loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    watcher = Watcher(driver, health_timeout)

    timers: list[asyncio.TimerHandle] = []

    def look() -> None:
        if not watcher.look():
            timers[:] = [loop.call_later(BEAT, look)]

    timers.append(loop.call_later(BEAT, look))
    try:
        yield
    finally:
        timers[0].cancel()
