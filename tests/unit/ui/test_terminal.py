"""The small screen of log windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit.ui.terminal import Screen


def screen(*pieces: bytes, width: int = 20, height: int = 3) -> list[str]:
    made = Screen(width, height)
    for piece in pieces:
        made.feed(piece)
    return made.lines()


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"one\ntwo\n"], ["one", "two"]),
        ([b"1\n2\n3\n4\n5"], ["3", "4", "5"]),
        ([b"1\n2\n3\n4\n5\n"], ["3", "4", "5"]),
        ([b"1\n2\n3\n4\n5\n\n"], ["4", "5"]),
        ([b"1\n2\n3\n\x1b[1AX\n4"], ["2", "X", "4"]),
        ([b"1\n2\n3\n\x1b[2K\x1b[1mX"], ["2", "3", "X"]),
        ([b"1\n2\n" + b"3" * 20, b"\n", b"4" * 21], ["3" * 20, "4" * 20, "4"]),
        ([b"10%\r50%\r99%"], ["99%"]),
        ([b"long text\rshort\x1b[K"], ["short"]),
        ([b"\x1b[31mred\x1b[0m plain"], ["red plain"]),
        ([b"\x1b[3", b"1mred"], ["red"]),
        ([b"caf\xc3", b"\xa9"], ["caf\u00e9"]),
        ([b"a\tb"], ["a       b"]),
        ([b"abc\b\bX"], ["aXc"]),
        ([b"x" * 25], ["x" * 20, "x" * 5]),
        ([b"one\ntwo\x1b[1A\rONE"], ["ONE", "two"]),
        ([b"title\x1b]0;window title\x07 text"], ["title text"]),
        ([b"gone\x1b[2Jkept"], ["    kept"]),
    ],
)
def test_shows_what_a_terminal_would(pieces: list[bytes], lines: list[str]) -> None:
    assert screen(*pieces) == lines


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_never_more_than_the_window_and_never_control_characters(pieces: list[bytes]) -> None:
    lines = screen(*pieces)
    assert len(lines) <= 3
    assert all(len(line) <= 20 and "\x1b" not in line and "\n" not in line for line in lines)


def test_a_megabyte_is_cheap() -> None:
    made = Screen(80, 6)
    for _ in range(1000):
        made.feed(b"x" * 79 + b"\n" + b"y" * 1000)
    assert len(made.lines()) == 6
