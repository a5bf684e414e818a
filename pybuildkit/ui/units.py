"""Sizes for people."""

from __future__ import annotations

__all__ = ["size"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size(value: int) -> str:
    """A number of bytes with two decimals and a decimal unit, as ``4.20MB`` (P21)."""
    amount = float(value)
    unit = 0
    while abs(amount) >= 1000 and unit < len(_UNITS) - 1:
        amount /= 1000
        unit += 1
    return f"{amount:.2f}{_UNITS[unit]}" if unit else f"{value}B"
