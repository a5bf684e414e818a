"""Trees received beside their destination, and moved in."""

from __future__ import annotations

import os
import stat as st
from pathlib import Path

import pytest

from pybuildkit.errors import TransferError
from pybuildkit.fsutil.receive import Receiver
from pybuildkit.fsutil.staging import Staging
from tests.support.trees import MTIME, Entry, directory, fifo, file, link, play, snapshot, symlink

TREE = [
    directory("d", 0o750, xattrs={"user.a": b"1"}),
    file("d/f", b"new"),
    directory("d/locked", 0o555),
    file("d/locked/x", b"x", 0o444),
    file("e", b"e" * 200_000),
    link("hard", "d/f"),
    fifo("p"),
    symlink("s", "/nowhere"),
]


def stage(path: Path, *entries: Entry, mirror: bool = False) -> Staging:
    staging = Staging(path, mirror=mirror)
    receiver = Receiver(staging.open())
    play(receiver, entries)
    assert receiver.error is None
    return staging


def make(path: Path, kind: str) -> None:
    match kind:
        case "file":
            path.write_bytes(b"old")
        case "directory":
            path.mkdir()
            (path / "old").write_bytes(b"old")
        case "symlink":
            path.symlink_to(path.parent.parent / "outside")


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_all_of_it_arrives(tmp_path: Path, mirror: bool, there: bool) -> None:
    """X17, and S57 as without staging."""
    out = tmp_path / "out"
    if there:
        (out / "d").mkdir(parents=True, mode=0o700)
        (out / "d" / "f").write_bytes(b"old")
        (out / "d" / "old").write_bytes(b"old")
        (out / "d" / "locked").mkdir()
        (out / "d" / "locked" / "x").write_bytes(b"old")
    staging = stage(out, *TREE, mirror=mirror)
    assert snapshot(out, times=False).get("d/f", ("",) * 3)[2] == (b"old" if there else "")
    staging.commit()
    staging.commit()
    found = snapshot(out)
    assert set(found) == {stat.path for stat, _ in TREE} | ({"d/old"} if there and not mirror else set())
    assert found["d"][:2] + found["d"][4:5] == (st.S_IFDIR, 0o750, MTIME)
    assert os.getxattr(out / "d", "user.a") == b"1"
    assert found["d/locked"][1] == 0o555
    assert found["d/locked"][4] == MTIME
    assert found["d/f"][2:4] == found["hard"][2:4] == (b"new", "hard")
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("old", ["file", "directory", "symlink"])
@pytest.mark.parametrize("new", [file("n", b"new"), directory("n"), symlink("n", "x"), fifo("n")])
def test_whatever_has_the_name_is_replaced(tmp_path: Path, old: str, new: Entry) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    make(out / "n", old)
    stage(out, new).commit()
    found = snapshot(out)
    merged = old == "directory" and new[0].is_dir
    assert set(found) == ({"n", "n/old"} if merged else {"n"})
    assert os.listdir(outside) == []


def test_several_streams(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "a" / "out")
    for name in ("x", "y"):
        receiver = Receiver(staging.open())
        play(receiver, [directory("shared"), file(f"shared/{name}", b"x")])
    staging.commit()
    assert set(snapshot(tmp_path / "a" / "out")) == {"shared", "shared/x", "shared/y"}


def test_a_link_to_the_destination_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    stage(tmp_path / "out", file("f", b"x"), mirror=True).commit()
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real" / "f").read_bytes() == b"x"


def test_the_destinations_mode_stays(tmp_path: Path) -> None:
    for mirror in (False, True):
        out = tmp_path / str(mirror)
        out.mkdir()
        out.chmod(0o2751)
        stage(out, file("f", b"x"), mirror=mirror).commit()
        assert st.S_IMODE(out.stat().st_mode) == 0o2751


def test_abort(tmp_path: Path) -> None:
    stage(tmp_path / "out", *TREE).abort()
    assert os.listdir(tmp_path) == []
    staging = Staging(tmp_path / "out")
    staging.abort()
    staging.commit()
    assert os.listdir(tmp_path) == []


def test_what_can_not_be_moved(tmp_path: Path) -> None:
    """The error names the destination, and nothing is left beside it."""
    staging = stage(tmp_path / "out", *TREE)
    (tmp_path / "out").write_bytes(b"in the way")
    with pytest.raises(TransferError, match="can not move what was received"):
        staging.commit()
    assert os.listdir(tmp_path) == ["out"]
