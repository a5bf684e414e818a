"""Notices that the daemon is gone though no connection says so (X2): a cut cable, a frozen machine, a dead proxy.

The daemon asks for the session's health every few seconds (S9), so a session that hears nothing at all for much longer has
lost its daemon. TCP would find out in minutes, or never where a proxy keeps the connection up.
"""

from __future__ import annotations

import anyio

from pybuildkit.errors import ConnectionLost
from pybuildkit.session.carrier import SESSION
from pybuildkit.session.driver import Driver

__all__ = ["watch"]

BEAT = 5.0
"""Seconds between two looks."""

SILENCE = 60.0
"""Seconds after which a silent daemon is given up. It would have asked a dozen times."""

_HEALTH_CHECKS = 4
"""How many checks must have failed to come, where the daemon was told to check less often (S10)."""


async def watch(driver: Driver, health_timeout: float | None) -> None:
    """Break a session that hears nothing any more; runs until it is cancelled.

    Looks are counted and not seconds: a process that was stopped for a while, or a blocked event loop, has not listened.
    """
    looks = max(SILENCE, _HEALTH_CHECKS * (health_timeout or 0)) / BEAT
    heard, silent = -1, 0
    while True:
        now = driver.heard
        silent = silent + 1 if now == heard else 0
        heard = now
        if silent >= looks:
            driver.give_up(
                ConnectionLost(
                    f"nothing was heard of the daemon for {silent * BEAT:.0f} s: its machine, or the way to it, "
                    "is down; build again when it is back",
                    code="UNAVAILABLE",
                    method=SESSION,
                )
            )
            return
        await anyio.sleep(BEAT)
