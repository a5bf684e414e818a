"""containerd's filter expressions, as ``digest==sha256:…`` or ``ref~=/^layer-/`` (S94).

An expression is selectors joined by commas, all of which must match; of several expressions one must match. A selector is
a field path, alone (the field is there) or with ``==``, ``!=`` or ``~=`` (a regular expression) and a value. Parts of the
path and the value may be quoted by ``"``; the value of ``~=`` by ``/`` or ``|`` too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, TypeAlias

from pybuildkit.errors import ContentError

__all__ = ["Lookup", "Matcher", "compile_filters"]

Lookup: TypeAlias = Callable[[Sequence[str]], "str | None"]
"""Gives the value of a field path, None when there is no such field."""

Matcher: TypeAlias = Callable[[Lookup], bool]

_FIELD = re.compile(r"[A-Za-z0-9_]+")
_OPERATOR = re.compile(r"[=!~]+")
_VALUE = re.compile(r"[^\s,.=!~][^\s,]*")
_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"/|])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.|$)", re.DOTALL
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def compile_filters(expressions: Iterable[str]) -> Matcher:
    """Turn filter expressions into a function that says whether something matches any of them.

    No expression, or an empty one, matches all.

    Raises:
        ContentError: an expression does not parse; reason ``invalid``.
    """
    alternatives = [_Parser(text).parse() for text in expressions]
    if not alternatives:
        return lambda _: True
    return lambda lookup: any(all(selector(lookup) for selector in every) for every in alternatives)


class _Parser:
    """One expression's recursive descent: a position in a text, moving on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._pos = 0

    def parse(self) -> list[Matcher]:
        """The selectors, none for an empty expression."""
        if not self._text:
            return []
        if "\0" in self._text:
            self._fail("unexpected null")
        selectors = [self._selector()]
        while not self._at_end():
            if self._peek() != ",":
                self._fail("unexpected input")
            self._pos += 1
            selectors.append(self._selector())
        return selectors

    def _selector(self) -> Matcher:
        path = [self._field()]
        while self._peek() == ".":
            self._pos += 1
            path.append(self._field())
        if self._at_end() or self._peek() == ",":
            return lambda lookup: lookup(path) is not None
        self._skip_space()
        operator = self._take(_OPERATOR) or self._fail('expected an operator ("=="|"!="|"~=")')
        if operator not in ("==", "!=", "~="):
            self._fail(f"unsupported operator {operator!r}")
        return self._comparison(path, operator, self._value(slashes=operator == "~="))

    def _comparison(self, path: list[str], operator: str, value: str) -> Matcher:
        if operator == "==":
            return lambda lookup: lookup(path) == value
        if operator == "!=":
            return lambda lookup: (lookup(path) or "") != value
        try:
            pattern = re.compile(value)
        except re.error as exc:
            self._fail(f"{value!r} is not a regular expression: {exc}")
        return lambda lookup: pattern.search(lookup(path) or "") is not None

    def _field(self) -> str:
        self._skip_space()
        if self._peek() == '"':
            return self._quoted()
        return self._take(_FIELD) or self._fail("expected field or quoted")

    def _value(self, *, slashes: bool) -> str:
        self._skip_space()
        if self._peek() == '"' or (self._peek() in ("/", "|") and slashes):
            return self._quoted()
        if self._peek() in ("/", "|"):
            self._fail("invalid quote encountered")
        return self._take(_VALUE) or self._fail("expected value or quoted")

    def _quoted(self) -> str:
        quote, start = self._text[self._pos], self._pos + 1
        end = start
        while end < len(self._text) and self._text[end] != quote:
            end += 2 if self._text[end] == "\\" else 1
        body = self._text[start:end]
        if end >= len(self._text) or "\n" in body:
            self._fail("quoted literal not terminated")
        self._pos = end + 1
        return _ESCAPE.sub(self._unescape, body)

    def _unescape(self, match: re.Match[str]) -> str:
        simple, octal, *hexadecimal = match.groups()
        if simple is not None:
            return _SIMPLE.get(simple, simple)
        if octal is not None:
            return chr(int(octal, 8))
        for digits in hexadecimal:
            if digits is not None:
                return chr(int(digits, 16))
        return self._fail("illegal escape sequence")

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._pos)
        if match is None:
            return ""
        self._pos = match.end()
        return match.group()

    def _skip_space(self) -> None:
        self._take(_SPACE)

    def _peek(self) -> str:
        """The next character. Space is skipped before a part of an expression, nowhere else."""
        return self._text[self._pos : self._pos + 1]

    def _at_end(self) -> bool:
        return self._peek() == ""

    def _fail(self, message: str) -> NoReturn:
        before, after = self._text[: self._pos], self._text[self._pos :]
        raise ContentError(f"filters: parse error: [{before} >|<{after}]: {message}", reason="invalid")
