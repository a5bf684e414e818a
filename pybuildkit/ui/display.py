"""What a display is, and which one a mode means (P1)."""

from __future__ import annotations

import os
import sys
from typing import Protocol, TextIO

from pybuildkit.errors import ConfigError
from pybuildkit.events import SolveStatus

__all__ = ["MODES", "Display", "QuietDisplay", "open_display"]

MODES = ("auto", "plain", "tty", "quiet", "rawjson", "none")


class Display(Protocol):
    """Shows the progress of one build on a stream.

    Attributes:
        shows_logs: the output of a failed step has been shown when the build has ended.
    """

    shows_logs: bool

    def update(self, status: SolveStatus) -> None:
        """Take one batch in; may print."""
        ...

    def refresh(self) -> None:
        """Print what changes with time alone; called a few times a second."""
        ...

    def done(self) -> None:
        """The build has ended: print what is left."""
        ...


class QuietDisplay:
    """Shows nothing."""

    shows_logs = False

    def update(self, status: SolveStatus) -> None:
        """Show nothing."""

    def refresh(self) -> None:
        """Show nothing."""

    def done(self) -> None:
        """Show nothing."""


def open_display(mode: str = "auto", stream: TextIO | None = None, *, live: bool = True) -> Display:
    """The display for a mode.

    Args:
        mode: ``plain``; ``tty``; ``rawjson``; ``quiet`` and ``none``, which show nothing; ``auto``, which is
            ``$BUILDKIT_PROGRESS`` if set (B13), else ``tty`` on a terminal and ``plain`` elsewhere.
        stream: where to, stderr by default.
        live: a build that runs; not one that is shown again.

    Raises:
        ConfigError: the mode is not known, or ``tty`` was asked for and the stream is no terminal.
    """
    stream = sys.stderr if stream is None else stream
    if stream is None:  # a program without a console has none
        return QuietDisplay()
    if mode == "auto":
        mode = os.environ.get("BUILDKIT_PROGRESS") or "auto"
    if mode not in MODES:
        raise ConfigError(f"progress mode {mode!r} is not known; use one of {', '.join(MODES)}")
    if mode == "tty" and not stream.isatty():
        raise ConfigError("progress mode 'tty' needs a terminal; use 'plain'")
    if mode == "auto":
        mode = "tty" if stream.isatty() else "plain"
    if mode == "plain":
        from pybuildkit.ui.plain import PlainDisplay

        return PlainDisplay(stream)
    if mode == "rawjson":
        from pybuildkit.ui.rawjson import RawJSONDisplay

        return RawJSONDisplay(stream, rebase=live)
    if mode == "tty":
        from pybuildkit.ui.tty import TTYDisplay

        return TTYDisplay(stream)
    return QuietDisplay()
