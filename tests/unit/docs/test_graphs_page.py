"""``docs/graphs.md``: its code is Python, graphs that need no daemon are made, and every public name is real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pybuildkit import llb

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "graphs.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
RECIPES = [block for block in BLOCKS if "Client()" in block]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_blocks_run(number: int) -> None:
    """Recipes are imported here, and run by the integration tests."""
    block = BLOCKS[number]
    if block in RECIPES and "__main__" not in block:
        compile(block, "docs/graphs.md", "exec")
        return
    names: dict[str, object] = {"__name__": "recipe"}
    exec(compile(block, "docs/graphs.md", "exec"), names)
    for value in names.values():
        if isinstance(value, llb.State):
            value.validate()


def test_there_are_five_recipes() -> None:
    assert sum("__main__" in block for block in RECIPES) == 5


def test_names_are_real() -> None:
    ours = PAGE[: PAGE.index("| Go | here |")]
    for name in set(re.findall(r"\bllb\.([A-Za-z_]+)", re.sub(r"client/llb", "", ours))):
        assert hasattr(llb, name), name
