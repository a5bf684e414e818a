r"""Matching what ``_goregex`` reads, in time that is never much more than the text's length.

Go's engine takes linear time whatever the expression is. Python's goes back and tries again, and with a handful of
stars it takes minutes for one name; it holds the interpreter's lock meanwhile, and a build's patterns come from
whoever wrote its frontend. So each expression is matched in one of three ways:

- as it is, by ``re``, when it has so few unbounded parts that going back costs little; nearly all are such;
- by ``re``, in a form that does not go back, when it is a plain glob: there, the first place where a part between two
  stars matches is as good as any later one;
- by following all possibilities at once, one character after the other, when it is anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pybuildkit.fsutil._goregex import (
    Assertion,
    Chars,
    Choice,
    Concat,
    Node,
    RegexError,
    Repeat,
    chars,
    negate,
)

__all__ = ["Automaton", "Plan", "glob", "plan", "render"]

_SLASH = ord("/")
_NOT_SLASH = chars(*negate([(_SLASH, _SLASH)]))
_NOT_NEWLINE = chars(*negate([(10, 10)]))
_STAR = Repeat(_NOT_SLASH, 0, -1)
_TAIL = Repeat(_NOT_NEWLINE, 0, -1)
_DEEP = Repeat(Concat((_TAIL, chars((_SLASH, _SLASH)))), 0, 1)  # what moby makes of "**/"

# Python's \B does not hold in an empty text.
_ASSERTIONS = {"A": r"\A", "b": r"\b", "B": r"(?!\b)", "z": r"\Z"}

_MAX_STATES = 100_000


class Plan:
    """How an expression is matched.

    Attributes:
        text: for ``re.match``, which decides alone when ``exact`` is set and else for texts without a newline; None
            when ``re`` can not be used.
        exact: see ``text``.
    """

    __slots__ = ("_automaton", "_node", "exact", "text")

    def __init__(self, node: Node, text: str | None, *, exact: bool) -> None:
        self._node = node
        self._automaton: Automaton | None = None
        self.text = text
        self.exact = exact

    def slow(self, text: str) -> bool:
        """Decide for any text.

        Raises:
            RegexError: the expression is too big.
        """
        if self._automaton is None:
            self._automaton = Automaton(self._node)
        return self._automaton.matches(text)


def plan(node: Node) -> Plan:
    """Choose the way to match an expression."""
    anchored = isinstance(node, Concat) and node.parts[:1] == (Assertion("A"),)
    if anchored and _unbounded(node) <= 2:
        return Plan(node, render(node), exact=True)
    return Plan(node, glob(node), exact=False)


def _unbounded(node: Node) -> int:
    """How many parts can have more than one length; those are what going back goes through."""
    if isinstance(node, Concat | Choice):
        return sum(map(_unbounded, node.parts if isinstance(node, Concat) else node.options))
    if isinstance(node, Repeat):
        inner = _unbounded(node.node)
        if node == _DEEP:
            return inner
        return inner * max(1, node.high) + (node.low != node.high and node.high != 1)
    return 0


# --- by re ---


def render(node: Node) -> str:
    """Write an expression for ``re``, to be compiled with ``re.ASCII``."""
    if isinstance(node, Chars):
        return _render_chars(node)
    if isinstance(node, Assertion):
        return _ASSERTIONS[node.kind]
    if isinstance(node, Concat):
        return "".join(map(render, node.parts))
    if isinstance(node, Choice):
        return f"(?:{'|'.join(map(render, node.options))})"
    most = "" if node.high < 0 else node.high
    return f"(?:{render(node.node)}){{{node.low},{most}}}"


def _render_chars(node: Chars) -> str:
    ranges = node.ranges
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return re.escape(chr(ranges[0][0]))
    if not ranges:
        return "(?!)"
    inverse = negate(ranges)
    if not inverse:
        return r"[\s\S]"
    sign, shown = ("^", inverse) if len(inverse) < len(ranges) or len(inverse) == 1 else ("", ranges)
    return f"[{sign}{''.join(map(_render_range, shown))}]"


def _render_range(bounds: tuple[int, int]) -> str:
    low, high = (f"\\U{code:08x}" for code in bounds)
    return low if low == high else f"{low}-{high}"


def glob(node: Node) -> str | None:
    """Write a glob so that nothing is tried twice; None when it is none. For texts without a newline.

    It is one if it has nothing but characters, stars and ``**/``; if no class can be a slash; and if a ``**/`` stands
    at the begin of a part. Then a part between two ``**/`` has a fixed number of slashes, so the first directory in
    which it can begin is also the one in which it ends first, and leaves most to what follows. The same holds within
    a part for what stands between two stars.
    """
    if (
        not isinstance(node, Concat)
        or node.parts[:1] != (Assertion("A"),)
        or node.parts[-1:] != (Assertion("z"),)
    ):
        return None
    tokens = list(node.parts[1:-1])
    tail = tokens[-1:] == [_TAIL]
    if tail:
        tokens.pop()
    parts: list[list[Node]] = [[]]
    previous: Node = _DEEP
    for token in tokens:
        if token == _DEEP and (previous == _DEEP or _is_slash(previous)):
            parts.append([])
        elif token == _STAR or (isinstance(token, Chars) and (_is_slash(token) or not _may_be_slash(token))):
            parts[-1].append(token)
        else:
            return None
        previous = token
    first, *others = parts
    out = [_render_part(first, open_end=bool(others) or tail)]
    while others:
        part = others.pop(0)
        if not part and others:
            continue  # "**/**/" is "**/"
        if others or tail:
            out.append(f"(?>(?:[^\\n]*?/)??{_render_part(part, open_end=True)})")
        else:
            out.append(f"(?:[^\\n]*/)?{_render_part(part, open_end=False)}")
    return "".join(out) + ("" if tail else r"\Z")


def _is_slash(node: Node) -> bool:
    return node == Chars(((_SLASH, _SLASH),))


def _may_be_slash(node: Chars) -> bool:
    return any(low <= _SLASH <= high for low, high in node.ranges)


def _render_part(tokens: Iterable[Node], *, open_end: bool) -> str:
    """Write what has no ``**/``; what follows the last star is at the text's end unless ``open_end`` is set."""
    chunks = [""]
    for token in tokens:
        if token == _STAR:
            chunks.append("")
        else:
            chunks[-1] += render(token)
    first, *others = chunks
    out = [first]
    for index, chunk in enumerate(others):
        if index < len(others) - 1 or open_end:
            out.append(f"(?>[^/]*?{chunk})")
        else:
            out.append(f"[^/]*{chunk}")
    return "".join(out)


# --- by hand ---


class Automaton:
    """An expression as states: a text is gone through once, with all the states it can be in.

    Raises:
        RegexError: it is too big.
    """

    def __init__(self, node: Node) -> None:
        # A state: characters that lead to the next one; a condition for it; states to be in as well; or the end.
        self._states: list[Chars | Assertion | tuple[int, ...] | None] = []
        self._add(node)
        self._append(None)

    def matches(self, text: str) -> bool:
        """Whether the expression is found anywhere in the text."""
        current: set[int] = set()
        for pos in range(len(text) + 1):
            reached = self._close(current | {0}, text, pos)
            if reached is None:
                return True
            if pos == len(text):
                break
            code = ord(text[pos])
            current = {
                state + 1
                for state in reached
                if isinstance(found := self._states[state], Chars) and _has(found, code)
            }
        return False

    def _close(self, states: Iterable[int], text: str, pos: int) -> set[int] | None:
        """The states that are reached without a character; None when the end is."""
        seen: set[int] = set()
        waiting = [*states]
        while waiting:
            state = waiting.pop()
            if state in seen:
                continue
            seen.add(state)
            found = self._states[state]
            if found is None:
                return None
            if isinstance(found, tuple):
                waiting.extend(found)
            elif isinstance(found, Assertion) and _holds(found.kind, text, pos):
                waiting.append(state + 1)
        return seen

    def _append(self, state: Chars | Assertion | tuple[int, ...] | None) -> int:
        if len(self._states) >= _MAX_STATES:
            raise RegexError("the expression is too big")
        self._states.append(state)
        return len(self._states) - 1

    def _add(self, node: Node) -> None:
        if isinstance(node, Chars | Assertion):
            self._append(node)
        elif isinstance(node, Concat):
            for part in node.parts:
                self._add(part)
        elif isinstance(node, Choice):
            self._add_choice(node)
        else:
            self._add_repeat(node)

    def _add_choice(self, node: Choice) -> None:
        start = self._append(())
        entries, exits = [], []
        for option in node.options:
            entries.append(len(self._states))
            self._add(option)
            exits.append(self._append(()))
        self._states[start] = tuple(entries)
        for state in exits:
            self._states[state] = (len(self._states),)

    def _add_repeat(self, node: Repeat) -> None:
        for _ in range(node.low):
            self._add(node.node)
        forks = []
        for _ in range(1 if node.high < 0 else node.high - node.low):
            forks.append(self._append(()))
            self._add(node.node)
        if node.high < 0:
            self._append((forks[0],))
        for fork in forks:
            self._states[fork] = (fork + 1, len(self._states))


def _has(node: Chars, code: int) -> bool:
    return any(low <= code <= high for low, high in node.ranges)


def _holds(kind: str, text: str, pos: int) -> bool:
    if kind == "A":
        return pos == 0
    if kind == "z":
        return pos == len(text)
    boundary = _is_word(text[pos - 1 : pos]) != _is_word(text[pos : pos + 1])
    return boundary == (kind == "b")


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")
