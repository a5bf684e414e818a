"""The seeds of the client's identities, shared with docker's tools."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pybuildkit.registry import seeds
from pybuildkit.registry.seeds import TokenSeeds


def test_a_seed_stays(tmp_path: Path) -> None:
    """S73, R21: in a file that only its owner can read, in the form that Go's clients read."""
    first = TokenSeeds(tmp_path).get("a.test")
    assert len(first) == 16
    assert TokenSeeds(tmp_path).get("a.test") == first
    assert TokenSeeds(tmp_path).get("b.test") != first
    assert stat.S_IMODE((tmp_path / ".token_seed").stat().st_mode) == 0o600
    document = json.loads((tmp_path / ".token_seed").read_text())
    assert set(document) == {"a.test", "b.test"}
    assert set(document["a.test"]) == {"Seed"}


def test_what_others_have_written_stays(tmp_path: Path) -> None:
    (tmp_path / ".token_seed").write_text('{"x.test": {"Seed": "AAAAAAAAAAAAAAAAAAAAAA==", "New": 1}}')
    TokenSeeds(tmp_path).get("a.test")
    document = json.loads((tmp_path / ".token_seed").read_text())
    assert document["x.test"] == {"Seed": "AAAAAAAAAAAAAAAAAAAAAA==", "New": 1}
    assert TokenSeeds(tmp_path).get("x.test") == bytes(16)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a.test": 1}', '{"a.test": {"Seed": "!"}}', '{"a.test": {"Seed": null}}']
)
def test_a_broken_file_is_replaced(tmp_path: Path, text: str) -> None:
    """S73: a process may have been killed while it wrote."""
    (tmp_path / ".token_seed").write_text(text)
    seed = TokenSeeds(tmp_path).get("a.test")
    assert len(seed) == 16
    assert TokenSeeds(tmp_path).get("a.test") == seed


@pytest.mark.parametrize("folder", [None, "missing", "file"])
def test_without_a_folder_they_are_in_memory(tmp_path: Path, folder: str | None) -> None:
    """Go makes the folder; nobody who has none wants one for this."""
    (tmp_path / "file").touch()
    kept = TokenSeeds(tmp_path / folder if folder else None)
    assert len(kept.get("a.test")) == 16
    assert kept.get("a.test") == kept.get("a.test")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    """S73: no permission is no error."""
    seed = TokenSeeds(tmp_path).get("a.test")
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        if "pytest" in str(parent):
            parent.chmod(0o755)
    os.seteuid(65534)
    try:
        other = TokenSeeds(tmp_path)
        assert len(other.get("a.test")) == 16
        assert other.get("a.test") != seed
    finally:
        os.seteuid(0)
    assert TokenSeeds(tmp_path).get("a.test") == seed


def test_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S73: EROFS, for the lock or for the file alone."""
    opened = os.open

    def read_only(path: str, flags: int, *rest: int, **names: int) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(tmp_path)):
            raise OSError(30, "Read-only file system", path)
        return opened(path, flags, *rest, **names)

    monkeypatch.setattr(os, "open", read_only)
    kept = TokenSeeds(tmp_path)
    assert len(kept.get("a.test")) == 16
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **names: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(seeds, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        TokenSeeds(tmp_path).get("a.test")


def test_many_at_once_agree(tmp_path: Path) -> None:
    """S73: the lock."""
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda n: TokenSeeds(tmp_path).get("a.test"), range(32)))
    assert len(found) == 1


def test_a_lock_that_is_held_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not forever: whoever holds it may be stopped."""
    monkeypatch.setattr(seeds, "_PATIENCE", 0.3)
    with (tmp_path / ".token_seed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        timer = threading.Timer(0.1, fcntl.flock, (lock, fcntl.LOCK_UN))
        timer.start()
        started = time.monotonic()
        TokenSeeds(tmp_path).get("a.test")
        assert time.monotonic() - started >= 0.1
        timer.join()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert len(TokenSeeds(tmp_path).get("b.test")) == 16
