"""Reading JSON that others wrote: each value is checked for its type, absent or null means empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Malformed", "items", "mapping", "number", "string", "strings", "struct"]


class Malformed(ValueError):
    """A field has a value of another type; the text is its name."""


def string(fields: Mapping[str, Any], key: str) -> str:
    """A string."""
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(key)
    return value


def number(fields: Mapping[str, Any], key: str) -> int:
    """An integer; also as a string, as protobuf's JSON writes 64-bit ones."""
    value = fields.get(key)
    if value is None:
        return 0
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise Malformed(key) from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(key)
    return value


def struct(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object."""
    value = fields.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(key)
    return value


def items(fields: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects; null ones are empty."""
    found: list[Any] = [{} if item is None else item for item in _list(fields, key)]
    if not all(isinstance(item, dict) for item in found):
        raise Malformed(key)
    return found


def strings(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of strings."""
    found = tuple(_list(fields, key))
    if not all(isinstance(item, str) for item in found):
        raise Malformed(key)
    return found


def mapping(fields: Mapping[str, Any], key: str) -> dict[str, str]:
    """An object whose values are strings."""
    found = dict(struct(fields, key))
    if not all(isinstance(item, str) for item in found.values()):
        raise Malformed(key)
    return found


def _list(fields: Mapping[str, Any], key: str) -> list[Any]:
    value = fields.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(key)
    return value
