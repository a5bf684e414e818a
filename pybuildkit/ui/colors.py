"""Colours of the terminal display: the defaults, ``$BUILDKIT_COLORS`` and ``$NO_COLOR`` (P13)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

from pybuildkit._values import dataclass, replace

__all__ = ["FAINT", "RESET", "Palette", "palette"]

RESET = "\x1b[0m"
FAINT = "\x1b[2m"

_NAMES = {"default": 39} | {
    name: 30 + number
    for number, name in enumerate(("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"))
}
_CODES = {name: f"\x1b[{code}m" for name, code in _NAMES.items()} | {
    f"light-{name}": f"\x1b[{code + 60}m" for name, code in _NAMES.items() if name != "default"
}


@dataclass(frozen=True, slots=True)
class Palette:
    """Escape sequences for rows that have ended; empty ones mean no colour."""

    run: str = ""
    cancel: str = ""
    error: str = ""
    warning: str = ""
    faint: str = ""
    reset: str = ""


_DEFAULT = Palette(
    run=_CODES["blue"],
    cancel=_CODES["yellow"],
    error=_CODES["red"],
    warning=_CODES["yellow"],
    faint=FAINT,
    reset=RESET,
)


def palette(environ: Mapping[str, str] | None = None) -> Palette:
    """The colours as the environment wants them; a bad entry is warned of and left out."""
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR"):
        return Palette()
    chosen = _DEFAULT
    for entry in filter(None, environ.get("BUILDKIT_COLORS", "").split(":")):
        key, separator, value = entry.partition("=")
        code = _code(value.lower())
        if not separator or key.lower() not in ("run", "cancel", "error", "warning") or code is None:
            warnings.warn(
                f"BUILDKIT_COLORS: {entry!r} is left out; write run|cancel|error|warning=COLOUR, "
                "a colour being a name as light-blue or three numbers from 0 to 255 as 20,90,200",
                stacklevel=2,
            )
            continue
        chosen = replace(chosen, **{key.lower(): code})
    return chosen


def _code(value: str) -> str | None:
    if value in _CODES:
        return _CODES[value]
    parts = value.split(",")
    if len(parts) != 3 or not all(part.isdigit() and int(part) <= 255 for part in parts):
        return None
    red, green, blue = (round(int(part) / 255 * 5) for part in parts)
    return f"\x1b[38;5;{16 + 36 * red + 6 * green + blue}m"
