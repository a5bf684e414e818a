"""What else may look at a build's progress: the trace file and the cache metrics of ``solve`` (B19, B33)."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, TextIO

from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from pybuildkit.events import SolveStatus
    from pybuildkit.ui import Display

__all__ = ["CacheMetrics", "Several", "metrics_stream", "trace_display"]

_BASE = re.compile(r"^\[.*\] FROM")
_NOT_THE_USERS = ("[internal]", "[auth]", "importing cache", "exporting ")


class Several:
    """Displays that are fed together."""

    def __init__(self, displays: Sequence[Display]) -> None:
        self._displays = displays
        self.shows_logs = any(display.shows_logs for display in displays)

    def update(self, status: SolveStatus) -> None:
        """Give a batch to each."""
        for display in self._displays:
            display.update(status)

    def refresh(self) -> None:
        """Refresh each."""
        for display in self._displays:
            display.refresh()

    def done(self) -> None:
        """Tell each that the build has ended."""
        for display in self._displays:
            display.done()


class _Step:
    """What the metrics want to know of a vertex."""

    __slots__ = ("base", "cached", "completed", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.base = self.cached = self.completed = False


class CacheMetrics:
    """Counts which steps came from the cache; ``report`` writes it down."""

    shows_logs = False

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._steps: dict[str, _Step] = {}

    def update(self, status: SolveStatus) -> None:
        """Take a batch in."""
        for vertex in status.vertexes:
            step = self._steps.setdefault(vertex.digest, _Step(vertex.name))
            step.base = step.base or bool(_BASE.match(vertex.name))
            step.cached = step.cached or vertex.cached
            step.completed = step.completed or vertex.completed is not None

    def refresh(self) -> None:
        """Nothing changes with time."""

    def done(self) -> None:
        """The report is written when the build's own output is complete."""

    def report(self, stream: TextIO) -> None:
        """Write a line for each step that was not in the cache, and the sums as a JSON object."""
        import json

        steps = self._steps.values()
        users = [step for step in steps if not step.name.startswith(_NOT_THE_USERS)]
        missed = [step for step in users if not step.cached and not step.base]
        sums = {
            "total": len(steps),
            "completed": sum(step.completed for step in steps),
            "user_total": len(users),
            "user_cached": sum(step.cached for step in users),
            "user_completed": sum(step.completed for step in users),
            "user_cacheable": sum(not step.base for step in users),
            "from": sum(step.base for step in users),
            "miss": len(missed),
            "client_duration_ms": int((time.monotonic() - self._started) * 1000),
        }
        stream.writelines(f"cache miss: {step.name}\n" for step in missed)
        stream.write(json.dumps(sums, separators=(",", ":")) + "\n")
        stream.flush()


def trace_display(path: str, stack: ExitStack) -> Display:
    """Appends each batch to a file as a line of JSON; readable for its owner only.

    Raises:
        ConfigError: the file can not be opened.
    """
    from pybuildkit.ui.rawjson import RawJSONDisplay

    return RawJSONDisplay(_opened("--trace", path, os.O_APPEND, stack))


def metrics_stream(where: str, stack: ExitStack) -> TextIO:
    """Where ``--debug-json-cache-metrics`` goes: a standard stream, or a file for its owner only.

    Raises:
        ConfigError: the file can not be opened.
    """
    if where == "stdout":
        return sys.stdout
    return (
        sys.stderr if where == "stderr" else _opened("--debug-json-cache-metrics", where, os.O_TRUNC, stack)
    )


def _opened(flag: str, path: str, how: int, stack: ExitStack) -> TextIO:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
    except OSError as exc:
        raise ConfigError(f"{flag} {path} can not be written: {exc.strerror}") from exc
    return stack.enter_context(os.fdopen(descriptor, "w", encoding="utf-8"))
