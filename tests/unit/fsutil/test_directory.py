"""Directories: what is open, what races do, what can not be read."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.errors import ConfigError, TransferError
from pybuildkit.fsutil import Directory, Stat
from pybuildkit.fsutil import directory as module
from pybuildkit.fsutil.filter import Filter
from pybuildkit.fsutil.followpaths import follow_links
from pybuildkit.fsutil.walk import walk


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def stats(fs: Directory, passes: Filter | None = None) -> list[Stat]:
    tree = fs.open()
    try:
        return [stat for stat in walk(tree, passes) if stat is not None]
    finally:
        tree.close()


def paths(fs: Directory, passes: Filter | None = None) -> list[str]:
    return [stat.path for stat in stats(fs, passes)]


def refuse(
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    name: str,
    error: int,
    *,
    then: Callable[[], object] | None = None,
) -> None:
    """Let a call of the system fail for one name; root may do all, so real permissions would not."""
    real = getattr(os, call)

    def refusing(path: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(path, str) and path.endswith(name):
            if then is not None:
                then()
            else:
                raise OSError(error, os.strerror(error), path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, call, refusing)


# --- the root ---


def test_a_directory_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    """S28."""
    with pytest.raises(
        ConfigError, match=r"can not use the directory '.*/missing': no such file or directory; give"
    ):
        Directory(tmp_path / "missing").check()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is not a directory; give the directory that it is in"):
        Directory(str(tmp_path / "file")).check()
    for name in ("missing", "file"):
        with pytest.raises(TransferError, match=f"can not open .*/{name}"):
            Directory(tmp_path / name).open()
    Directory(tmp_path).check()


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    """S28."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").touch()
    (tmp_path / "link").symlink_to("real")
    assert paths(Directory(tmp_path / "link")) == ["file"]
    assert (
        Directory(tmp_path / "link").identity()
        == Directory(tmp_path / "real").identity()
        == str(tmp_path / "real")
    )


def test_owners_belong_to_root_unless_they_are_to_be_kept(tmp_path: Path) -> None:
    """S26."""
    (tmp_path / "file").touch()
    if os.geteuid() == 0:
        os.chown(tmp_path / "file", 12, 34)
    known = os.stat(tmp_path / "file")
    (reset,) = stats(Directory(tmp_path))
    (kept,) = stats(Directory(tmp_path, keep_owner=True))
    assert (reset.uid, reset.gid) == (0, 0)
    assert (kept.uid, kept.gid) == (known.st_uid, known.st_gid)


# --- order ---


def test_order_is_by_the_bytes_of_each_name(tmp_path: Path) -> None:
    """S29, T24."""
    for name in ("a/b", "a-/x", "a.txt", "B", "é", "z", "\U0001f600", "\uffee", "a b/c"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        target.touch()
    assert paths(Directory(tmp_path)) == [
        "B",
        "a",
        "a/b",
        "a b",
        "a b/c",
        "a-",
        "a-/x",
        "a.txt",
        "z",
        "é",
        "\uffee",
        "\U0001f600",
    ]


# --- attributes ---


def test_attributes_are_sent_unless_they_are_not_to_be(tmp_path: Path) -> None:
    """S33."""
    (tmp_path / "dir").mkdir()
    os.setxattr(tmp_path / "dir", "user.a", b"1")
    assert [dict(stat.xattrs) for stat in stats(Directory(tmp_path))] == [{"user.a": b"1"}]
    assert [dict(stat.xattrs) for stat in stats(Directory(tmp_path, xattrs=False))] == [{}]


def test_a_file_system_without_attributes_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S33, X7."""
    for name in "abc":
        (tmp_path / name).touch()
    asked = []

    def unsupported(path: str, **kwargs: Any) -> list[str]:
        asked.append(path)
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "listxattr", unsupported)
    assert paths(Directory(tmp_path)) == ["a", "b", "c"]
    assert len(asked) == 1


def test_attributes_that_can_not_be_read_are_skipped_but_not_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S33: as Go does."""
    (tmp_path / "file").touch()
    for key in ("user.a", "user.b"):
        os.setxattr(tmp_path / "file", key, b"1")
    real = os.getxattr

    def some(path: str, key: str, **kwargs: Any) -> bytes:
        if key == "user.a":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(path, key, **kwargs)

    names = os.listxattr
    monkeypatch.setattr(os, "getxattr", some)
    monkeypatch.setattr(
        os, "listxattr", lambda path, **kw: ["com.apple.quarantine", *sorted(names(path, **kw))]
    )
    assert [dict(stat.xattrs) for stat in stats(Directory(tmp_path))] == [{"user.b": b"1"}]
    monkeypatch.undo()
    refuse(monkeypatch, "listxattr", "file", errno.EIO)
    with pytest.raises(TransferError, match=r"can not read .*/file: input/output error"):
        stats(Directory(tmp_path))


def test_attributes_are_found_without_proc(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").touch()
    os.setxattr(tmp_path / "dir" / "file", "user.a", b"1")
    tree = Directory(tmp_path).open()
    tree.by_proc = False
    found = [stat for stat in walk(tree) if stat is not None]
    tree.close()
    assert dict(found[1].xattrs) == {"user.a": b"1"}


# --- what can not be read ---


def test_a_directory_that_can_not_be_read_is_an_error_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S30, X8."""
    (tmp_path / "a" / "closed").mkdir(parents=True)
    (tmp_path / "b").touch()
    refuse(monkeypatch, "open", "closed", errno.EACCES)
    with pytest.raises(
        TransferError, match=f"can not read the directory {tmp_path}/a/closed: permission denied; make"
    ) as caught:
        stats(Directory(tmp_path))
    assert caught.value.path == str(tmp_path / "a" / "closed")
    assert paths(Directory(tmp_path), Filter(None, ["a/closed"])) == ["a", "b"]
    assert paths(Directory(tmp_path), Filter(None, ["**/closed", "!**/keep"])) == ["a", "b"]
    assert paths(Directory(tmp_path), Filter(["b", "**/x"])) == ["b"]


def test_other_errors_are_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dir").mkdir()
    refuse(monkeypatch, "open", "dir", errno.EMFILE)
    with pytest.raises(TransferError, match="too many open files; raise the limit"):
        stats(Directory(tmp_path), Filter(["**/x"]))


def test_a_link_that_can_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("x")
    refuse(monkeypatch, "readlink", "link", errno.EACCES)
    with pytest.raises(TransferError, match=r"can not read .*/link: permission denied"):
        stats(Directory(tmp_path))
    tree = Directory(tmp_path).open()
    with pytest.raises(TransferError, match=r"can not read .*/link: permission denied"):
        follow_links(tree, ["link"])
    tree.close()


def test_a_directory_that_can_not_be_listed_for_wildcards_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dir").mkdir()
    tree = Directory(tmp_path).open()
    refuse(monkeypatch, "open", "dir", errno.EACCES)
    with pytest.raises(TransferError, match=r"can not read .*/dir: permission denied"):
        follow_links(tree, ["dir/*"])
    tree.close()


# --- races ---


def walk_slowly(fs: Directory, passes: Filter | None, do: dict[str, Callable[[], object]]) -> list[str]:
    """Walk, and do something after some entries were given."""
    tree = fs.open()
    found = []
    for stat in walk(tree, passes):
        assert stat is not None
        found.append(stat.path)
        do.get(stat.path, lambda: None)()
    tree.close()
    return found


def test_what_vanishes_during_the_walk_is_left_out_alone(tmp_path: Path) -> None:
    """S30. Go leaves out all that comes after it in the directory, too."""
    for name in ("a", "b", "c", "e"):
        (tmp_path / name).touch()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").touch()

    def vanish() -> None:
        (tmp_path / "b").unlink()
        (tmp_path / "d" / "x").unlink()
        (tmp_path / "d").rmdir()

    assert walk_slowly(Directory(tmp_path), None, {"a": vanish}) == ["a", "c", "e"]


def test_a_directory_that_vanishes_after_it_was_told_is_empty(tmp_path: Path) -> None:
    for name in ("d", "e"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()

    def replace() -> None:
        (tmp_path / "d" / "x").unlink()
        (tmp_path / "d").rmdir()
        (tmp_path / "d").symlink_to("e")  # not to be followed

    assert walk_slowly(Directory(tmp_path), None, {"d": replace}) == ["d", "e", "e/x"]


def test_a_parent_that_vanishes_before_it_is_told_takes_all_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S36: parents of what is included are told late."""
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "x").touch()
    (tmp_path / "d" / "y").touch()
    (tmp_path / "z").touch()
    real = module._OpenFolder.stat

    def gone(self: Any, item: Any, path: str) -> Any:
        return None if path == "d/sub" else real(self, item, path)

    monkeypatch.setattr(module._OpenFolder, "stat", gone)
    assert paths(Directory(tmp_path), Filter(["**/x", "**/y", "z"])) == ["d", "d/y", "z"]


def test_a_link_whose_file_was_not_told_is_the_file(tmp_path: Path) -> None:
    """S32: what a map leaves out is no link's target."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    os.link(tmp_path / "a" / "x", tmp_path / "b")
    os.link(tmp_path / "a" / "x", tmp_path / "c")
    fs = Directory(tmp_path, map=lambda stat: None if stat.path == "a" else stat)
    assert [(stat.path, stat.linkname) for stat in stats(fs, Filter(["**/x", "b", "c"]))] == [
        ("b", ""),
        ("c", "b"),
    ]


# --- depth ---


@pytest.fixture
def deep() -> Iterator[Path]:
    """Not under pytest's own folder: its clean-up goes too deep for Python's stack."""
    root = tempfile.mkdtemp(prefix="deep-")
    try:
        yield Path(root)
    finally:
        subprocess.run(["rm", "-rf", root], check=True)


@pytest.mark.parametrize("depth", [60, 70, 400])
def test_deep_trees_need_few_descriptors(deep: Path, depth: int) -> None:
    """Directories above are opened again when the walk comes back to them."""
    fd = os.open(deep, os.O_RDONLY)
    for level in range(depth):
        for name in ("0", "d", "e"):
            os.mkdir(name, dir_fd=fd)
        os.symlink("0", "l", dir_fd=fd)
        os.setxattr(f"/proc/self/fd/{fd}/e", "user.level", b"%d" % level)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 90, hard))
    try:
        found = stats(Directory(deep))
        filtered = stats(Directory(deep), Filter(["**/e", "**/l"]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [stat.path for stat in found] == deep_paths(depth)
    assert [stat.path for stat in filtered] == [
        path for path in deep_paths(depth) if not path.endswith("0") and path != "d/" * (depth - 1) + "d"
    ]
    levels = [int(stat.xattrs["user.level"]) for stat in found if stat.path.endswith("e")]
    assert levels == list(range(depth))[::-1]


def deep_paths(depth: int) -> list[str]:
    down = [path for level in range(depth) for path in ("d/" * level + "0", "d/" * level + "d")]
    up = [path for level in reversed(range(depth)) for path in ("d/" * level + "e", "d/" * level + "l")]
    return down + up


def test_a_released_directory_tells_kinds_anew(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "gone").touch()
    tree = Directory(tmp_path).open()
    folder = tree.root()
    items = folder.items()
    folder.release()
    (tmp_path / "gone").unlink()
    assert [folder.is_dir(item) for item in items] == [True, False]
    assert folder.stat(items[1], "gone") is None
    assert folder.enter(items[1]) is None
    folder.close()
    tree.close()


def test_recent_directories_are_kept_open_but_not_all(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "f").write_text(str(number))
    tree = Directory(tmp_path).open()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for number in range(40):
            assert bytes(tree.read(f"{number}/f", 10)) == str(number).encode()
    assert len(os.listdir("/proc/self/fd")) - before <= module._RECENT
    tree.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems give other numbers")
def test_nothing_above_the_root_is_looked_at(tmp_path: Path) -> None:
    """S38: Go lists the directory above for such a path."""
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to("root")
    tree = Directory(tmp_path / "root").open()
    assert follow_links(tree, ["../*", "../link/x", "..", "/../l*"]) == [
        "..",
    ]
    tree.close()
