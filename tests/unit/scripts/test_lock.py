from __future__ import annotations

from pathlib import Path

from scripts.wire import lock

PROTOS = Path(__file__).parents[3] / "protos"


def test_the_lock_names_each_proto_with_its_hash() -> None:
    assert lock.Lock.read(PROTOS).files == {path.name: lock.digest(path) for path in PROTOS.glob("*.proto")}


def test_the_lock_names_the_daemon() -> None:
    daemon = lock.Lock.read(PROTOS).daemon
    assert daemon["package"] == "github.com/moby/buildkit"
    assert daemon["version"].startswith("v0.")


def test_a_lock_survives_writing_and_reading(tmp_path: Path) -> None:
    written = lock.Lock(
        {"package": "p", "version": "v", "revision": ""}, {"here": "there"}, {"a.proto": "00"}
    )
    (tmp_path / lock.NAME).write_text(written.text())
    assert lock.Lock.read(tmp_path) == written
    assert written.text() == lock.Lock.read(tmp_path).text()


def test_the_protos_name_no_generic_package() -> None:
    """A second ``package pb`` in one process is a crash at import: everything is under ``moby.``."""
    for path in PROTOS.glob("*.proto"):
        assert "\npackage moby." in path.read_text(), path.name
