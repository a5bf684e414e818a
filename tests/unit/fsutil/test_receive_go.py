"""The receiver with Go's own sender at the other end: trees come out as they went in."""

from __future__ import annotations

import os
import random
import socket
import stat as st
import subprocess
import threading
from functools import cache
from pathlib import Path

import pytest

from pybuildkit.fsutil.receive import Receiver, open_destination
from tests.support.goprograms import program
from tests.support.trees import snapshot

MAX_MESSAGE = 16 << 20

go_tool = cache(program)


def transfer(source: Path, destination: Path, *, mirror: bool = False) -> Receiver:
    """Run Go's sender and feed the receiver, until the sender is content."""
    receiver = Receiver(open_destination(destination, mirror=mirror))
    sender = subprocess.Popen(
        [go_tool("fsutilsender"), source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    timer = threading.Timer(60, sender.kill)
    timer.start()
    try:
        assert sender.stdin is not None
        assert sender.stdout is not None
        while head := sender.stdout.read(4):
            size = int.from_bytes(head, "big")
            assert size < MAX_MESSAGE
            for answer in receiver.feed(sender.stdout.read(size)):
                sender.stdin.write(len(answer).to_bytes(4, "big") + answer)
            sender.stdin.flush()
        _, errors = sender.communicate(timeout=30)
    finally:
        timer.cancel()
        sender.kill()
    assert sender.returncode == 0, errors.decode()
    assert receiver.error is None
    assert receiver.finished, "FIN was answered (S51)"
    return receiver


def make_tree(root: Path, seed: int, entries: int) -> None:
    """A tree with all that a file system has: what its walk must get right as well."""
    rng = random.Random(seed)
    root.mkdir()
    directories, files = [root], list[Path]()
    alphabet = ["a", "b", "-", ".", " ", "é", "Z", "0", "~", "\n", "日"]
    for _ in range(entries):
        parent = rng.choice(directories)
        path = parent / (
            "".join(rng.choices(alphabet, k=rng.randint(1, 12))).replace("/", "") + rng.choice("xyz")
        )
        if os.path.lexists(path):
            continue
        kind = rng.random()
        if kind < 0.2:
            path.mkdir()
            directories.append(path)
        elif kind < 0.3:
            path.symlink_to(rng.choice(["../x", "/etc/passwd", "nowhere", "a" * 200, "."]))
        elif kind < 0.35:
            os.mkfifo(path)
        elif kind < 0.45 and files:
            os.link(rng.choice(files), path)
        else:
            path.write_bytes(rng.randbytes(rng.choice([0, 1, 100, 5000, 32768, 32769, 200_000])))
            files.append(path)
            if rng.random() < 0.2:
                os.setxattr(path, f"user.{rng.choice('abc')}", rng.randbytes(rng.randint(0, 50)))
    for path in files:
        path.chmod(rng.choice([0o644, 0o755, 0o600, 0o444, 0o4755, 0o2711, 0o1666, 0o400]))
    for path in [*files, *directories[:0:-1]]:
        os.utime(path, ns=(0, rng.randint(0, 2 * 10**18)))
    for path in directories[1:]:
        mtime = path.stat().st_mtime_ns
        path.chmod(rng.choice([0o755, 0o700, 0o1777, 0o2755, 0o555]))
        os.utime(path, ns=(0, mtime))


@pytest.mark.parametrize("seed", range(6))
def test_trees_are_identical(tmp_path: Path, seed: int) -> None:
    """Content, mode, link groups, targets, times to the nanosecond, extended attributes."""
    make_tree(tmp_path / "source", seed, 300)
    transfer(tmp_path / "source", tmp_path / "out")
    assert snapshot(tmp_path / "out", xattrs=True) == snapshot(tmp_path / "source", xattrs=True)


def test_again_over_itself_and_over_another(tmp_path: Path) -> None:
    """A mirror becomes equal whatever was there; a merge twice is the same as once."""
    make_tree(tmp_path / "one", 100, 300)
    make_tree(tmp_path / "two", 101, 300)
    transfer(tmp_path / "one", tmp_path / "out")
    transfer(tmp_path / "one", tmp_path / "out")
    assert snapshot(tmp_path / "out", xattrs=True) == snapshot(tmp_path / "one", xattrs=True)
    transfer(tmp_path / "two", tmp_path / "out", mirror=True)
    assert snapshot(tmp_path / "out", xattrs=True) == snapshot(tmp_path / "two", xattrs=True)


def test_large_and_many(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for index in range(40):
        (source / f"d{index:02}").mkdir(parents=True)
        for number in range(50):
            (source / f"d{index:02}" / f"f{number}").write_bytes(b"%d" % number * 300)
    with (source / "sparse").open("wb") as sparse:
        sparse.seek(20_000_000)
        sparse.write(b"end")
    (source / ("n" * 255)).write_bytes(b"")
    receiver = transfer(source, tmp_path / "out")
    assert receiver.entries == 40 * 51 + 2
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_sockets_come_as_empty_files(tmp_path: Path) -> None:
    """S34: Go's sender drops the socket bit."""
    (tmp_path / "source").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "source" / "s"))
        transfer(tmp_path / "source", tmp_path / "out")
    assert st.S_ISREG((tmp_path / "out" / "s").stat().st_mode)
