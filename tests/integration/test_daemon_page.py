"""``docs/daemon.md`` and ``docs/testing.md``: their examples run."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.daemon import Buildkitd
from pybuildkit.testing.container import BuildkitContainer
from pybuildkit.testing.registry import Registry
from tests.conftest import find_tool

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
DAEMON = (ROOT / "docs" / "daemon.md").read_text()
TESTING = (ROOT / "docs" / "testing.md").read_text()


@pytest.fixture(autouse=True)
def binaries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, variable in (("buildkitd", "PYBUILDKIT_BUILDKITD"), ("registry", "PYBUILDKIT_REGISTRY")):
        path = find_tool(name)
        if path is None:
            pytest.skip(f"{name} is not there; run 'make tools'")
        monkeypatch.setenv(variable, str(path))


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """The names that the page on the daemon defines."""
    names: dict[str, Any] = {}
    for block in BLOCK.findall(DAEMON):
        exec(compile(block, "docs/daemon.md", "exec"), names)
    return names


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    return folder


def test_a_daemon_by_hand(examples: dict[str, Any], context: Path, tmp_path: Path) -> None:
    assert examples["build_once"](str(context), str(tmp_path / "out")) == "v0.32.2"
    assert (tmp_path / "out" / "Dockerfile").exists()


def test_a_kept_root(examples: dict[str, Any], context: Path, tmp_path: Path) -> None:
    for _ in range(2):
        examples["cached_build"](str(context), str(tmp_path / "cache"))
    assert (tmp_path / "cache" / "cache.db").exists()


def test_settings_are_taken(examples: dict[str, Any], registry: Registry) -> None:
    with examples["ci_daemon"](registry.url) as daemon:
        assert daemon.version
    assert isinstance(examples["shared_daemon"](Path("/certificates")), Buildkitd)


@pytest.mark.parametrize(
    ("page", "heading", "function"),
    [(DAEMON, "## Settings", Buildkitd.__init__), (TESTING, "## In a container", BuildkitContainer.__init__)],
    ids=["Buildkitd", "BuildkitContainer"],
)
def test_every_argument_is_explained(page: str, heading: str, function: Any) -> None:
    section = page.partition(heading)[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", section, re.MULTILINE))))
    arguments = set(inspect.signature(function).parameters) - {"self", "kwargs", "binary", "root", "probe"}
    assert arguments - named <= {"start_timeout"}
    assert named <= arguments | {"root"}


@pytest.mark.parametrize("number", [0, 1], ids=["fixtures", "registry"])
def test_tests_as_users_write_them(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's tests, run by pytest as a user's own; the last one needs a container, and has tests of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    first, options, offline, container = BLOCK.findall(TESTING)
    assert "BuildkitContainer" in container
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    )
    (tmp_path / "test_page.py").write_text(first + options + (offline if number else ""))
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    loaded = "import importlib.metadata as m, sys; sys.exit(not m.entry_points(group='pytest11', name='pybuildkit'))"
    plugin = (
        []
        if subprocess.run([sys.executable, "-c", loaded]).returncode == 0
        else ["-p", "pybuildkit.testing.pytest_plugin"]
    )
    words = ["-o", "anyio_mode=auto", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *plugin, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 + number} passed" in done.stdout
