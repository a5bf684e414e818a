"""The examples and the README's code, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pybuildkit.testing.service import BuildkitdService

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def env(buildkitd: BuildkitdService) -> dict[str, str]:
    return {**os.environ, "BUILDKIT_HOST": buildkitd.address, "PYTHONPATH": str(REPOSITORY)}


def python(
    env: dict[str, str], cwd: Path, *args: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *args], env=env, cwd=cwd, input=stdin, capture_output=True, check=True, timeout=100
    )


def test_a_raw_definition_piped_into_solve(env: dict[str, str], tmp_path: Path) -> None:
    graph = python(env, tmp_path, str(REPOSITORY / "examples/graph/graph.py")).stdout
    python(env, tmp_path, "-m", "pybuildkit", "solve", "-o", "type=local,dest=out", stdin=graph)
    assert (tmp_path / "out/words").read_text() == "hello from python\n"
    assert (tmp_path / "out/numbers").read_text() == "1\n2\n3\n"


def test_a_service_with_three_builds_at_once(env: dict[str, str], tmp_path: Path) -> None:
    shown = python(env, tmp_path, str(REPOSITORY / "examples/service/service.py")).stdout.decode()
    for name in ("ada", "grace", "margaret"):
        assert (tmp_path / "out" / name / "greeting").read_text() == f"hello {name}\n"
        assert re.search(rf"^{name}: build \w{{25}} took ", shown, re.MULTILINE)
        assert f"{name}: | building {name}" in shown


def test_the_readmes_code(env: dict[str, str], tmp_path: Path) -> None:
    """Each block is a program; they run in a folder that has what a checkout has."""
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    for name in ("examples", "README.md"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    for block in blocks:
        python(env, tmp_path, "-c", block)
    assert (tmp_path / "out").is_dir()
    assert (tmp_path / "hello.tar").stat().st_size > 0
