"""Writing TOML: the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from pybuildkit.errors import ConfigError

__all__ = ["Table", "Value", "dumps"]

Value: TypeAlias = "bool | int | float | str | Sequence[Value] | Mapping[str, Value]"
Table: TypeAlias = Mapping[str, Value]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def dumps(table: Table) -> str:
    """A table as TOML text: plain values first, then one section a nested table.

    Raises:
        ConfigError: a key is not text, or a value is of a type that TOML, or the daemon, does not know.
    """
    return "\n".join(_section(table, ())) + "\n"


def _section(table: Table, path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [f"[{'.'.join(_key(part) for part in path)}]"] if path and (plain or not nested) else []
    lines += [f"{_key(key)} = {_value(value, (*path, key))}" for key, value in plain.items()]
    for key, value in nested.items():
        lines += _section(value, (*path, key))
    return lines


def _key(key: str) -> str:
    if not isinstance(key, str):
        raise ConfigError(f"the configuration has the key {key!r}; keys are text")
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _text(value: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Value, path: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):  # a table inside an array
        return "{" + ", ".join(f"{_key(k)} = {_value(v, (*path, k))}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return "[" + ", ".join(_value(item, path) for item in value) + "]"
    raise ConfigError(
        f"the configuration's {'.'.join(map(str, path))} is of type {type(value).__name__}; "
        "use text, numbers, booleans, lists and mappings"
    )
