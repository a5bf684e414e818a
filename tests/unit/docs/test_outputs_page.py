"""``docs/outputs.md``: its examples are Python, and name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pybuildkit.fsutil.receive import Limits
from pybuildkit.targets import FileTarget

PAGE = Path(__file__).resolve().parents[3] / "docs" / "outputs.md"


def examples() -> dict[str, Any]:
    """All names that the page's blocks define."""
    namespace: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    return namespace


def test_the_function_declines_what_is_there(tmp_path: Path) -> None:
    target = examples()["by_digest"](tmp_path).target
    assert isinstance(target, FileTarget)
    function: Any = target.destination
    metadata = {"containerimage.digest": "sha256:abc"}
    assert function(metadata) == tmp_path / "abc.tar"
    (tmp_path / "abc.tar").touch()
    assert function(metadata) is None


def test_the_limits_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    limits = Limits()
    for number in (
        f"{limits.held_bytes >> 20} MiB",
        f"{limits.partial_files} begun",
        f"{limits.entries:,} entries",
    ):
        assert number in text
