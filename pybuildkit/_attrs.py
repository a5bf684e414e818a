"""Typed dataclass fields that stand for string attributes of the daemon.

A class declares ``push: bool | None = field(default=None, metadata=attr("push", boolean))``; ``render`` gives
the attributes of all fields that are set, ``absorb`` turns attributes that came as text into field values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pybuildkit._values import fields
from pybuildkit.csvattrs import parse_bool
from pybuildkit.errors import ConfigError

__all__ = [
    "absorb",
    "attr",
    "attr_keys",
    "boolean",
    "choice",
    "duration",
    "epoch",
    "integer",
    "render",
    "text",
]

Reader = Callable[[str, str], Any]
"""Reads an attribute's text: key and value to the field's value; raises ConfigError."""


def attr(key: str, read: Reader) -> dict[str, Any]:
    """Metadata of a field that stands for the daemon's attribute of that name; None leaves it out."""
    return {"attr": key, "read": read}


def text(key: str, value: str) -> str:
    """Any text."""
    return value


def boolean(key: str, value: str) -> bool:
    """A Go boolean; nothing behind the ``=`` means true, as most of the daemon's attributes have it."""
    return True if value == "" else parse_bool(value, what=key)


def integer(key: str, value: str) -> int:
    """A decimal integer."""
    try:
        return int(value)
    except ValueError:
        raise ConfigError(f"{key}={value!r} is not an integer") from None


def choice(*allowed: str) -> Reader:
    """One of some words."""

    def read(key: str, value: str) -> str:
        if value not in allowed:
            raise ConfigError(f"{key}={value!r} is not one of {', '.join(allowed)}")
        return value

    return read


def epoch(key: str, value: str) -> int | str:
    """Seconds since 1970, or nothing: that means "do not clamp"."""
    return integer(key, value) if value else ""


_DURATION = r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)"


def duration(key: str, value: str) -> str:
    """A Go duration, as ``1h30m``."""
    if not re.fullmatch(_DURATION, value):
        raise ConfigError(f"{key}={value!r} is not a duration, write it as 90s, 10m or 1h30m")
    return value


def attr_keys(cls: Any) -> dict[str, tuple[str, Reader]]:
    """Attribute name to the field's name and reader, for a dataclass or an instance of one."""
    return {f.metadata["attr"]: (f.name, f.metadata["read"]) for f in fields(cls) if "attr" in f.metadata}


def render(value: Any) -> dict[str, str]:
    """The attributes of a dataclass instance, those that are None left out.

    Raises:
        ConfigError: a field has a value that its own reader would refuse.
    """
    out: dict[str, str] = {}
    for key, (name, read) in attr_keys(value).items():
        item = getattr(value, name)
        if item is None:
            continue
        out[key] = _string(key, item)
        read(key, out[key])
    return out


def _string(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return str(value)
    from datetime import datetime, timedelta  # a matter of start-up time

    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigError(
                f"{key}={value}: a time without a zone is ambiguous, give datetime(..., tzinfo=UTC)"
            )
        return str(int(value.timestamp()))
    if isinstance(value, timedelta):
        return f"{value.total_seconds():f}s"
    raise ConfigError(f"{key} can not be {type(value).__name__}, give text, an integer or a boolean")


def absorb(cls: Any, attrs: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Split attributes into field values of the class and the rest.

    Raises:
        ConfigError: a known attribute has a value that the daemon would refuse.
    """
    known = attr_keys(cls)
    values: dict[str, Any] = {}
    rest: dict[str, str] = {}
    for key, value in attrs.items():
        if key in known:
            name, read = known[key]
            values[name] = read(key, value)
        else:
            rest[key] = value
    return values, rest
