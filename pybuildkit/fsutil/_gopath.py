"""Go's ``filepath.Clean``, ``filepath.Match`` and ``strings.TrimSpace``, where they differ from Python's."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

__all__ = [
    "BadPatternError",
    "RegexError",
    "check_pattern",
    "clean",
    "has_wildcards",
    "join",
    "match_name",
    "trim_space",
]

# unicode.IsSpace: str.strip() would take U+001C to U+001F as well.
_SPACE = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

_SLASH, _OPEN, _CLOSE, _ANY, _ESCAPE, _CARET, _DASH = b"/[]?\\^-"


class BadPatternError(ValueError):
    """A pattern is not written as it must be."""


class RegexError(ValueError):
    """Go would not compile what moby makes of a pattern, or it is too big for us."""


def trim_space(text: str) -> str:
    """Take Go's idea of white space off both ends."""
    return text.strip(_SPACE)


def clean(path: str) -> str:
    """Give the shortest path that names the same place, without looking at any file.

    ``posixpath.normpath`` keeps two leading slashes, and some versions of it stop at a NUL.
    """
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part in {"", "."}:
            continue
        if part != "..":
            parts.append(part)
        elif parts and parts[-1] != "..":
            parts.pop()
        elif not rooted:
            parts.append("..")
    joined = "/".join(parts)
    return "/" + joined if rooted else joined or "."


def join(*parts: str) -> str:
    """Join and clean, leaving out empty parts; an absolute part does not start anew, unlike in Python."""
    given = [part for part in parts if part]
    return clean("/".join(given)) if given else ""


def has_wildcards(name: str) -> bool:
    """Whether an unescaped ``*``, ``?`` or ``[`` is in it."""
    pos = 0
    while pos < len(name):
        if name[pos] == "\\":
            pos += 1
        elif name[pos] in "*?[":
            return True
        pos += 1
    return False


def match_name(pattern: str, name: str) -> bool:
    """Whether a name matches a pattern, by the rules of Go's ``filepath.Match``.

    On bytes, as Go does it: a ``*`` may end inside a character, and a ``?`` then takes one byte.

    Raises:
        BadPatternError: the pattern is malformed, as far as Go would have looked.
    """
    rest: bytes | None = name.encode(errors="surrogateescape")
    chunks = _parse(pattern.encode(errors="surrogateescape"))
    for index, (star, chunk) in enumerate(chunks):
        assert rest is not None
        if star and not chunk:
            return b"/" not in rest
        rest = _match_from(rest, chunk, star=star, last=index == len(chunks) - 1)
        if rest is None:
            return False
    return not rest


def check_pattern(pattern: str) -> None:
    """Find the mistakes that Go finds when it matches the pattern against ``.``.

    Raises:
        BadPatternError: it found one.
    """
    match_name(pattern, ".")


class _Class(NamedTuple):
    """A character class: whether it is negated, and its ranges of code points."""

    negated: bool
    ranges: tuple[tuple[int, int], ...]


# A chunk is what stands between two stars: a byte, None for "?", or a class. A malformed one is found only
# when matching comes to it, as in Go; it is _BROKEN.
_Term = int | None | _Class
_Chunk = tuple[_Term, ...]
_BROKEN: _Chunk = (-1,)


def _match_from(name: bytes, chunk: _Chunk, *, star: bool, last: bool) -> bytes | None:
    """Match a chunk at the front, or further behind if a star is before it; what is left, or None."""
    skipped = 0
    while True:
        rest = _match_chunk(chunk, name[skipped:])
        if rest is not None and not (last and rest):
            return rest
        if not star or skipped == len(name) or name[skipped] == _SLASH:
            return None
        skipped += 1


def _match_chunk(chunk: _Chunk, name: bytes) -> bytes | None:
    if chunk is _BROKEN:
        raise BadPatternError("syntax error in pattern")
    pos = 0
    for term in chunk:
        if pos >= len(name):
            return None
        if isinstance(term, int):
            if term != name[pos]:
                return None
            pos += 1
            continue
        if term is None and name[pos] == _SLASH:
            return None
        char, width = _decode(name, pos)
        pos += width
        if term is not None and any(low <= char <= high for low, high in term.ranges) == term.negated:
            return None
    return name[pos:]


def _decode(text: bytes, pos: int) -> tuple[int, int]:
    """The character there and its width; a byte that is none is U+FFFD of width 1."""
    if text[pos] < 0x80:
        return text[pos], 1
    for width in (2, 3, 4):
        try:
            return ord(text[pos : pos + width].decode()), width
        except (UnicodeDecodeError, TypeError):
            continue
    return 0xFFFD, 1


@lru_cache(maxsize=256)
def _parse(pattern: bytes) -> tuple[tuple[bool, _Chunk], ...]:
    chunks: list[tuple[bool, _Chunk]] = []
    while pattern:
        stripped = pattern.lstrip(b"*")
        star = stripped != pattern
        end = _chunk_end(stripped)
        chunks.append((star, _parse_chunk(stripped[:end])))
        pattern = stripped[end:]
    return tuple(chunks)


def _chunk_end(pattern: bytes) -> int:
    """Where the next star stands that is not escaped or in a class."""
    in_class = False
    pos = 0
    while pos < len(pattern):
        char = pattern[pos : pos + 1]
        if char == b"\\":
            pos += 1
        elif char == b"[":
            in_class = True
        elif char == b"]":
            in_class = False
        elif char == b"*" and not in_class:
            return pos
        pos += 1
    return len(pattern)


def _parse_chunk(text: bytes) -> _Chunk:
    terms: list[_Term] = []
    pos = 0
    try:
        while pos < len(text):
            char = text[pos]
            pos += 1
            if char == _OPEN:
                term, pos = _parse_class(text, pos)
                terms.append(term)
            elif char == _ANY:
                terms.append(None)
            elif char == _ESCAPE:
                terms.append(text[pos])
                pos += 1
            else:
                terms.append(char)
    except IndexError:  # it ends too early
        return _BROKEN
    return tuple(terms)


def _parse_class(text: bytes, pos: int) -> tuple[_Class, int]:
    negated = text[pos] == _CARET
    pos += negated
    ranges: list[tuple[int, int]] = []
    while text[pos] != _CLOSE or not ranges:
        low, pos = _class_char(text, pos)
        high = low
        if text[pos] == _DASH:
            high, pos = _class_char(text, pos + 1)
        ranges.append((low, high))
    return _Class(negated, tuple(ranges)), pos + 1


def _class_char(text: bytes, pos: int) -> tuple[int, int]:
    if text[pos] in (_DASH, _CLOSE):
        raise IndexError
    if text[pos] == _ESCAPE:
        pos += 1
    char, width = _decode(text, pos)
    if (char, width) == (0xFFFD, 1) or pos + width == len(text):  # a class can not end here
        raise IndexError
    return char, pos + width
