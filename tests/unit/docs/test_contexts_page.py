"""``docs/contexts.md``: its examples are Python, and do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pybuildkit.fsutil.filter import Filter
from pybuildkit.fsutil.stat import Stat
from pybuildkit.fsutil.walk import walk

PAGE = Path(__file__).resolve().parents[3] / "docs" / "contexts.md"


def examples() -> dict[str, Any]:
    """All names that the page's blocks define."""
    namespace: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    return namespace


def test_the_tree_in_memory_holds_what_it_shows() -> None:
    tree = examples()["generated"].open()
    assert [stat.path for stat in walk(tree) if stat is not None] == [
        "Dockerfile",
        "app",
        "app/latest",
        "app/run.sh",
        "app/settings.json",
    ]


def test_the_map_does_what_it_says() -> None:
    change = examples()["readable_by_all"]
    assert change(Stat("tls.key", 0o600)) is None
    assert change(Stat("file", 0o600)) == Stat("file", 0o644)


def test_what_would_be_sent(tmp_path: Path) -> None:
    for name in ("a.log", "b/c.log", "build/x", "docs/keep", "docs/1/draft", "docs/1/final"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    ask = examples()["would_be_sent"]
    assert ask(str(tmp_path), "# no logs\n*.log\nbuild\ndocs/*/draft\n") == [
        "b",
        "b/c.log",
        "docs",
        "docs/1",
        "docs/1/final",
        "docs/keep",
    ]
    assert ask(str(tmp_path), "**/*.log\ndocs\n!docs/keep\nbuild") == ["b", "docs", "docs/keep"]


def test_the_tables_patterns_are_right() -> None:
    """Each row of the table, on the paths it speaks of."""
    for pattern, sent, left in (
        ("build", "x/build", "build"),
        ("*.log", "x/a.log", "a.log"),
        ("**/*.log", "a.lo", "x/a.log"),
        ("docs/*/draft", "docs/a/b/draft", "docs/a/draft"),
    ):
        passes = Filter(None, [pattern])
        assert passes.decide(sent, 0, 0, lambda item: False, None)[0], pattern
        assert not passes.decide(left, 0, 0, lambda item: False, None)[0], pattern
