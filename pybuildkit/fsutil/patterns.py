"""moby's patterns for paths, as in ``.dockerignore``, with exactly the results of moby/patternmatcher (S37).

``*`` and ``?`` do not cross a ``/``, ``**`` does; a leading ``!`` takes back what earlier patterns matched; the
last pattern that matches wins; whatever lies in a matched directory is matched as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from pybuildkit.errors import ConfigError
from pybuildkit.fsutil._gopath import BadPatternError, RegexError, check_pattern, clean, trim_space

if TYPE_CHECKING:
    from pybuildkit.fsutil._regexmatch import Plan

__all__ = ["Pattern", "PatternMatcher"]

Test = Callable[[str], object]
"""Tells by its truth whether a path is matched."""


class Pattern(NamedTuple):
    """One pattern, cleaned.

    Attributes:
        text: the pattern without its ``!``.
        exclusion: whether it had one, and so takes back what earlier patterns matched.
    """

    text: str
    exclusion: bool = False

    @classmethod
    def parse(cls, text: str) -> Pattern | None:
        """Read a pattern as it is written; None when it is empty.

        Raises:
            ConfigError: its syntax is wrong.
        """
        cleaned = trim_space(text)
        if not cleaned:
            return None
        cleaned = clean(cleaned)
        if cleaned == "!":
            raise ConfigError('illegal exclusion pattern: "!": nothing follows the !; remove the line')
        exclusion = cleaned.startswith("!")
        pattern = cls(cleaned.removeprefix("!"), exclusion)
        try:
            check_pattern(pattern.text)
        except BadPatternError:
            raise _bad(pattern) from None
        return pattern


class PatternMatcher:
    """Matches paths against a list of patterns. It keeps no state: threads may share it.

    Neighbours that are alike in having a ``!`` or not are compiled into one *run*: within it the first match
    decides, so a run costs a set look-up and a few tests however many patterns it has.

    Attributes:
        patterns: the patterns, empty ones left out.
        exclusions: whether one of them begins with ``!``.
    """

    __slots__ = ("_runs", "_single", "exclusions", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        parsed = (Pattern.parse(text) for text in patterns)
        self.patterns = tuple(pattern for pattern in parsed if pattern is not None)
        self.exclusions = any(pattern.exclusion for pattern in self.patterns)
        runs = (
            (exclusion, test)
            for exclusion, run in groupby(self.patterns, key=lambda pattern: pattern.exclusion)
            for test in _compile_run(run)
        )
        self._runs = tuple((1 << index, exclusion, test) for index, (exclusion, test) in enumerate(runs))
        self._single = self._runs[0][2] if len(self._runs) == 1 and not self.exclusions else None

    def matches(self, path: str) -> bool:
        """Whether a path, or a directory above it, is matched: ``MatchesOrParentMatches``.

        Raises:
            ConfigError: a pattern turns out to be wrong.
        """
        parents = _parents(path)
        matched = False
        for _, exclusion, test in self._runs:
            if exclusion == matched and (test(path) or any(map(test, parents))):
                matched = not exclusion
        return matched

    def match(self, path: str, parent: int | None = None) -> tuple[bool, int]:
        """Match a path, given what matched its directory: ``MatchesUsingParentResults``.

        Args:
            path: the path, ``/`` between its parts.
            parent: the second value this gave for the path's directory; None when that was not asked, 0 at
                the root.

        Returns:
            Whether it is matched, and what to pass for the entries in it.

        Raises:
            ConfigError: a pattern turns out to be wrong.
        """
        if self._single is not None and parent is not None:
            return (True, 1) if parent or self._single(path) else (False, 0)
        parents = _parents(path) if parent is None else ()
        matched = False
        state = 0
        for bit, exclusion, test in self._runs:
            if (parent and parent & bit) or (
                exclusion == matched and (test(path) or any(map(test, parents)))
            ):
                state |= bit
                matched = not exclusion
        return matched, state


def _parents(path: str) -> tuple[str, ...]:
    """The directories above a path, the outermost first."""
    above = clean(path[: path.rfind("/") + 1])
    if above == ".":
        return ()
    parts = above.split("/")
    return tuple("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def _bad(pattern: Pattern) -> ConfigError:
    shown = f"!{pattern.text}" if pattern.exclusion else pattern.text
    return ConfigError(f"syntax error in pattern {shown!r}: escape special characters with a backslash")


# --- compiling ---


class _Tests:
    """What is known of the patterns of a run so far, by kind."""

    def __init__(self) -> None:
        self.exact: set[str] = set()
        self.prefixes: list[str] = []
        self.suffixes: list[str] = []
        self.expressions: list[str] = []  # for re.match, which decides alone
        self.hasty: list[tuple[str, Test]] = []  # likewise, but for paths without a newline
        self.slow: list[Test] = []

    def test(self) -> Test | None:
        """One function for all, None when there are none."""
        tests: list[Test] = []
        if self.exact:
            tests.append(frozenset(self.exact).__contains__)
        if self.prefixes:
            prefixes = tuple(self.prefixes)
            tests.append(lambda path: path.startswith(prefixes))
        if self.suffixes:
            suffixes = tuple(self.suffixes)
            tests.append(lambda path: path.endswith(suffixes))
        if self.expressions:
            tests.append(_matching(self.expressions))
        if self.hasty:
            fast = _matching([text for text, _ in self.hasty])
            sure = _any([test for _, test in self.hasty])
            tests.append(lambda path: sure(path) if "\n" in path else fast(path))
        tests += self.slow
        return _any(tests) if tests else None


def _matching(expressions: Iterable[str]) -> Test:
    return re.compile("|".join(f"(?:{text})" for text in expressions), re.ASCII).match


def _any(tests: Sequence[Test]) -> Test:
    first, *others = tests
    if not others:
        return first
    rest = _any(others)
    return lambda path: first(path) or rest(path)


def _compile_run(patterns: Iterable[Pattern]) -> Iterator[Test]:
    """Compile neighbours of one kind.

    That is one test, but for patterns that Go can not compile: such a one fails when matching comes to it, which
    an earlier match may prevent, and so it is a test of its own.
    """
    known = _Tests()
    for pattern in patterns:
        try:
            _compile(pattern, known)
        except (RegexError, re.error, OverflowError):
            if test := known.test():
                yield test
            yield _failing(pattern)
            known = _Tests()
    if test := known.test():
        yield test


def _failing(pattern: Pattern) -> Test:
    def fail(path: str) -> bool:
        raise _bad(pattern)

    return fail


def _compile(pattern: Pattern, known: _Tests) -> None:
    """Find out of which kind a pattern is, as moby does, and note its test."""
    text = pattern.text
    kind, expression = _expression(text)
    if kind == "exact":
        known.exact.add(text)
    elif kind == "prefix":
        known.prefixes.append(text[:-2])
    elif kind == "suffix":
        # Go cuts two bytes off, which are not the stars behind a byte order mark.
        suffix = text.encode(errors="surrogateescape")[2:].decode(errors="surrogateescape")
        known.suffixes.append(suffix)
        if suffix.startswith("/"):
            known.exact.add(suffix[1:])
    else:
        # Imported here: most lists have none of this kind.
        from pybuildkit.fsutil._goregex import parse
        from pybuildkit.fsutil._regexmatch import plan

        chosen = plan(parse(expression))
        if chosen.text is None:
            known.slow.append(_slow(pattern, chosen))
            return
        re.compile(chosen.text, re.ASCII)  # alone, so that a failure is this pattern's
        if chosen.exact:
            known.expressions.append(chosen.text)
        else:
            known.hasty.append((chosen.text, _slow(pattern, chosen)))


def _slow(pattern: Pattern, chosen: Plan) -> Test:
    def test(path: str) -> bool:
        try:
            return chosen.slow(path)
        except RegexError:
            raise _bad(pattern) from None

    return test


def _expression(text: str) -> tuple[str, str]:
    r"""Give a pattern's kind (exact, prefix, suffix or regexp) and the Go regular expression moby makes of it.

    Only ``.+()$`` are escaped: moby means ``|{}`` too, but its table loses what is above 63, and a pattern like
    ``a{2}*`` or ``x|y*`` therefore is an expression.
    """
    out = ["^"]
    kind = "exact"
    text = text.removeprefix("\ufeff")  # Go's scanner skips it
    pos = 0
    end = len(text)
    first = True
    while pos < end:
        char = text[pos]
        pos += 1
        if text.startswith("**", pos - 1):
            pos += 1
            if text.startswith("/", pos):
                pos += 1
            if pos < end:
                out.append("(.*/)?")
                kind = "regexp"
            elif kind == "exact":
                kind = "prefix"
            else:
                out.append(".*")
                kind = "regexp"
            if first:
                kind = "suffix"
        elif char in "*?":
            out.append("[^/]*" if char == "*" else "[^/]")
            kind = "regexp"
        elif char in ".+()$":
            out.append("\\" + char)
        elif char == "\\":
            if pos < end:
                kind = "regexp"
            out.append(text[pos - 1 : pos + 1])
            pos += 1
        else:
            out.append(char)
            if char in "[]":
                kind = "regexp"
        first = False
    return kind, "".join(out) + "$"
