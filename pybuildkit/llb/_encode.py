"""Bytes of LLB messages, and the checks of the values that go into them.

The encoder is by hand because op bytes are hashed, and no protobuf runtime of Python writes them as Go does:
Go puts the members of a oneof last (T1) and sorts maps by their keys' bytes, each entry with key and value
(T2). Texts are turned into bytes by the call that gets them, so that a bad one is refused there and
marshalling only joins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError

__all__ = ["check_bool", "check_int", "check_text", "field", "go_json", "map_strings", "text", "text_field"]

_GO_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)

INT32_MAX = (1 << 31) - 1
INT64_MAX = (1 << 63) - 1
UINT32_MAX = (1 << 32) - 1
UINT64_MAX = (1 << 64) - 1

MINUS_ONE = varint(-1)


def field(tag: bytes, value: bytes) -> bytes:
    """A length-delimited field whose tag is already encoded."""
    return tag + varint(len(value)) + value


def text(value: str, what: str) -> bytes:
    """The UTF-8 of a text that may go into a definition.

    Args:
        value: the text.
        what: what it is, for the error: ``"argument"``.

    Raises:
        DefinitionError: it is no text, or holds a NUL, or a lone surrogate, which protobuf can not carry.
    """
    try:
        encoded = value.encode()
    except AttributeError:
        raise DefinitionError(f"{what} {value!r} is a {type(value).__name__}, give a str") from None
    except UnicodeEncodeError:
        raise DefinitionError(f"{what} {value!r} is not valid Unicode: it holds a lone surrogate") from None
    if type(encoded) is not bytes or b"\0" in encoded:
        raise DefinitionError(f"{what} {value!r} holds a NUL character, take it out")
    return encoded


def check_text(value: str, what: str, *, empty: bool = False) -> str:
    """The same text, checked.

    Raises:
        DefinitionError: as in ``text``, or it is empty although it must not be.
    """
    if not text(value, what) and not empty:
        raise DefinitionError(f"{what} is empty")
    return value


def text_field(tag: bytes, value: str, what: str) -> bytes:
    """A string field; an empty one is left out, as proto3 does."""
    encoded = text(value, what)
    return field(tag, encoded) if encoded else b""


def check_int(value: int, what: str, low: int = 0, high: int = INT64_MAX) -> int:
    """The same number, checked.

    Raises:
        DefinitionError: it is no whole number, or out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise DefinitionError(f"{what} {value!r} is a {type(value).__name__}, give an int")
    if not low <= value <= high:
        raise DefinitionError(f"{what} {value} is out of range, give {low} to {high}")
    return value


def check_bool(value: bool, what: str) -> bool:
    """The same truth value, checked: a text here is mostly an argument in the wrong place.

    Raises:
        DefinitionError: it is not a bool.
    """
    if not isinstance(value, bool):
        raise DefinitionError(f"{what} {value!r} is a {type(value).__name__}, give True or False")
    return value


def map_strings(tag: bytes, entries: Mapping[str, bytes]) -> bytes:
    """A ``map<string, string>`` field as Go writes it deterministically (T2)."""
    out = []
    for key, value in sorted((key.encode(), value) for key, value in entries.items()):
        body = b"\n" + varint(len(key)) + key + b"\x12" + varint(len(value)) + value
        out.append(tag + varint(len(body)) + body)
    return b"".join(out)


def go_json(value: object) -> str:
    """JSON as Go's ``encoding/json`` writes it: compact, with ``<``, ``>`` and ``&`` escaped (T17)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_GO_ESCAPES)


def go_json_texts(values: Iterable[str], what: str) -> bytes:
    """A list of texts as the JSON that source attributes carry; empty bytes for an empty list (L42).

    Raises:
        DefinitionError: a text among them is bad, or a single text was given instead of a list.
    """
    listed = texts(values, what)
    return go_json(listed).encode() if listed else b""


def texts(values: Iterable[str], what: str) -> list[str]:
    """A list of checked texts.

    Raises:
        DefinitionError: a text among them is bad, or a single text was given instead of a list.
    """
    if isinstance(values, str | bytes):
        raise DefinitionError(f"{what} {values!r} is one text, give a list of them")
    try:
        listed = list(values)
    except TypeError:
        raise DefinitionError(f"{what} {values!r} is a {type(values).__name__}, give a list of str") from None
    for value in listed:
        text(value, what)
    return listed
