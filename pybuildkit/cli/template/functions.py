"""The functions that templates may call: Go's own, and ``json``."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from pybuildkit.cli.gotime import Duration, Time
from pybuildkit.cli.template.values import Nil, Struct, go_float, go_format, go_json, go_print, type_name

__all__ = ["FUNCTIONS", "truth"]


def truth(value: Any) -> bool:
    """What ``if`` makes of a value: empty things, zero, false and nil are not true; a struct always is."""
    if value is None or isinstance(value, Nil):
        return False
    if isinstance(value, Struct | Time):
        return True
    if isinstance(value, Duration):
        return bool(value.ns)
    return bool(value)


def _and(*values: Any) -> Any:
    if not values:
        raise TypeError("wants a value")
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    if not values:
        raise TypeError("wants a value")
    return next((value for value in values if truth(value)), values[-1])


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list | bytes | Mapping):
        return len(value)
    raise TypeError(f"a {type_name(value)} has no length")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            # A key that is not there has the zero value of what the map holds.
            value = value.get(key, "" if all(isinstance(v, str) for v in value.values()) else None)
        elif isinstance(value, list | bytes | str):
            sequence = value.encode() if isinstance(value, str) else value
            if not isinstance(key, int) or not 0 <= key < len(sequence):
                raise LookupError(f"{go_print(key)} is no index below {len(sequence)}")
            value = sequence[key]
        else:
            raise TypeError(f"a {type_name(value)} has no items")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, str | list | bytes):
        raise TypeError(f"a {type_name(value)} can not be cut")
    if len(bounds) > 2:
        raise TypeError("takes two bounds at most")
    sequence: Any = value.encode() if isinstance(value, str) else value
    start = bounds[0] if bounds else 0
    stop = bounds[1] if len(bounds) > 1 else len(sequence)
    if not all(isinstance(n, int) for n in (start, stop)) or not 0 <= start <= stop <= len(sequence):
        raise LookupError(f"{go_print(start)}:{go_print(stop)} is out of range")
    cut = sequence[start:stop]
    return cut.decode(errors="replace") if isinstance(value, str) else cut


def _comparable(value: Any) -> Any:
    if isinstance(value, Time | Duration):
        return value.ns
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type_name(value)} can not be compared")


def _kind(value: Any) -> str:
    return "int" if isinstance(value, Time | Duration) else type_name(value)


def _same_kind(a: Any, b: Any) -> None:
    if a is not None and b is not None and _kind(a) != _kind(b):
        raise TypeError(f"a {type_name(a)} and a {type_name(b)} can not be compared")


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise TypeError("wants two values")
    for other in others:
        _same_kind(first, other)
    return any(_comparable(first) == _comparable(other) for other in others)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(a: Any, b: Any) -> bool:
        _same_kind(a, b)
        return test(_comparable(a), _comparable(b))

    return compare


def _print(*values: Any) -> str:
    """Go puts a blank between two values of which neither is a string."""
    out: list[str] = []
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            out.append(" ")
        out.append(go_format(value))
    return "".join(out)


def _println(*values: Any) -> str:
    return " ".join(map(go_format, values)) + "\n"


_VERB = re.compile(r"%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?(.)", re.DOTALL)


def _printf(text: str, *values: Any) -> str:
    left = list(values)

    def take() -> Any:
        if not left:
            raise TypeError(f"{text!r} wants more values")
        return left.pop(0)

    def replaced(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        width = str(take()) if width == "*" else width
        precision = str(take()) if precision == "*" else precision
        if precision is None and "." in match[0]:
            precision = "0"
        shown = _verb(verb, flags, precision, take())
        size = int(width or 0)
        if "-" in flags:
            return shown.ljust(size)
        if "0" in flags and verb not in "sqv":
            sign = shown[: shown[:1] in ("-", "+")]
            return sign + shown[len(sign) :].rjust(size - len(sign), "0")
        return shown.rjust(size)

    out = _VERB.sub(replaced, text)
    if left:
        raise TypeError(f"{text!r} takes {len(values) - len(left)} values")
    return out


def _verb(verb: str, flags: str, precision: str | None, value: Any) -> str:
    number = value.ns if isinstance(value, Duration) else value
    whole = isinstance(number, int) and not isinstance(number, bool)
    plus = "+" if "+" in flags else ""
    shown: str | None = None
    if verb == "v" or (verb == "s" and type(value) not in (int, float, bool)):
        shown = go_format(value)
        shown = shown[: int(precision)] if precision is not None and isinstance(value, str) else shown
    elif verb == "q" and isinstance(value, str):
        shown = json.dumps(value, ensure_ascii=False)
    elif verb == "t" and isinstance(value, bool):
        shown = go_print(value)
    elif verb == "T":
        shown = type_name(value)
    elif verb in "dxXob" and whole:
        shown = format(number, f"{plus}{'#' if '#' in flags else ''}{verb}")
    elif verb == "c" and whole:
        shown = chr(number)
    elif verb in "xX" and isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        shown = data.hex().upper() if verb == "X" else data.hex()
    elif verb in "feEgG" and isinstance(value, float):
        shown = (
            go_float(value)
            if verb in "gG" and precision is None
            else format(value, f"{plus}.{precision or 6}{verb}")
        )
    if shown is None:
        return f"%!{verb}({type_name(value)}={go_format(value)})"
    return shown


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "len": _len,
    "index": _index,
    "slice": _slice,
    "eq": _eq,
    "ne": lambda a, b: not _eq(a, b),
    "lt": _ordered(lambda a, b: a < b),
    "le": _ordered(lambda a, b: a <= b),
    "gt": _ordered(lambda a, b: a > b),
    "ge": _ordered(lambda a, b: a >= b),
    "print": _print,
    "println": _println,
    "printf": _printf,
    "html": lambda *values: (
        html.escape(_print(*values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    ),
    "urlquery": lambda *values: quote_plus(_print(*values), safe="~"),
    "json": go_json,
}
