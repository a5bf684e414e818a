"""``docs/errors.md``: complete, and its examples are Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pybuildkit import details, errors
from pybuildkit.details import Frame, Stack
from pybuildkit.errors import BuildError

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "errors.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize(
    "name",
    [n for n in details.__all__ if n[0].isupper() and n not in {"Detail", "Frame", "ProvenanceMaterial"}],
)
def test_every_detail_is_named(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_nothing_is_explained_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)
    assert rows
    assert set(rows) <= set(errors.__all__)


def test_the_examples_run() -> None:
    assert len(BLOCKS) == 2
    namespace: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/errors.md", "exec"), namespace)
    debug_text = namespace["debug_text"]
    assert callable(debug_text)
    error = BuildError(
        "boom", details=(Stack((Frame("main.main", "a.go", 7),), ("buildkitd",), 1, "v0.32.2"),)
    )
    assert debug_text(error) == "boom\n1 v0.32.2 buildkitd\nmain.main\n\ta.go:7\n\n"
