from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from scripts import demo

pytestmark = pytest.mark.integration

SECRET = b"a secret that is never written anywhere"


def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """One `make demo`, with its own state; everything it printed."""
    assert demo.main(["--out", str(folder / "out"), "--state", str(folder / "state")]) == 0
    told = capfd.readouterr()
    return told.out + told.err


def steps(log: str) -> dict[str, str]:
    """The Dockerfile's steps in a plain log, each with the text of its end, as CACHED or DONE."""
    names = dict(re.findall(r"^#(\d+) \[((?:work|stage-1) \d/\d)\]", log, re.MULTILINE))
    ends = dict(re.findall(r"^#(\d+) (CACHED|DONE|ERROR)", log, re.MULTILINE))
    return {name: ends[number] for number, name in names.items()}


def test_the_demo_builds_and_a_second_run_finds_all_in_the_cache(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = run(tmp_path, capfd)
    assert steps(first).keys() == {"work 1/4", "work 2/4", "work 3/4", "work 4/4", "stage-1 1/1"}
    assert set(steps(first).values()) == {"DONE"}
    assert f"run 1 with this cache; the secret has {len(SECRET)} bytes" in first
    out = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert out == {
        "greetings": "good day, Ada\ngood day, Grace\ngood day, Margaret\n",
        "runs": "1\n",
        "token-digest": hashlib.sha256(SECRET).hexdigest()[:12] + "\n",
    }

    second = run(tmp_path, capfd)
    ends = steps(second)
    ends.pop("work 1/4")  # what is pulled is never said to be CACHED while its manifest is looked up again
    assert set(ends.values()) == {"CACHED"}
    assert (tmp_path / "out" / "runs").read_text() == "1\n"


def test_the_secret_rests_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """T20's concern: not in the log, not in the result, not in the daemon's state and history."""
    log = run(tmp_path, capfd)
    assert SECRET.decode() not in log
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.suffix == ".db" for path in files)
    assert [path for path in files if SECRET in path.read_bytes()] == []


def test_without_a_daemon_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYBUILDKIT_BUILDKITD", str(tmp_path / "nothing"))
    assert demo.main(["--out", str(tmp_path / "out"), "--state", str(tmp_path / "state")]) == 1
    assert "PYBUILDKIT_BUILDKITD" in capfd.readouterr().err
