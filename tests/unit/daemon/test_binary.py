"""Finding buildkitd, and what else it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pybuildkit.daemon import Buildkitd, MissingRequirement, binary, find_buildkitd
from pybuildkit.daemon.binary import check_requirements, search_path
from pybuildkit.errors import ConfigError, DaemonError


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def no_common_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "_COMMON_FOLDERS", ())


def test_order(tmp_path: Path) -> None:
    on_path, named, given = (program(tmp_path / name / "buildkitd") for name in ("path", "named", "given"))
    assert find_buildkitd(environ={}) is None
    environ = {"PATH": f"/nowhere:{on_path.parent}"}
    assert find_buildkitd(environ=environ) == on_path
    environ["PYBUILDKIT_BUILDKITD"] = str(named)
    assert find_buildkitd(environ=environ) == named
    assert find_buildkitd(given, environ=environ) == given
    other = program(tmp_path / "path" / "buildkitd-0.32")
    assert find_buildkitd("buildkitd-0.32", environ=environ) == other


def test_one_that_is_named_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with pytest.raises(ConfigError, match=r"binary is '.*plain', which is not an executable file"):
        find_buildkitd(tmp_path / "plain", environ={})
    with pytest.raises(ConfigError, match=r"\$PYBUILDKIT_BUILDKITD is '/nowhere'"):
        find_buildkitd(environ={"PYBUILDKIT_BUILDKITD": "/nowhere"})


def test_common_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian's runc is in /usr/sbin, which many a PATH lacks."""
    monkeypatch.setattr(binary, "_COMMON_FOLDERS", (str(tmp_path),))
    found = program(tmp_path / "buildkitd")
    assert find_buildkitd(environ={}) == found
    assert search_path({"PATH": "/a::/b:/a"}, Path("/first")) == f"/first:/a:/b:{tmp_path}"


def test_requirements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    runc = program(tmp_path / "runc")
    environ = {"PATH": str(tmp_path)}
    assert check_requirements(runc, environ, ["buildkit-runc", "runc"]) == runc
    with pytest.raises(MissingRequirement, match="there is no buildkitd binary: install buildkitd"):
        check_requirements(None, environ, ["runc"])
    with pytest.raises(MissingRequirement, match="needs crun or youki, not found: install runc"):
        check_requirements(runc, environ, ["crun", "youki"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        MissingRequirement, match=r"needs root, this is user 1000 \(rootless is not supported\)"
    ):
        check_requirements(runc, environ, ["runc"])
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MissingRequirement, match=r"on Linux only, not on darwin; set \$BUILDKIT_HOST"):
        check_requirements(runc, environ, ["runc"])
    assert issubclass(MissingRequirement, DaemonError)


def test_no_daemon_leaves_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    daemon = Buildkitd()
    with pytest.raises(MissingRequirement):
        daemon.start()
    assert list(tmp_path.iterdir()) == []
    assert repr(daemon) == "<Buildkitd not running>"
    daemon.stop()
