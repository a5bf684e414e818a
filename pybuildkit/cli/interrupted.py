"""A signal that ended a command."""

from __future__ import annotations

import signal

__all__ = ["GRACE", "Interrupted"]

GRACE = 1.5
"""Seconds that a build has to stop in the daemon after Ctrl-C, before the connection is simply closed."""


class Interrupted(Exception):
    """A signal ended the command.

    Args:
        number: of the signal.
        what: it ended.
    """

    def __init__(self, number: int, what: str = "the command") -> None:
        super().__init__(f"{what} was stopped ({signal.Signals(number).name})")
        self.exit_code = 128 + number
