r"""Go's regular expressions, as far as moby's patterns can lead to them (S37).

moby turns a pattern into a regular expression and leaves more of it untouched than it means to: the classes in
brackets, every escape (``\d`` is a digit), ``^``, ``|`` and ``{2}``. So users' ignore files are, in part, Go
regular expressions, and matching them exactly needs Go's reading of those. The two languages differ in what a
class may hold, in escapes, in ``$`` and in what is an error; hence a parser, and not a handful of replacements.
What it reads is matched by ``_regexmatch``.

Not known here: groups with flags or names, which no pattern can lead to.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from pybuildkit._values import dataclass
from pybuildkit.fsutil._gopath import RegexError

__all__ = [
    "Assertion",
    "Chars",
    "Choice",
    "Concat",
    "Node",
    "RegexError",
    "Repeat",
    "chars",
    "negate",
    "parse",
]

Ranges = list[tuple[int, int]]

_MAX_REPEAT = 1000
_PERL: dict[str, Ranges] = {
    "d": [(0x30, 0x39)],
    "s": [(9, 10), (12, 13), (32, 32)],
    "w": [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
}
_POSIX: dict[str, Ranges] = {
    "alnum": [(0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)],
    "alpha": [(0x41, 0x5A), (0x61, 0x7A)],
    "ascii": [(0, 0x7F)],
    "blank": [(9, 9), (32, 32)],
    "cntrl": [(0, 0x1F), (0x7F, 0x7F)],
    "digit": [(0x30, 0x39)],
    "graph": [(0x21, 0x7E)],
    "lower": [(0x61, 0x7A)],
    "print": [(0x20, 0x7E)],
    "punct": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)],
    "space": [(9, 13), (32, 32)],
    "upper": [(0x41, 0x5A)],
    "word": _PERL["w"],
    "xdigit": [(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)],
}
_C_ESCAPES = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}


@dataclass(frozen=True, slots=True)
class Chars:
    """One character, of these ranges of code points: sorted, apart from each other."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place in the text: ``A`` its begin, ``z`` its end, ``b`` a word's boundary, ``B`` any other."""

    kind: str


@dataclass(frozen=True, slots=True)
class Concat:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """So many times at least, and at most; -1 is any number."""

    node: Node
    low: int
    high: int


Node: TypeAlias = Chars | Assertion | Concat | Choice | Repeat


def parse(expression: str) -> Node:
    """Read a Go regular expression.

    Raises:
        RegexError: Go would not compile it.
    """
    return _Parser(expression).parse()


def negate(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """All other code points."""
    result: Ranges = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            result.append((start, low - 1))
        start = max(start, high + 1)
    if start <= sys.maxunicode:
        result.append((start, sys.maxunicode))
    return result


def chars(*ranges: tuple[int, int]) -> Chars:
    """A class of characters, from ranges in any order."""
    return Chars(tuple(negate(negate(ranges))))


_NOT_NEWLINE = chars(*negate([(10, 10)]))


class _Level:
    """What has been read of a group, or of the whole: the alternatives, and the atoms of the last."""

    def __init__(self) -> None:
        self.alternatives: list[Node] = []
        self.atoms: list[tuple[Node, int]] = []  # with how many copies of its innermost part it makes

    def next_alternative(self) -> None:
        self.alternatives.append(Concat(tuple(atom for atom, _ in self.atoms)))
        self.atoms = []

    def node(self) -> Node:
        self.next_alternative()
        return self.alternatives[0] if len(self.alternatives) == 1 else Choice(tuple(self.alternatives))


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.levels = [_Level()]
        self.repeated = False  # the last thing read was a repetition

    def parse(self) -> Node:
        while self.pos < len(self.text):
            char = self.text[self.pos]
            was_repeated, self.repeated = self.repeated, False
            if char in "*+?{" and self._repetition(char, was_repeated):
                self.repeated = True
                continue
            self._one(char)
        if len(self.levels) != 1:
            raise RegexError("a group is not closed")
        return self.levels[0].node()

    def _one(self, char: str) -> None:
        """Read whatever begins with that character, other than a repetition."""
        level = self.levels[-1]
        self.pos += 1
        if char == "(":
            self.levels.append(_Level())
        elif char == "|":
            level.next_alternative()
        elif char == ")":
            if len(self.levels) == 1:
                raise RegexError("a group is closed that was not opened")
            copies = max((copies for _, copies in level.atoms), default=1)
            self.levels.pop()
            self._push(level.node(), copies)
        elif char == "^":
            self._push(Assertion("A"))
        elif char == "$":
            self._push(Assertion("z"))
        elif char == ".":
            self._push(_NOT_NEWLINE)
        elif char == "[":
            self._push(self._class())
        elif char == "\\":
            self._escape()
        else:
            self._push(_literal(ord(char)))

    def _push(self, atom: Node, copies: int = 1) -> None:
        self.levels[-1].atoms.append((atom, copies))

    # --- repetitions ---

    def _repetition(self, char: str, was_repeated: bool) -> bool:
        """Apply one to the last atom; False when a brace is an ordinary character."""
        low, high, end = int(char == "+"), 1 if char == "?" else -1, self.pos + 1
        if char == "{":
            counts = self._counts()
            if counts is None:
                return False
            low, high, end = counts
            if low > _MAX_REPEAT or high > _MAX_REPEAT or 0 <= high < low:
                raise RegexError("a count is too big")
        if was_repeated:
            raise RegexError("a repetition of a repetition")
        atoms = self.levels[-1].atoms
        if not atoms:
            raise RegexError("nothing to repeat")
        atom, copies = atoms.pop()
        if char == "{":
            copies *= max(1, low if high < 0 else high)
            if copies > _MAX_REPEAT and max(low, high) >= 2:
                raise RegexError("counts in counts are too big")
        self._push(Repeat(atom, low, high), copies)
        self.pos = end
        return True

    def _counts(self) -> tuple[int, int, int] | None:
        """Read ``{2}``, ``{2,}`` or ``{2,3}``: least, most (-1: no limit) and where it ends."""
        close = self.text.find("}", self.pos)
        low, comma, high = self.text[self.pos + 1 : close].partition(",")
        if close < 0 or not _is_count(low) or (high and not _is_count(high)):
            return None
        return int(low), (int(high) if high else -1 if comma else int(low)), close + 1

    # --- escapes ---

    def _escape(self) -> None:
        char = self.text[self.pos] if self.pos < len(self.text) else ""
        if char and char in "AbBz":
            self.pos += 1
            self._push(Assertion(char))
        elif char == "Q":
            self.pos += 1
            quoted, _, _ = self.text[self.pos :].partition(r"\E")
            for letter in quoted:
                self._push(_literal(ord(letter)))
            self.pos = min(len(self.text), self.pos + len(quoted) + 2)
        else:
            ranges = self._class_escape()
            self._push(_literal(self._char_escape()) if ranges is None else chars(*ranges))

    def _class_escape(self) -> Ranges | None:
        r"""Read what follows a backslash if it is a class, as ``\d`` or ``\pL``; else None, nothing read."""
        char = self.text[self.pos : self.pos + 1]
        if char and char in "pP":
            self.pos += 1
            return self._unicode_class(negated=char == "P")
        ranges = _PERL.get(char.lower())
        if ranges is None:
            return None
        self.pos += 1
        return ranges if char.islower() else negate(ranges)

    def _unicode_class(self, *, negated: bool) -> Ranges:
        name = self.text[self.pos : self.pos + 1]
        self.pos += 1
        if name == "{":
            close = self.text.find("}", self.pos)
            if close < 0:
                raise RegexError("a Unicode class is not closed")
            name = self.text[self.pos : close]
            self.pos = close + 1
        if name.startswith("^"):
            negated = not negated
            name = name[1:]
        ranges = list(_category(name))
        return negate(ranges) if negated else ranges

    def _char_escape(self) -> int:
        """Read what follows a backslash: the code point it stands for."""
        if self.pos >= len(self.text):
            raise RegexError("a backslash at the end")
        char = self.text[self.pos]
        self.pos += 1
        if char in _C_ESCAPES:
            return _C_ESCAPES[char]
        if char == "x":
            return self._hex()
        if char == "0" or (char in "1234567" and self.text[self.pos : self.pos + 1] in tuple("01234567")):
            end = self.pos
            while end < min(len(self.text), self.pos + 2) and self.text[end] in "01234567":
                end += 1
            value = int(char + self.text[self.pos : end], 8)
            self.pos = end
            return value
        if not char.isascii() or char.isalnum():
            raise RegexError(f"no escape {char!r} is known")
        return ord(char)

    def _hex(self) -> int:
        if self.text[self.pos : self.pos + 1] == "{":
            close = self.text.find("}", self.pos)
            digits = self.text[self.pos + 1 : close] if close > 0 else ""
            self.pos = close + 1
        else:
            digits = self.text[self.pos : self.pos + 2]
            self.pos += 2
            if len(digits) != 2:
                digits = ""
        if not digits or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            raise RegexError("a hexadecimal escape is not one")
        value = int(digits, 16)
        if value > sys.maxunicode:
            raise RegexError("a hexadecimal escape is too big")
        return value

    # --- classes ---

    def _class(self) -> Chars:
        """Read a class whose bracket is behind us."""
        ranges: Ranges = []
        negated = self.text[self.pos : self.pos + 1] == "^"
        self.pos += negated
        first = True
        while first or self.text[self.pos : self.pos + 1] != "]":
            first = False
            ranges += self._class_item()
        self.pos += 1
        return chars(*negate(ranges)) if negated else chars(*ranges)

    def _class_item(self) -> Ranges:
        text = self.text
        if text.startswith("[:", self.pos) and (close := text.find(":]", self.pos + 2)) >= 0:
            name = text[self.pos + 2 : close]
            self.pos = close + 2
            ranges = _POSIX.get(name.removeprefix("^"))
            if ranges is None:
                raise RegexError(f"no class [:{name}:] is known")
            return negate(ranges) if name.startswith("^") else ranges
        if text.startswith("\\", self.pos):
            self.pos += 1
            found = self._class_escape()
            if found is not None:
                return found
            self.pos -= 1
        low = high = self._class_char()
        if text.startswith("-", self.pos) and self.pos + 1 < len(text) and text[self.pos + 1] != "]":
            self.pos += 1
            high = self._class_char()
            if high < low:
                raise RegexError("a range runs backwards")
        return [(low, high)]

    def _class_char(self) -> int:
        if self.pos >= len(self.text):
            raise RegexError("a class is not closed")
        char = self.text[self.pos]
        self.pos += 1
        return self._char_escape() if char == "\\" else ord(char)


def _is_count(text: str) -> bool:
    """Decimal digits without a leading zero."""
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")


def _literal(code: int) -> Chars:
    return Chars(((code, code),))


@lru_cache(maxsize=16)
def _category(name: str) -> tuple[tuple[int, int], ...]:
    """The ranges of a Unicode general category; Go's scripts and long names are not known here."""
    wanted = name.replace("_", "").capitalize()
    if wanted == "Any":
        return ((0, sys.maxunicode),)
    if wanted == "Ascii":
        return ((0, 0x7F),)
    members: tuple[str, ...] = (wanted,) if 0 < len(wanted) <= 2 else ("none",)
    if wanted == "Lc":
        members = ("Lu", "Ll", "Lt")
    elif wanted == "Assigned":
        members = ("L", "M", "N", "P", "S", "Z", "Cc", "Cf", "Cs", "Co")
    result: Ranges = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)).startswith(members):
            if result and result[-1][1] == code - 1:
                result[-1] = (result[-1][0], code)
            else:
                result.append((code, code))
    if not result:
        raise RegexError(f"the Unicode class {name!r} is not known here")
    return tuple(result)
