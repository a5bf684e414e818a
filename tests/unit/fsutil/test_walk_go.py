"""Walks, filters and followed links against Go's fsutil, on generated trees."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.errors import ConfigError
from pybuildkit.fsutil.directory import Directory
from pybuildkit.fsutil.filter import Filter, merge_followed
from pybuildkit.fsutil.followpaths import follow_links
from pybuildkit.fsutil.stat import Stat
from pybuildkit.fsutil.walk import walk
from tests.support.fsutilpeer import ask, go_stats
from tests.support.sourcetrees import NAMES, make_tree

PARTS = ("*", "**", "?", "a*", "*.go", "[ab]", "[^a]", "\\*", "f?o", "*b", "..", "missing", "\\[x\\]")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, list[str]]]:
    made = []
    for seed in range(12):
        root = tmp_path_factory.mktemp(f"tree{seed}")
        made.append((root, make_tree(root, seed)))
    return made


def random_pattern(rand: random.Random, paths: list[str]) -> str:
    if rand.random() < 0.4:
        return rand.choice(paths)
    parts = [rand.choice(PARTS + NAMES) for _ in range(rand.randint(1, 3))]
    return rand.choice(("", "", "**/", "/", "./")) + "/".join(parts) + rand.choice(("", "", "/**", "/*", "/"))


def patterns(rand: random.Random, paths: list[str], *, signs: bool) -> list[str] | None:
    if rand.random() < 0.35:
        return None
    return [
        ("!" if signs and rand.random() < 0.35 else "") + random_pattern(rand, paths)
        for _ in range(rand.randint(1, 4))
    ]


def questions(trees: list[tuple[Path, list[str]]], count: int, *, links: bool) -> list[dict[str, Any]]:
    rand = random.Random(5)
    result = []
    for _ in range(count):
        root, paths = rand.choice(trees)
        follow = patterns(rand, paths, signs=False) if links or rand.random() < 0.2 else None
        if follow and links:  # above the root Go looks around, and we do not
            follow = [path for path in follow if not os.path.normpath(f"./{path}").startswith("..")]
        question = {"root": str(root), "links": links, "follow": follow or ([""] if links else None)}
        if not links:
            question |= {
                "includes": patterns(rand, paths, signs=True),
                "excludes": patterns(rand, paths, signs=True),
            }
        result.append(question)
    return result


def our_walk(question: dict[str, Any]) -> list[Stat]:
    tree = Directory(question["root"]).open()
    try:
        followed = follow_links(tree, question["follow"]) if question["follow"] else None
        passes = Filter(merge_followed(question["includes"], followed), question["excludes"])
        return [stat for stat in walk(tree, passes) if stat is not None]
    finally:
        tree.close()


def test_what_is_sent_is_what_go_would_send(trees: list[tuple[Path, list[str]]]) -> None:
    """S26, S29, S31, S32, S33, S36, S38, T24: 2,000 walks with patterns of all kinds, 0 differences."""
    asked = questions(trees, 2000, links=False)
    sent = 0
    for question, answer in zip(asked, ask(asked), strict=True):
        if answer.get("error"):
            with pytest.raises(ConfigError):
                our_walk(question)
            continue
        ours = our_walk(question)
        assert ours == go_stats(answer), question
        sent += len(ours)
    assert sent > 5000


def test_links_are_followed_as_go_follows_them(trees: list[tuple[Path, list[str]]]) -> None:
    """S38: 6,000 questions, 0 differences."""
    asked = questions(trees, 6000, links=True)
    longest = 0
    for question, answer in zip(asked, ask(asked), strict=True):
        assert not answer.get("error"), question
        tree = Directory(question["root"]).open()
        ours = follow_links(tree, question["follow"])
        tree.close()
        assert (ours is None) == answer.get("whole", False), question
        assert (ours or []) == answer.get("paths", []), question
        longest = max(longest, len(ours or ()))
    assert longest > 5
