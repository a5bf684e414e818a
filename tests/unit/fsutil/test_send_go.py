"""Trees sent by us and received by Go's fsutil are the same on disk."""

from __future__ import annotations

import os
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pybuildkit.fsutil import FS, Directory, MemoryDirectory, MemoryFile, MemorySymlink, MemoryTree, TarTree
from pybuildkit.fsutil.filter import Filter
from pybuildkit.fsutil.send import Sender
from tests.support.fsutilpeer import receive
from tests.support.sourcetrees import make_tree, snapshot

MIB = 1 << 20


def transfer(fs: FS, dest: Path, *, excludes: list[str] | None = None, differ: str = "metadata") -> Sender:
    dest.mkdir(exist_ok=True)
    sender = Sender(fs.open(), Filter(None, excludes))
    assert receive(sender, dest, differ=differ) == ""
    assert sender.error is None
    assert sender.progress.done
    return sender


@pytest.mark.parametrize("seed", range(20, 28))
def test_a_tree_arrives_as_it_is(tmp_path: Path, seed: int) -> None:
    """S44 to S51: content, mode, links of both kinds, attributes and times of generated trees."""
    (tmp_path / "src").mkdir()
    make_tree(tmp_path / "src", seed, entries=120)
    transfer(Directory(tmp_path / "src"), tmp_path / "dest")
    assert snapshot(tmp_path / "dest") == snapshot(tmp_path / "src")


def test_nothing_is_asked_for_again_when_nothing_changed(tmp_path: Path) -> None:
    """S41, X6: the daemon compares what it has by size and time."""
    (tmp_path / "src").mkdir()
    make_tree(tmp_path / "src", 3, entries=60)
    first = transfer(Directory(tmp_path / "src"), tmp_path / "dest")
    again = transfer(Directory(tmp_path / "src"), tmp_path / "dest")
    assert first.progress.files > 0
    assert again.progress.files == 0
    assert again.progress.entries == first.progress.entries
    changed = next(
        path for path in sorted((tmp_path / "src").rglob("*")) if path.is_file() and not path.is_symlink()
    )
    changed.write_bytes(b"changed")
    third = transfer(Directory(tmp_path / "src"), tmp_path / "dest")
    assert 1 <= third.progress.files <= 3  # its other names may be links
    assert snapshot(tmp_path / "dest") == snapshot(tmp_path / "src")


def test_files_of_all_sizes_arrive(tmp_path: Path) -> None:
    """S50: what is small, what is not, and what lies between."""
    source = tmp_path / "src"
    source.mkdir()
    sizes = [0, 1, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 3 * MIB + 1]
    for size in sizes:
        (source / str(size)).write_bytes(os.urandom(size))
    sender = transfer(Directory(source), tmp_path / "dest")
    assert snapshot(tmp_path / "dest") == snapshot(source)
    assert (sender.progress.files, sender.progress.content) == (len(sizes), sum(sizes))
    assert sender.progress.bytes > sum(sizes)


def bad_names(source: Path) -> None:
    (source / ("n" * 255)).write_text("long")
    (source / ("é" * 127)).write_text("long in bytes")
    (source / "new\nline\t").write_text("odd")
    (source / "back\\slash").write_text("odd")
    deep = source
    for _ in range(15):
        deep = deep / ("d" * 200)
        deep.mkdir()
    (deep / "bottom").write_text("deep")


def links(source: Path) -> None:
    (source / "file").write_text("linked")
    os.link(source / "file", source / "another")
    (source / "z").mkdir()
    os.link(source / "file", source / "z" / "third")
    for name, target in {
        "dangling": "nowhere",
        "loop": "loop",
        "a-loop": "b-loop",
        "b-loop": "a-loop",
        "up": "../..",
        "abs": "/etc/passwd",
    }.items():
        os.symlink(target, source / name)
    os.link(source / "loop", source / "loop-again", follow_symlinks=False)


def special(source: Path) -> None:
    os.mkfifo(source / "fifo", 0o640)
    (source / "empty").mkdir()
    (source / "attr").write_text("x")
    os.setxattr(source / "attr", "user.note", b"\0\xff")
    (source / "sticky").mkdir()
    (source / "sticky").chmod(0o1777)
    (source / "setuid").write_text("x")
    (source / "setuid").chmod(0o6755)


@pytest.mark.parametrize("make", [bad_names, links, special])
def test_what_is_odd_arrives(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """S31 to S34, and long, deep and strange names."""
    source = tmp_path / "src"
    source.mkdir()
    make(source)
    transfer(Directory(source), tmp_path / "dest")
    assert snapshot(tmp_path / "dest") == snapshot(source)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_devices_arrive(tmp_path: Path) -> None:
    """S34."""
    source = tmp_path / "src"
    source.mkdir()
    try:
        os.mknod(source / "null", 0o020666, os.makedev(1, 3))
        os.mknod(source / "disk", 0o060660, os.makedev(7, 300))
    except PermissionError:
        pytest.skip("this container may not make devices")
    transfer(Directory(source), tmp_path / "dest")
    assert snapshot(tmp_path / "dest") == snapshot(source)


def test_a_socket_arrives_as_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S34: as with Go's client, whose attempt to open it fails unseen; the digests of contexts stay the same."""
    source = tmp_path / "src"
    source.mkdir()
    monkeypatch.chdir(source)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        transfer(Directory(source), tmp_path / "dest")
    assert (tmp_path / "dest" / "socket").read_bytes() == b""
    assert (tmp_path / "dest" / "socket").is_file()


def test_a_hard_link_whose_first_name_is_left_out_becomes_the_file(tmp_path: Path) -> None:
    """S32: links are found among what is sent."""
    source = tmp_path / "src"
    source.mkdir()
    links(source)
    transfer(Directory(source), tmp_path / "dest", excludes=["another", "file"])
    assert (tmp_path / "dest" / "z" / "third").read_text() == "linked"
    assert not (tmp_path / "dest" / "file").exists()


def test_a_sparse_file_arrives(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    with open(source / "sparse", "wb") as file:
        file.truncate(40 * MIB)
        file.seek(30 * MIB)
        file.write(b"0123456789")
    transfer(Directory(source), tmp_path / "dest")
    assert snapshot(tmp_path / "dest") == snapshot(source)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_50_000_files_arrive(tmp_path: Path) -> None:
    source = tmp_path / "src"
    for folder in range(100):
        (source / str(folder)).mkdir(parents=True)
        for name in range(500):
            (source / str(folder) / str(name)).write_bytes(b"%d" % name)
    sender = transfer(Directory(source), tmp_path / "dest")
    assert sender.progress.files == 50_000
    assert snapshot(tmp_path / "dest") == snapshot(source)


def test_a_tree_in_memory_arrives(tmp_path: Path) -> None:
    """X12."""
    tree = MemoryTree(
        {
            "a/b.txt": b"bytes",
            "a/c": MemoryFile("text: é", mode=0o4755, mtime=1_600_000_000, xattrs={"user.x": b"1"}),
            "a-b": bytearray(200_000),
            "link": MemorySymlink("a/b.txt"),
            "empty": MemoryDirectory(0o700),
        }
    )
    dest = tmp_path / "dest"
    transfer(tree, dest)
    assert (dest / "a/b.txt").read_bytes() == b"bytes"
    assert (dest / "a/c").read_text() == "text: é"
    assert (dest / "a/c").stat().st_mode == 0o104755
    assert (dest / "a/c").stat().st_mtime == 1_600_000_000
    assert os.getxattr(dest / "a/c", "user.x") == b"1"
    assert (dest / "a-b").read_bytes() == bytes(200_000)
    assert os.readlink(dest / "link") == "a/b.txt"
    assert (dest / "empty").stat().st_mode == 0o040700
    # Content of the same length is noticed, though no time was given.
    transfer(MemoryTree({"a/b.txt": b"BYTES"}), dest)
    assert (dest / "a/b.txt").read_bytes() == b"BYTES"
    assert not (dest / "link").exists()


def test_a_tar_arrives(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    make_tree(source, 9, entries=80)
    (source / "sub").mkdir()
    links(source / "sub")
    with tarfile.open(tmp_path / "it.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.add(source, arcname="./", filter=with_exact_time(source))
    transfer(TarTree(tmp_path / "it.tar.gz"), tmp_path / "dest")
    expected = {path: entry[:-1] for path, entry in snapshot(source).items()}  # tarfile writes no attributes
    assert {path: entry[:-1] for path, entry in snapshot(tmp_path / "dest").items()} == expected


def with_exact_time(source: Path) -> Callable[[tarfile.TarInfo], tarfile.TarInfo]:
    def change(member: tarfile.TarInfo) -> tarfile.TarInfo:
        ns = os.lstat(source / member.name).st_mtime_ns
        member.pax_headers = {"mtime": f"{ns // 10**9}.{ns % 10**9:09}"}
        return member

    return change
