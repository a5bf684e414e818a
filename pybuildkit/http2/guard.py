"""What a peer may waste before it is thrown out: bounds that honest peers never come near."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Bucket"]


class Bucket:
    """A leaky bucket of complaints: some at once, then so many a second.

    Args:
        size: how many it holds.
        leak: how many leave it in a second.
        clock: seconds, for the tests.
    """

    __slots__ = ("_clock", "_leak", "_level", "_size", "_when")

    def __init__(self, size: float, leak: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._leak = leak
        self._level = 0.0
        self._clock = clock
        self._when = clock()

    def pour(self, amount: float = 1) -> bool:
        """Add a complaint; False when the bucket runs over."""
        self._level += amount
        if self._level <= self._size:
            return True
        now = self._clock()
        self._level = max(0.0, self._level - amount - (now - self._when) * self._leak) + amount
        self._when = now
        return self._level <= self._size
