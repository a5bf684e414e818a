"""Patterns and ignore files against Go, over the tables of ``tools/cmd/patternvectors``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pybuildkit.errors import ConfigError
from pybuildkit.fsutil._gopath import BadPatternError, clean, has_wildcards, join, match_name, trim_space
from pybuildkit.fsutil._goregex import RegexError, parse
from pybuildkit.fsutil.ignorefile import MAX_LINE, parse_ignorefile
from pybuildkit.fsutil.patterns import Pattern, PatternMatcher
from tests.support.goprograms import program
from tests.support.tables import lines, table

TABLES = {
    "hand": "patterns-hand",
    "generated": "patterns-generated",
    "ignorefile": "ignorefile",
    "match": "filepath-match",
}


def verdict(question: Callable[[], bool]) -> str:
    try:
        return "01"[question()]
    except (ConfigError, BadPatternError):
        return "E"


def walked(matcher: PatternMatcher, path: str) -> bool:
    """Ask for each directory above the path first, as a walk does."""
    parts = path.split("/")
    matched, state = False, 0
    for count in range(1, len(parts) + 1):
        matched, state = matcher.match("/".join(parts[:count]), state)
    return matched


@pytest.mark.parametrize(("kind", "least"), [("hand", 6_000), ("generated", 20_000)])
def test_patterns_match_what_they_match_in_go(kind: str, least: int) -> None:
    """S37: MatchesOrParentMatches and MatchesUsingParentResults; no difference is allowed."""
    cases = 0
    for case in table(TABLES[kind]):
        try:
            matcher = PatternMatcher(case["p"])
        except ConfigError:
            assert case.get("e"), case["p"]
            cases += 1
            continue
        assert not case.get("e"), case["p"]
        for path, whole, steps in zip(case["f"], case["m"], case["u"], strict=True):
            cases += 1
            assert verdict(lambda m=matcher, p=path: m.matches(p)) == whole, (case["p"], path)  # type: ignore[misc]
            assert verdict(lambda m=matcher, p=path: walked(m, p)) == steps, (case["p"], path)  # type: ignore[misc]
    assert cases >= least


def test_ignore_files_are_read_as_go_reads_them() -> None:
    """S39."""
    for case in table("ignorefile"):
        try:
            patterns = parse_ignorefile(case["t"])
        except ConfigError:
            assert case["e"]
            continue
        assert not case["e"]
        assert patterns == (case["p"] or []), case["t"][:200]


def test_names_match_as_in_gos_filepath_match() -> None:
    """S38 stands on this."""
    for case in table("filepath-match"):
        for name, expected in zip(case["f"], case["m"], strict=True):
            assert verdict(lambda p=case["p"], n=name: match_name(p, n)) == expected, (case["p"], name)  # type: ignore[misc]


@pytest.mark.parametrize("kind", TABLES)
def test_the_tables_are_what_go_says(kind: str) -> None:
    made = subprocess.run([program("patternvectors"), kind], capture_output=True, check=True, timeout=60)
    assert made.stdout == lines(TABLES[kind])


# --- what the tables can not say ---


def test_a_broken_pattern_is_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"syntax error in pattern '\[a': escape"):
        PatternMatcher(["ok", "[a"])
    with pytest.raises(ConfigError, match="nothing follows the !"):
        PatternMatcher(["!"])
    late = PatternMatcher(["![z-a]", "b", "[z-a]"])
    assert late.matches("b")
    with pytest.raises(ConfigError, match=r"syntax error in pattern '\[z-a\]'"):
        late.matches("x")


def test_patterns_are_kept_cleaned() -> None:
    matcher = PatternMatcher([" ./a//b/ ", "", "!c/."])
    assert matcher.patterns == (Pattern("a/b"), Pattern("c", exclusion=True))
    assert matcher.exclusions
    assert not PatternMatcher(["a"]).exclusions


@given(
    some.lists(some.sampled_from(["a", "b/*", "**/c", "!a/b", "*", "!**/x", "a/**"]), max_size=5), some.data()
)
def test_a_state_is_the_same_as_asking_afresh(patterns: list[str], data: some.DataObject) -> None:
    """Passing None for the directory's state looks at the directories itself."""
    matcher = PatternMatcher(patterns)
    path = "/".join(data.draw(some.lists(some.sampled_from("abcx"), min_size=1, max_size=4)))
    assert matcher.match(path)[0] == matcher.matches(path)


def test_a_name_with_a_newline_matches_a_dot_less_than_a_star() -> None:
    """In Go ``.`` does not match a newline, ``[^/]`` does; and ``$`` is the very end."""
    assert PatternMatcher(["*"]).matches("a\n")
    assert not PatternMatcher(["a[b]"]).matches("ab\n")
    assert not PatternMatcher(["**/c*"]).matches("a\nb/c1")


def test_names_that_are_not_utf8_can_be_excluded() -> None:
    assert PatternMatcher(["*.bad"]).matches("\udcff.bad")
    assert PatternMatcher(["**/\udcff"]).matches("a/\udcff")
    assert match_name("?", "\udcff")


def test_unicode_classes_are_known_by_category_only() -> None:
    assert PatternMatcher([r"\p{Lu}x"]).matches("Äx")
    assert PatternMatcher([r"[\p{^L}]x"]).matches("1x")
    assert PatternMatcher([r"\p{LC}*"]).matches("a")
    assert not PatternMatcher([r"\P{Assigned}*"]).matches("a")
    assert PatternMatcher([r"\p{Any}\p{ascii}*"]).matches("世a")
    with pytest.raises(ConfigError, match="syntax error"):
        PatternMatcher([r"\p{Greek}"]).matches("Σ")


@pytest.mark.parametrize("expression", ["a)", "(a", r"\x{110000}", r"\x{", r"a{1001}", "{2}", r"\p{", "\\"])
def test_what_go_would_not_compile_is_refused(expression: str) -> None:
    with pytest.raises(RegexError):
        parse(expression)


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("", "."),
        ("//a", "/a"),
        ("/..", "/"),
        ("a/../../b", "../b"),
        ("a/./b//", "a/b"),
        ("../..", "../.."),
        ("a\0/.", "a\0"),
    ],
)
def test_clean(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


def test_join_and_wildcards_and_space() -> None:
    assert join("", "") == ""
    assert join("/", "a", "", "../b") == "/b"
    assert join("a", "/b") == "a/b"
    assert [has_wildcards(name) for name in ("a", "a*", r"\*", r"\\*", "[", "?", "\\")] == [
        0,
        1,
        0,
        1,
        1,
        1,
        0,
    ]
    assert trim_space("\u2003a\x1c\n") == "a\x1c"


def test_a_line_that_is_too_long_is_named() -> None:
    assert parse_ignorefile(b"x" * (MAX_LINE - 1)) == ["x" * (MAX_LINE - 1)]
    with pytest.raises(ConfigError, match="line 2 of the ignore file has 65536 bytes"):
        parse_ignorefile(b"a\n" + b"x" * MAX_LINE)
