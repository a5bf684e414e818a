"""Which daemon a test run gets, and what it says when there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pybuildkit.daemon import binary
from pybuildkit.errors import ConfigError, DaemonError
from pybuildkit.testing import registry
from pybuildkit.testing.registry import Registry, TokenAuth, find_registry
from pybuildkit.testing.service import BuildkitdOptions, NoBuildkitd, running_buildkitd
from pybuildkit.transport import docker_engine

ROOT = Path(__file__).parents[3]


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an engine nor a binary."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(binary, "_COMMON_FOLDERS", ())
    monkeypatch.setattr(docker_engine, "DEFAULT_HOST", "unix:///nowhere/docker.sock")


def test_nothing_there(bare_machine: None) -> None:
    with pytest.raises(NoBuildkitd) as caught, running_buildkitd(BuildkitdOptions()):
        pytest.fail("there is a daemon")
    text = str(caught.value)
    assert text.startswith("No buildkitd for the tests: set $BUILDKIT_HOST, or install a docker engine")
    for reason in (
        "environment: $BUILDKIT_HOST is not set",
        "container: no docker engine answers",
        "binary: there is no",
    ):
        assert reason in text


def test_the_environment_comes_first(bare_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDKIT_HOST", "tcp://somewhere:1")
    with running_buildkitd(BuildkitdOptions()) as found:
        assert (found.address, found.kind, found.registry, found.log()) == (
            "tcp://somewhere:1",
            "environment",
            None,
            "",
        )
    with pytest.raises(NoBuildkitd), running_buildkitd(BuildkitdOptions(order=["binary"])):
        pytest.fail("there is a daemon")


def test_what_a_test_does_wrong_is_its_own(bare_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDKIT_HOST", "tcp://somewhere:1")
    with pytest.raises(LookupError, match="mine"), running_buildkitd(BuildkitdOptions()):
        raise LookupError("mine")


def test_bad_options(bare_machine: None) -> None:
    with pytest.raises(ConfigError, match="kind of daemon 'podman' is not known"):
        running_buildkitd(BuildkitdOptions(order=["podman"])).__enter__()  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="entitlement 'root' is not known"):
        running_buildkitd(BuildkitdOptions(order=["binary"], entitlements=["root"])).__enter__()


def test_an_engine_that_does_not_answer(
    bare_machine: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(NoBuildkitd, match="container: no docker engine answers"):
        running_buildkitd(BuildkitdOptions(order=["container"])).__enter__()


def test_the_plugin_costs_nothing() -> None:
    """It is loaded in every pytest run of whoever has pybuildkit installed."""
    script = (
        "import pytest, sys\n"
        "before = set(sys.modules)\n"
        "import pybuildkit.testing.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["pybuildkit", "pybuildkit.testing", "pybuildkit.testing.pytest_plugin"]


def test_the_plugin_skips_with_a_reason(bare_machine: None, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(buildkitd):\n    pass\n")
    script = (
        "import sys, pytest\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from pybuildkit.daemon import binary; binary._COMMON_FOLDERS = ()\n"
        "from pybuildkit.transport import docker_engine; docker_engine.DEFAULT_HOST = 'unix:///nowhere/x.sock'\n"
        "from importlib.metadata import entry_points\n"
        "from pybuildkit.testing import pytest_plugin\n"
        "installed = entry_points(group='pytest11', name='pybuildkit')\n"
        "plugins = [] if installed else [pytest_plugin]\n"
        "sys.exit(pytest.main(['-rs', '-p', 'no:cacheprovider', sys.argv[1]], plugins=plugins))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "SKIPPED" in done.stdout
    assert "No buildkitd for the tests: set $BUILDKIT_HOST" in done.stdout


def test_registry_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="go together"):
        Registry(certificate=tmp_path)
    token = TokenAuth("http://x", "s", "i", tmp_path)
    with pytest.raises(ConfigError, match="exclude each other"):
        Registry(users={"a": "b"}, token=token)
    with pytest.raises(ConfigError, match="'/nowhere' is not an executable file"):
        find_registry("/nowhere")
    monkeypatch.setenv("PYBUILDKIT_REGISTRY", "/elsewhere")
    with pytest.raises(ConfigError, match="'/elsewhere'"):
        find_registry()


def test_no_registry(bare_machine: None) -> None:
    assert find_registry() is None
    made = Registry()
    with pytest.raises(DaemonError, match="there is no registry binary: install"):
        made.start()
    with pytest.raises(DaemonError, match="is not running"):
        _ = made.host
    made.stop()
    assert registry.REGISTRY_VARIABLE == "PYBUILDKIT_REGISTRY"
