"""Trees in memory and in tars."""

from __future__ import annotations

import bz2
import datetime as dt
import errno
import gc
import gzip
import io
import lzma
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from pybuildkit.errors import ConfigError, TransferError
from pybuildkit.fsutil import FS, MemoryDirectory, MemoryFile, MemorySymlink, MemoryTree, Stat, TarTree
from pybuildkit.fsutil.filter import Filter
from pybuildkit.fsutil.followpaths import follow_links
from pybuildkit.fsutil.send import Sender
from pybuildkit.fsutil.stat import (
    MODE_CHAR_DEVICE,
    MODE_DEVICE,
    MODE_DIR,
    MODE_FIFO,
    MODE_SETUID,
    MODE_SYMLINK,
)
from pybuildkit.fsutil.virtual import Node, VirtualFolder, VirtualTree
from tests.support.treereceiver import TreeReceiver

FIRST_1980 = 315_532_800


def sent(fs: FS, **patterns: Any) -> TreeReceiver:
    return TreeReceiver(Sender(fs.open(), Filter(**patterns))).run()


# --- memory ---


def test_a_memory_tree_says_what_it_was_told() -> None:
    """X12."""
    tree = MemoryTree(
        {
            "./x//y": MemoryFile("é", mode=0o4711, mtime=1.5, uid=1, gid=2, xattrs={"user.a": b"b"}),
            "/abs": bytearray(b"12"),
            "view": memoryview(b"345"),
            "link": MemorySymlink("x/y"),
            "x": MemoryDirectory(0o700),
            "when": MemoryFile(b"", mtime=dt.datetime(2020, 1, 1, 0, 0, 0, 5, dt.UTC)),
            "then": MemoryFile(b"", mtime=7),
        }
    )
    tree.check()
    daemon = sent(tree)
    stats = {stat.path: stat for stat in daemon.stats}
    assert daemon.paths == ["abs", "link", "then", "view", "when", "x", "x/y"]
    assert daemon.files == {"abs": b"12", "view": b"345", "x/y": "é".encode(), "when": b"", "then": b""}
    assert stats["x/y"] == Stat("x/y", MODE_SETUID | 0o711, 1, 2, 2, 1_500_000_000, xattrs={"user.a": b"b"})
    assert stats["x"].mode == MODE_DIR | 0o700
    assert (stats["link"].mode, stats["link"].linkname, stats["link"].size) == (
        MODE_SYMLINK | 0o777,
        "x/y",
        3,
    )
    assert stats["when"].mtime_ns == 1_577_836_800_000_005_000
    assert stats["then"].mtime_ns == 7 * 10**9


def test_times_come_from_the_content() -> None:
    """X6: two contents of one size must not be taken for each other by the daemon."""

    def mtime(content: str) -> int:
        return sent(MemoryTree({"f": content})).stats[0].mtime_ns

    assert mtime("aa") == mtime("aa") != mtime("ab")
    assert mtime("aa") // 10**9 == FIRST_1980


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"../x": ""}, r"the path '../x' is not inside the tree"),
        ({"a/../../x": ""}, "is not inside the tree"),
        ({"..": MemoryDirectory()}, "is not inside the tree"),
        ({"a\0": ""}, "is not inside the tree"),
        ({"a": "", "a/b": ""}, "leads through 'a', which is no directory"),
        ({"a/b": "", "a": ""}, "'a' is in the tree twice"),
        ({"a": "1", "./a": "2"}, "'./a' is in the tree twice"),
        ({".": ""}, "the tree's root"),
        ({"a": 5}, "the content of 'a' is a int: give bytes"),
        ({"a": MemorySymlink("")}, "the symbolic link 'a' has no target"),
        ({"a": MemoryFile("", mode=0o100644)}, "the mode 0o100644 of 'a'"),
        ({"a": MemoryFile("", mtime=dt.datetime(2020, 1, 1))}, "the time of 'a' has no time zone"),  # noqa: DTZ001
    ],
)
def test_a_wrong_memory_tree_is_refused_at_once(entries: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        MemoryTree(entries)


def test_a_memory_tree_can_be_matched_and_followed() -> None:
    """S36, S38: virtual trees are filtered as directories are."""
    tree = MemoryTree(
        {"a/b": "1", "a/c.go": "2", "d": MemorySymlink("/a/b"), "e/f/g": "3", "e/h": MemorySymlink("../d")}
    )
    assert sent(tree, includes=["**/g", "a/*.go"]).paths == ["a", "a/c.go", "e", "e/f", "e/f/g"]
    assert sent(tree, excludes=["e", "!e/f"]).paths == ["a", "a/b", "a/c.go", "d", "e", "e/f", "e/f/g"]
    opened = tree.open()
    assert follow_links(opened, ["e/*"]) == ["a/b", "d", "e/*"]
    assert follow_links(opened, ["missing/*", "a/b/*"]) == ["a/b/*", "missing/*"]
    assert opened.show("a/b") == "memory:a/b"
    for path in ("x", "a", "a/b/c"):
        with pytest.raises(TransferError, match=f"can not open memory:{path}: no such file"):
            opened.read(path, 1)


def test_content_that_can_not_be_read_is_named() -> None:
    class Broken:
        size = 300_000

        def read_at(self, offset: int, size: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    tree = MemoryTree({"big": bytes(300_000), "small": "x"})
    root = tree.open()._root
    assert root.children is not None
    for node in root.children.values():
        node.content = Broken()
    for name in root.children:
        daemon = TreeReceiver(Sender(VirtualTree(root, "it")), want=lambda stat, name=name: stat.path == name)  # type: ignore[misc]
        assert f"can not read it:{name}: input/output error" in daemon.run().error


# --- tars ---


def make_tar(**options: Any) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", **options) as tar:
        entries: tuple[tuple[str, bytes, dict[str, Any]], ...] = (
            ("./", tarfile.DIRTYPE, {}),
            ("dir/", tarfile.DIRTYPE, {"mode": 0o700, "mtime": 5}),
            ("dir/file", tarfile.REGTYPE, {"content": b"content", "mtime": 7, "uid": 3, "gid": 4}),
            ("missing/parent", tarfile.REGTYPE, {"content": b"x" * 100_000}),
            ("hard", tarfile.LNKTYPE, {"linkname": "dir/file"}),
            ("soft", tarfile.SYMTYPE, {"linkname": "dir/file"}),
            ("fifo", tarfile.FIFOTYPE, {}),
            ("tty", tarfile.CHRTYPE, {"devmajor": 5, "devminor": 1}),
            ("disk", tarfile.BLKTYPE, {"devmajor": 7, "devminor": 2}),
            ("é/" + "long" * 60, tarfile.REGTYPE, {"content": b""}),
            ("twice", tarfile.REGTYPE, {"content": b"first"}),
            ("twice", tarfile.REGTYPE, {"content": b"second"}),
        )
        for name, kind, more in entries:
            member = tarfile.TarInfo(name)
            member.type = kind
            content: bytes = more.pop("content", b"")
            for key, value in more.items():
                setattr(member, key, value)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def check_tar(fs: FS) -> None:
    daemon = sent(fs)
    assert daemon.paths == [
        "dir", "dir/file", "disk", "fifo", "hard", "missing", "missing/parent", "soft", "tty", "twice", "é", "é/" + "long" * 60,
    ]  # fmt: skip
    assert daemon.files == {
        "dir/file": b"content",
        "missing/parent": b"x" * 100_000,
        "twice": b"second",
        "é/" + "long" * 60: b"",
    }
    stats = {stat.path: stat for stat in daemon.stats}
    assert stats["dir"] == Stat("dir", MODE_DIR | 0o700, mtime_ns=5 * 10**9)
    assert stats["dir/file"] == Stat("dir/file", 0o644, 0, 0, 7, 7 * 10**9)
    assert (stats["hard"].linkname, stats["hard"].mode) == ("dir/file", 0o644)
    assert (stats["soft"].linkname, stats["soft"].mode) == ("dir/file", MODE_SYMLINK | 0o644)
    assert stats["fifo"].mode == MODE_FIFO | 0o644
    assert (stats["tty"].mode, stats["tty"].devmajor, stats["tty"].devminor) == (
        MODE_DEVICE | MODE_CHAR_DEVICE | 0o644,
        5,
        1,
    )
    assert (stats["disk"].mode, stats["disk"].devmajor) == (MODE_DEVICE | 0o644, 7)
    assert stats["missing"].mode == MODE_DIR | 0o755


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress, lambda d: lzma.compress(d, lzma.FORMAT_ALONE)]
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_tar_is_read_however_it_comes(tmp_path: Path, pack: Callable[[bytes], bytes], form: int) -> None:
    """A path, bytes, an open file, a stream that can not seek; packed or not."""
    data = pack(make_tar(format=form))
    (tmp_path / "t").write_bytes(data)
    check_tar(TarTree(tmp_path / "t"))
    check_tar(TarTree(str(tmp_path / "t")))
    check_tar(TarTree(data))
    with open(tmp_path / "t", "rb") as file:
        tree = TarTree(file)
        tree.check()
    check_tar(tree)
    read, write = os.pipe()  # which holds less than the tar
    with os.fdopen(write, "wb") as out, os.fdopen(read, "rb", buffering=0) as source:
        writer = threading.Thread(target=write_and_close, args=(out, data))
        writer.start()
        tree = TarTree(source)
        tree.check()
        writer.join()
    check_tar(tree)


def write_and_close(out: IO[bytes], data: bytes) -> None:
    with out:
        out.write(data)


def test_owners_in_a_tar_can_be_kept() -> None:
    stats = {stat.path: stat for stat in sent(TarTree(make_tar(), keep_owner=True)).stats}
    assert (stats["dir/file"].uid, stats["dir/file"].gid) == (3, 4)


def test_exact_times_and_attributes_of_a_tar() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("f")
        member.pax_headers = {"mtime": "1600000000.123456789", "SCHILY.xattr.user.note": "a\udcff"}
        tar.addfile(member)
    (stat,) = sent(TarTree(target.getvalue())).stats
    assert stat.mtime_ns == 1_600_000_000_123_456_789
    assert dict(stat.xattrs) == {"user.note": b"a\xff"}


def test_a_sparse_file_in_a_tar(tmp_path: Path) -> None:
    """GNU tar's way: pieces, and holes that are not stored."""
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        for offset, data in ((0, b"begin"), (200_000, b"middle" * 1000), (500_000, b"x")):
            file.seek(offset)
            file.write(data)
        file.truncate(1_000_000)
    assert os.system(f"tar -C {tmp_path} --sparse -cf {tmp_path}/t.tar sparse") == 0
    assert (tmp_path / "t.tar").stat().st_size < 100_000
    assert sent(TarTree(tmp_path / "t.tar")).files == {"sparse": path.read_bytes()}


def test_identities_tell_contents_apart(tmp_path: Path) -> None:
    """T19."""
    one, other = make_tar(), make_tar() + bytes(10_240)
    assert TarTree(one).identity() == TarTree(one).identity() != TarTree(other).identity()
    (tmp_path / "t").write_bytes(one)
    before = TarTree(tmp_path / "t").identity()
    assert TarTree(tmp_path / "t").identity() == before
    os.utime(tmp_path / "t", ns=(1, 1))
    assert TarTree(tmp_path / "t").identity() != before
    assert MemoryTree({}).identity() == MemoryTree({"a": ""}).identity()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"no tar", "can not read 'tar' as a tar: .*; give a tar"),
        (b"\x1f\x8bgarbage", "can not read 'tar' as a tar"),
        (b"\xfd7zXZ\0garbage", "can not read 'tar' as a tar"),
        (gzip.compress(make_tar())[:-20], "can not read 'tar' as a tar"),
        (b"\x28\xb5\x2f\xfdxxxx", "compressed with zstd"),
    ],
)
def test_what_is_no_tar_is_refused(data: bytes, text: str) -> None:
    for use in (TarTree.check, TarTree.identity, TarTree.open):
        with pytest.raises(ConfigError, match=text):
            use(TarTree(data))


def tar_of(**member: Any) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("name")
        for key, value in member.items():
            setattr(info, key, value)
        tar.addfile(info)
    return target.getvalue()


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ({"name": "../x"}, "not inside the tree"),
        ({"type": tarfile.LNKTYPE, "linkname": "nowhere"}, "a link to 'nowhere', which is no file before it"),
        ({"type": b"V"}, "of a type that is not known: b'V'"),
        ({"pax_headers": {"mtime": "soon"}}, "has a time that is none"),
    ],
)
def test_entries_that_can_not_be_are_refused(member: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        TarTree(tar_of(**member)).check()


def test_a_missing_tar_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can not read '.*/none.tar' as a tar: .*No such file"):
        TarTree(tmp_path / "none.tar").check()


def test_a_tar_that_was_cut_off_is_noticed(tmp_path: Path) -> None:
    """The header promises more than there is."""
    target = tmp_path / "t"
    target.write_bytes(tar_of(size=5000) + bytes(20_000))
    tree = TarTree(target)
    tree.check()
    os.truncate(target, 512 + 100)
    assert "name changed while it was sent: it had 5000 bytes, and then only 100" in sent(tree).error
    with pytest.raises(ConfigError, match="as a tar: unexpected end of data"):
        TarTree(target).check()


def test_descriptors_of_tars_do_not_pile_up(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(make_tar())
    gc.collect()
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        sent(TarTree(tmp_path / "t"))
    gc.collect()
    assert os.listdir("/proc/self/fd") == before


def test_hard_links_are_told_by_device_and_inode(monkeypatch: pytest.MonkeyPatch) -> None:
    """X11: Go goes by the inode alone, and takes files of two file systems for one."""
    keys = {"a": (1, 5), "b": (2, 5), "c": (1, 5), "d": (2, 5), "e": (2, 6)}

    def stat(self: VirtualFolder, item: Node, path: str) -> Any:
        return item.stat._replace(path=path), keys[path]

    monkeypatch.setattr(VirtualFolder, "stat", stat)
    stats = sent(MemoryTree(dict.fromkeys(keys, "x"))).stats
    assert [each.linkname for each in stats] == ["", "", "a", "b", ""]
