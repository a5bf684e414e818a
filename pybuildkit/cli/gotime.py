"""Go's times and durations, read and written as Go does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError

__all__ = ["Duration", "Time", "local_rfc3339", "parse_duration"]

SECOND = 1_000_000_000
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}


@dataclass(frozen=True, slots=True)
class Duration:
    """``time.Duration``, in nanoseconds."""

    ns: int

    def __str__(self) -> str:
        """As ``48h0m0s`` or ``1.5ms``."""
        sign, ns = ("-" if self.ns < 0 else ""), abs(self.ns)
        if ns < SECOND:
            if not ns:
                return "0s"
            unit = "ns" if ns < 1000 else "µs" if ns < 1_000_000 else "ms"
            return f"{sign}{_decimal(Fraction(ns, _UNITS[unit]))}{unit}"
        minutes, rest = divmod(ns, 60 * SECOND)
        text = f"{_decimal(Fraction(rest, SECOND))}s"
        if minutes:
            hours, minutes = divmod(minutes, 60)
            text = f"{minutes}m{text}"
            if hours:
                text = f"{hours}h{text}"
        return sign + text


def _decimal(value: Fraction) -> str:
    whole, rest = divmod(value, 1)
    digits = f"{int(rest * SECOND):09d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


@dataclass(frozen=True, slots=True)
class Time:
    """``time.Time`` in UTC, in nanoseconds since the epoch."""

    ns: int

    def __str__(self) -> str:
        """As ``2025-01-31 13:37:00.5 +0000 UTC``."""
        return f"{self._date('%Y-%m-%d %H:%M:%S')}{self._fraction()} +0000 UTC"

    def rfc3339(self) -> str:
        """As ``2025-01-31T13:37:00.5Z``."""
        return f"{self._date('%Y-%m-%dT%H:%M:%S')}{self._fraction()}Z"

    def _date(self, how: str) -> str:
        return datetime.fromtimestamp(self.ns // SECOND, UTC).strftime(how)

    def _fraction(self) -> str:
        rest = self.ns % SECOND
        return f".{rest:09d}".rstrip("0") if rest else ""


def local_rfc3339(ns: int | None) -> str:
    """A time in this machine's zone, to the second; empty for none."""
    if ns is None:
        return ""
    text = datetime.fromtimestamp(ns // SECOND).astimezone().isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")


def parse_duration(text: str, flag: str) -> float:
    """Seconds of a duration as Go writes it: ``24h``, ``1h30m``, ``1.5s``, ``300ms``.

    Raises:
        ConfigError: it is none.
    """
    number = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
    unit = "|".join(_UNITS)
    if text in ("0", "+0", "-0"):
        return 0.0
    match = re.fullmatch(rf"([+-]?)((?:{number}(?:{unit}))+)", text)
    if match is None:
        raise ConfigError(f"{flag} {text!r} is no duration; write it as 24h, 1h30m or 90s")
    total = sum(
        (Fraction(amount) * _UNITS[name] for amount, name in re.findall(rf"({number})({unit})", match[2])),
        Fraction(0),
    )
    return float(total / SECOND) * (-1 if match[1] == "-" else 1)
