"""Times on the wire are nanoseconds since the epoch, and spans are nanoseconds; users have better types."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pybuildkit.errors import ConfigError

__all__ = ["Span", "moment", "nanoseconds"]

Span = float | timedelta
"""A length of time: seconds, or a ``timedelta``."""


def moment(ns: int | None) -> datetime | None:
    """Nanoseconds since the epoch as a time in UTC, cut to microseconds."""
    if ns is None:
        return None
    seconds, rest = divmod(ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def nanoseconds(span: Span, name: str) -> int:
    """A span as the daemon wants it.

    Raises:
        ConfigError: it is negative, or no number.
    """
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1 << 33:
        raise ConfigError(f"{name}={span!r} must be a number of seconds from 0 on, or a timedelta")
    return round(seconds * 1_000_000_000)
