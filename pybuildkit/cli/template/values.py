"""Go's values as templates see them: structs with named fields, times, durations, and nil lists.

Go's printing (``{{.}}``) and Go's JSON (``{{json .}}``) of a value differ from Python's; both are here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pybuildkit._values import dataclass
from pybuildkit.cli.gotime import Duration, Time

__all__ = ["NIL_LIST", "NIL_MAP", "Field", "Nil", "Struct", "go_format", "go_json", "go_print", "type_name"]


class Nil:
    """A pointer that is nil, of some type."""

    def __repr__(self) -> str:
        return "nil"


class _NilList(list[Any]):
    """A slice that is nil: empty, but ``null`` in JSON."""


class _NilMap(dict[Any, Any]):
    """A map that is nil, likewise."""


NIL_LIST: list[Any] = _NilList()
NIL_MAP: dict[Any, Any] = _NilMap()


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a struct.

    Attributes:
        name: in Go, and so in templates.
        value: what it holds.
        key: in JSON.
        omitempty: left out of JSON when it is empty.
    """

    name: str
    value: Any
    key: str
    omitempty: bool = False


class Struct:
    """A Go struct, or a pointer to one.

    Args:
        type_name: in Go, for error texts.
        fields: in Go's order.
        pointer: printed as Go prints a pointer to a struct: with ``&``.
        text: what its ``String`` method returns, when it has one.
    """

    def __init__(
        self,
        type_name: str,
        fields: Iterable[Field],
        *,
        pointer: bool = False,
        text: Callable[[], str] | None = None,
    ) -> None:
        self.type_name = type_name
        self.fields = {field.name: field for field in fields}
        self.pointer = pointer
        self.text = text


def type_name(value: Any) -> str:
    """The value's type in Go's words, for error texts."""
    if isinstance(value, Struct):
        return f"{'*' if value.pointer else ''}{value.type_name}"
    names = {bool: "bool", int: "int", float: "float64", str: "string", bytes: "[]uint8"}
    for kind, name in names.items():
        if isinstance(value, kind):
            return name
    if isinstance(value, Time):
        return "time.Time"
    if isinstance(value, Duration):
        return "time.Duration"
    if isinstance(value, list):
        return "[]interface {}"
    return "map[string]interface {}" if isinstance(value, Mapping) else "nil"


def go_print(value: Any) -> str:
    """A value as a template prints it: what a pointer points to."""
    if isinstance(value, Struct) and value.text is None:
        return _inner(value)
    return _print(value, top=True)


def go_format(value: Any) -> str:
    """A value as ``fmt`` prints it with ``%v``: a pointer with its ``&``."""
    return "<nil>" if value is None else _print(value, top=True)


def _print(value: Any, *, top: bool) -> str:
    if value is None:
        return "<no value>" if top else "<nil>"
    if isinstance(value, Nil):
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, Struct):
        return _print_struct(value, top=top)
    if isinstance(value, bytes | list):
        return f"[{' '.join(_print(item, top=False) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_print(key, top=False)}:{_print(value[key], top=False)}" for key in sorted(value))
        return f"map[{' '.join(pairs)}]"
    return str(value)


def _print_struct(value: Struct, *, top: bool) -> str:
    if value.text is not None:
        return value.text()
    if value.pointer and not top:
        # Go prints the address here; any one will do, as it is another one each time.
        return f"0xc{id(value) & 0xFFFFFFFFF:09x}"
    return f"{'&' if value.pointer else ''}{_inner(value)}"


def _inner(value: Struct) -> str:
    return f"{{{' '.join(_print(field.value, top=False) for field in value.fields.values())}}}"


def go_float(value: float) -> str:
    """A float as ``%v`` prints it: the shortest text, with an exponent from 1e21 on."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    mantissa, _, exponent = text.partition("e")
    power = int(exponent)
    if -4 <= power < 21:
        return f"{value:.0f}" if power > 0 else f"{value:.25f}".rstrip("0")
    return f"{mantissa.removesuffix('.0')}e{'-' if power < 0 else '+'}{abs(power):02d}"


def go_json(value: Any) -> str:
    """A value as Go's encoder writes it without escaping HTML."""
    text = json.dumps(_document(value), ensure_ascii=False, separators=(",", ":"))
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _document(value: Any) -> Any:
    if value is None or isinstance(value, Nil | _NilList | _NilMap):
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Time):
        return value.rfc3339()
    if isinstance(value, Duration):
        return value.ns
    if isinstance(value, Struct):
        return {
            field.key: _document(field.value)
            for field in value.fields.values()
            if not (field.omitempty and _empty(field.value))
        }
    if isinstance(value, list):
        return [_document(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _document(value[key]) for key in sorted(value, key=str)}
    return value


def _empty(value: Any) -> bool:
    if isinstance(value, Struct | Time):
        return False
    return value is None or isinstance(value, Nil) or value in (0, "", False, [], {}, b"")
