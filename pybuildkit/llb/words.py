"""Splitting a command line into arguments as Go's client does (L45)."""

from __future__ import annotations

from collections.abc import Iterator

from pybuildkit.errors import DefinitionError
from pybuildkit.llb._encode import check_text

__all__ = ["shlex"]

_SPACE = frozenset(" \t\r\n")


def shlex(line: str) -> list[str]:
    """Split a command line, for ``run``: ``shlex("echo 'two words'")`` is ``["echo", "two words"]``.

    Quotes and backslashes are those of a shell; ``#`` starts a comment in front of a word. Nothing else of a
    shell is known: no variables, no patterns, no pipes.

    Raises:
        DefinitionError: a quote is not closed, or nothing follows a backslash.
    """
    words: list[str] = []
    word: list[str] | None = None
    characters = iter(check_text(line, "command", empty=True))
    for c in characters:
        if c in _SPACE:
            if word is not None:
                words.append("".join(word))
            word = None
        elif c == "#" and word is None:
            for c in characters:
                if c == "\n":
                    break
        else:
            word = [] if word is None else word
            if c == "'":
                word += _until(characters, "'", line, escapes=False)
            elif c == '"':
                word += _until(characters, '"', line, escapes=True)
            elif c == "\\":
                word.append(_next(characters, line))
            else:
                word.append(c)
    if word is not None:
        words.append("".join(word))
    return words


def _until(characters: Iterator[str], quote: str, line: str, *, escapes: bool) -> list[str]:
    found: list[str] = []
    for c in characters:
        if c == quote:
            return found
        found.append(_next(characters, line) if escapes and c == "\\" else c)
    raise DefinitionError(f"command {line!r}: a {quote} is not closed")


def _next(characters: Iterator[str], line: str) -> str:
    for c in characters:
        return c
    raise DefinitionError(f"command {line!r}: nothing follows the last backslash")
