"""The three ways to match an expression agree, and none of them takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from pybuildkit.errors import ConfigError
from pybuildkit.fsutil import _regexmatch as module
from pybuildkit.fsutil._goregex import Choice, RegexError, parse
from pybuildkit.fsutil._regexmatch import Automaton, glob, plan, render
from pybuildkit.fsutil.patterns import PatternMatcher, _expression

GLOB_BITS = ("*", "*", "**/", "**/", "/**/", "/", "a", "b", "ab", "?", "[ab]", "[^b/]", ".", "**")
ODD_BITS = (
    "|",
    "{2}",
    "{1,}",
    "{0,3}",
    "[^a]",
    r"\w",
    r"\b",
    r"\B",
    "^",
    r"\A",
    r"\z",
    r"\pL",
    "[[:alpha:]]",
    "é",
)
PATHS = some.lists(some.sampled_from(("a", "b", "/", "/", "ab", "ba", ".", "\n", "é", "1")), max_size=9).map(
    "".join
)


def expression(bits: list[str]) -> str:
    return _expression("".join(bits))[1]


def by_re(text: str, path: str) -> bool:
    """The expression as it is; short texts only."""
    return re.compile(render(parse(text)), re.ASCII).search(path) is not None


def planned(text: str, path: str) -> bool:
    chosen = plan(parse(text))
    if chosen.text is None or (not chosen.exact and "\n" in path):
        return chosen.slow(path)
    return re.compile(chosen.text, re.ASCII).match(path) is not None


@settings(max_examples=1500, deadline=None)
@given(
    some.lists(some.sampled_from(GLOB_BITS), min_size=1, max_size=8),
    some.lists(PATHS, min_size=5, max_size=5),
)
@example(["*", "a", "*", "b", "/**/", "a", "*"], ["aab/x/ab"])
@example(["**/", "a", "/**/", "b", "/**/", "c"], ["a/a/b/b/c", "a/b"])
def test_globs_match_alike_in_all_ways(bits: list[str], paths: list[str]) -> None:
    text = expression(bits)
    automaton = Automaton(parse(text))
    for path in paths:
        expected = by_re(text, path)
        assert automaton.matches(path) == expected, (text, path)
        assert planned(text, path) == expected, (text, path)
        fast = glob(parse(text))
        if fast is not None and "\n" not in path:
            assert (re.compile(fast).match(path) is not None) == expected, (text, fast, path)


@settings(max_examples=1500, deadline=None)
@given(
    some.lists(some.sampled_from(GLOB_BITS + ODD_BITS), min_size=1, max_size=7),
    some.lists(PATHS, min_size=5, max_size=5),
)
def test_odd_expressions_match_alike_in_all_ways(bits: list[str], paths: list[str]) -> None:
    text = expression(bits)
    try:
        automaton = Automaton(parse(text))
    except RegexError:
        return
    for path in paths:
        expected = by_re(text, path)
        assert automaton.matches(path) == expected, (text, path)
        assert planned(text, path) == expected, (text, path)


@pytest.mark.parametrize(
    ("pattern", "way"),
    [
        ("**/*.go", "as it is"),
        ("docs/*/draft", "as it is"),
        ("[^a]*x?", "as it is"),
        ("**/*test*", "without going back"),
        ("a/**/b/**/c*", "without going back"),
        ("*[^a]*b*", "by hand"),
        ("a**b*c*d", "by hand"),
        ("a*|b", "by hand"),
        ("[a-c]{1,5}*x*", "by hand"),
    ],
)
def test_the_way_is_chosen_by_the_expression(pattern: str, way: str) -> None:
    chosen = plan(parse(_expression(pattern)[1]))
    assert way == ("by hand" if chosen.text is None else "as it is" if chosen.exact else "without going back")


@pytest.mark.parametrize(
    "pattern",
    [
        "**/" + "*a" * 40 + "*b",
        "**/" * 30 + "*a" * 10 + "c",
        "a/**/" * 20 + "*a*a*a*a*b",
        "[^b]*" * 30 + "c",
        "a*" * 30 + "b|x",
        "a**" * 20 + "*b",
        "[a]{0,1000}" * 3 + "*b",
    ],
)
@pytest.mark.parametrize("path", ["a" * 255, "a/" * 120 + "a" * 15, "a\n" * 100])
def test_no_pattern_takes_long(pattern: str, path: str) -> None:
    """A few stars would keep Python's own engine busy for years."""
    matcher = PatternMatcher([pattern])
    started = time.process_time()
    assert not matcher.match(path, 0)[0]
    assert time.process_time() - started < 3


def test_an_expression_that_is_too_big_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_STATES", 50)
    with pytest.raises(RegexError, match="too big"):
        Automaton(parse("a{51}"))
    with pytest.raises(ConfigError, match="syntax error in pattern"):
        PatternMatcher(["a{51}|b*"]).matches("x")


def test_classes_are_written_for_python() -> None:
    assert isinstance(parse("a|b"), Choice)
    assert [
        render(parse(text)) for text in ("[^\\x00-\\x{10FFFF}]", "[\\x00-\\x{10FFFF}]", "a", "[a-c]", "[^a]")
    ] == [
        "(?!)",
        r"[\s\S]",
        "a",
        r"[\U00000061-\U00000063]",
        r"[^\U00000061]",
    ]
