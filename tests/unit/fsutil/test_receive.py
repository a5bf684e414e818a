"""The receiver against a sender in memory: what it makes, what it answers, what it refuses."""

from __future__ import annotations

import os
import stat as st
from collections.abc import Callable
from pathlib import Path

import pytest

from pybuildkit.errors import ProtocolError, TransferError
from pybuildkit.fsutil import stat as wire
from pybuildkit.fsutil.receive import Devices, Limits, Receiver, open_destination
from tests.support.trees import (
    MTIME,
    Entry,
    device,
    directory,
    fifo,
    file,
    link,
    play,
    snapshot,
    symlink,
)

Received = Callable[..., Receiver]


def receive(
    path: Path,
    *entries: Entry,
    mirror: bool = False,
    devices: Devices = "refuse",
    limits: Limits = Limits(),  # noqa: B008
    chunk: int = 32 << 10,
) -> Receiver:
    receiver = Receiver(open_destination(path, mirror=mirror), devices=devices, limits=limits)
    play(receiver, entries, chunk=chunk)
    return receiver


def refused(path: Path, *entries: Entry, **options: object) -> str:
    """The text of the error that ends the transfer; nothing half-written may be left."""
    receiver = receive(path, *entries, **options)  # type: ignore[arg-type]
    assert receiver.error is not None
    assert not receiver.complete
    assert not [name for name in snapshot(path) if ".pybuildkit-" in name]
    return str(receiver.error)


# --- what arrives ---


def test_a_tree_arrives_as_it_was(tmp_path: Path) -> None:
    """S45 to S51, S57: contents, modes whatever the umask, link groups, times of files, links and directories."""
    big = os.urandom(300_000)
    mask = os.umask(0o077)
    try:
        receiver = receive(
            tmp_path / "out",
            directory("a", 0o777),
            file("a/b", b"inside", wire.MODE_SETUID | 0o755),
            directory("a/locked", 0o555),
            file("a/locked/x", b"x", 0o400),
            file("a-b", b"sorts after the directory's content (T24)"),
            file("big", big, 0o600),
            link("hard", "a/b"),
            fifo("pipe"),
            symlink("soft", "/etc/passwd"),
            file("zero", b""),
        )
    finally:
        os.umask(mask)
    assert receiver.error is None
    assert (receiver.complete, receiver.finished, receiver.entries) == (True, True, 10)
    assert receiver.received_bytes == 6 + 1 + 41 + len(big)
    assert snapshot(tmp_path / "out") == {
        "a": (st.S_IFDIR, 0o777, None, None, MTIME, None),
        "a/b": (st.S_IFREG, 0o4755, b"inside", "hard", MTIME, None),
        "a/locked": (st.S_IFDIR, 0o555, None, None, MTIME, None),
        "a/locked/x": (st.S_IFREG, 0o400, b"x", None, MTIME, None),
        "a-b": (st.S_IFREG, 0o644, b"sorts after the directory's content (T24)", None, MTIME, None),
        "big": (st.S_IFREG, 0o600, big, None, MTIME, None),
        "hard": (st.S_IFREG, 0o4755, b"inside", "hard", MTIME, None),
        "pipe": (st.S_IFIFO, 0o640, None, None, MTIME, None),
        "soft": (st.S_IFLNK, 0o777, b"/etc/passwd", None, MTIME, None),
        "zero": (st.S_IFREG, 0o644, b"", None, MTIME, None),
    }
    assert st.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700, "S62"


def test_every_special_bit_is_kept(tmp_path: Path) -> None:
    """S46: setuid, setgid and sticky, of files and directories."""
    bits = wire.MODE_SETUID | wire.MODE_SETGID | wire.MODE_STICKY
    receive(tmp_path, directory("d", bits | 0o751), file("f", b"x", bits | 0o711))
    assert st.S_IMODE((tmp_path / "d").stat().st_mode) == 0o7751
    assert st.S_IMODE((tmp_path / "f").stat().st_mode) == 0o7711


def test_extended_attributes_are_set(tmp_path: Path) -> None:
    """S57; what the file system does not take is left out, as Go does, and counted."""
    tree = open_destination(tmp_path)
    receiver = Receiver(tree)
    kept = {"user.one": b"1", "user.two": b"\0\xff"}
    play(
        receiver,
        [
            directory("d", xattrs=kept),
            file("f", b"content", xattrs={**kept, "nonsense.key": b"x"}),
            file("z", xattrs=kept),
        ],
    )
    assert receiver.error is None
    assert tree.dropped_xattrs == 1
    for name in ("d", "f", "z"):
        assert {key: os.getxattr(tmp_path / name, key) for key in os.listxattr(tmp_path / name)} == kept


def test_names_are_bytes(tmp_path: Path) -> None:
    """A name that is not UTF-8 arrives as it is; so do those of 255 bytes and those with odd characters."""
    odd = ["-rf", ".. ", "...", "a\nb", "a\\b", "é" * 127, "x" * 255, "\udcff\udcfe"]
    odd.sort(key=lambda name: name.encode("utf-8", "surrogateescape"))
    receiver = receive(tmp_path, *(file(name, name.encode("utf-8", "surrogateescape")) for name in odd))
    assert receiver.error is None
    found = {
        name: (Path(os.fsdecode(tmp_path)) / os.fsdecode(name)).read_bytes()
        for name in os.listdir(os.fsencode(tmp_path))
    }
    expected = {
        name.encode("utf-8", "surrogateescape"): name.encode("utf-8", "surrogateescape") for name in odd
    }
    assert found == expected


@pytest.mark.parametrize("size", [1, 4095, 4096, 131_072, 131_073, 1_000_000])
@pytest.mark.parametrize("chunk", [1000, 32 << 10])
def test_contents_of_any_size(tmp_path: Path, size: int, chunk: int) -> None:
    content = os.urandom(size)
    assert receive(tmp_path, file("f", content), chunk=chunk).error is None
    assert (tmp_path / "f").read_bytes() == content


def test_files_may_interleave(tmp_path: Path) -> None:
    """S50: pieces of several files come mixed; each file is there when its own end came."""
    receiver = Receiver(open_destination(tmp_path), limits=Limits(whole_file=10))
    contents = [b"aaaaaa", b"bbbbbbbbbbbbbbbb", b"cccc"]
    for name, content in zip("abc", contents, strict=True):
        receiver.feed(wire.encode_stat_packet(file(name, content)[0]))
    receiver.feed(wire.LIST_END)
    for start in range(0, 16, 2):
        for file_id, content in enumerate(contents):
            if piece := content[start : start + 2]:
                assert receiver.feed(wire.encode_data(file_id, len(piece)) + piece) == []
    assert receiver.feed(wire.encode_data(1, 0)) == []
    assert (tmp_path / "b").read_bytes() == contents[1]
    assert not (tmp_path / "a").exists()
    assert receiver.feed(wire.encode_data(2, 0)) == []
    assert receiver.feed(wire.encode_data(0, 0)) == [wire.FIN]
    assert [(tmp_path / name).read_bytes() for name in "abc"] == contents


def test_only_files_with_content_are_asked_for(tmp_path: Path) -> None:
    """S49: by the index of their STAT, all entries counted, and no hard link."""
    receiver = Receiver(open_destination(tmp_path))
    answers = [
        receiver.feed(wire.encode_stat_packet(stat))
        for stat, _ in (
            directory("d"),
            file("d/f", b"x"),
            symlink("e", "x"),
            file("f", b"y"),
            link("g", "f"),
            fifo("h"),
        )
    ]
    assert answers == [[], [wire.encode_request(1)], [], [wire.encode_request(3)], [], []]
    receiver.abort()


def test_asking_ahead_is_bounded(tmp_path: Path) -> None:
    receiver = Receiver(open_destination(tmp_path), limits=Limits(requests=2))
    for index in range(4):
        answers = receiver.feed(wire.encode_stat_packet(file(f"f{index}", b"x")[0]))
        assert answers == ([wire.encode_request(index)] if index < 2 else [])
    assert receiver.feed(wire.LIST_END) == []
    for index in range(4):
        assert receiver.feed(wire.encode_data(index, 1) + b"x") == []
        expected = [wire.encode_request(index + 2)] if index < 2 else [] if index < 3 else [wire.FIN]
        assert receiver.feed(wire.encode_data(index, 0)) == expected


def test_an_empty_tree(tmp_path: Path) -> None:
    receiver = receive(tmp_path / "deep" / "out")
    assert receiver.error is None
    assert receiver.finished
    assert snapshot(tmp_path / "deep" / "out") == {}


def test_depth_needs_no_descriptors(tmp_path: Path) -> None:
    """Far more levels than directories are held open, and links between the ends of it."""
    names = ["/".join(["d"] * depth) for depth in range(1, 400)]
    receiver = receive(
        tmp_path,
        *(directory(name, 0o750) for name in names),
        file(names[-1] + "/f", b"deep"),
        link("z", names[-1] + "/f"),
    )
    assert receiver.error is None
    assert (tmp_path / "z").read_bytes() == b"deep"
    assert st.S_IMODE((tmp_path / names[200]).stat().st_mode) == 0o750
    assert (tmp_path / names[200]).stat().st_mtime_ns == MTIME
    assert len(os.listdir("/proc/self/fd")) < 60


# --- what was there before ---


def test_merge_keeps_what_is_there(tmp_path: Path) -> None:
    """S62: files of other names stay; those of the same name are replaced, never written into."""
    (tmp_path / "d").mkdir(mode=0o700)
    (tmp_path / "d" / "old").write_bytes(b"old")
    (tmp_path / "d" / "same").write_bytes(b"before")
    (tmp_path / "kept").write_bytes(b"kept")
    twin = tmp_path / "d" / "twin"
    twin.hardlink_to(tmp_path / "d" / "same")
    receiver = receive(tmp_path, directory("d", 0o755), file("d/same", b"after"), file("new", b"new"))
    assert receiver.error is None
    assert (tmp_path / "d" / "old").read_bytes() == b"old"
    assert (tmp_path / "d" / "same").read_bytes() == b"after"
    assert twin.read_bytes() == b"before", "the old file itself was not touched"
    assert (tmp_path / "kept").read_bytes() == b"kept"
    assert st.S_IMODE((tmp_path / "d").stat().st_mode) == 0o755
    assert (tmp_path / "d").stat().st_mtime_ns == MTIME


def make_old(path: Path, kind: str) -> None:
    match kind:
        case "file":
            path.write_bytes(b"old")
        case "directory":
            (path / "deep").mkdir(parents=True)
            (path / "deep" / "file").write_bytes(b"old")
        case "symlink":
            path.symlink_to("/nonexistent")
        case "fifo":
            os.mkfifo(path)


@pytest.mark.parametrize("old", ["file", "directory", "symlink", "fifo"])
@pytest.mark.parametrize("new", ["file", "directory", "symlink", "fifo", "link", "large"])
def test_whatever_has_the_name_is_replaced(tmp_path: Path, old: str, new: str) -> None:
    """S57: also a directory by a file, and the other way round."""
    make_old(tmp_path / "n", old)
    entries = {
        "file": [file("n", b"new")],
        "directory": [directory("n"), file("n/inside", b"new")],
        "symlink": [symlink("n", "target")],
        "fifo": [fifo("n")],
        "link": [file("m", b"new"), link("n", "m")],
        "large": [file("n", b"new" * 100_000)],
    }[new]
    assert receive(tmp_path, *entries).error is None
    found = snapshot(tmp_path)
    kept = {"n/deep", "n/deep/file"} if (old, new) == ("directory", "directory") else set()
    assert set(found) == {entry.path for entry, _ in entries} | kept
    kinds = {"directory": st.S_IFDIR, "symlink": st.S_IFLNK, "fifo": st.S_IFIFO}
    assert found["n"][0] == kinds.get(new, st.S_IFREG)


def test_a_mirror_deletes_what_did_not_come(tmp_path: Path) -> None:
    """S63: at every level, and only in what was there before."""
    for name in ("a/keep", "a/gone", "a/sub/gone", "a/subgone/x", "gone", "b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path)
    receiver = receive(
        tmp_path,
        directory("a"),
        file("a/keep", b"new"),
        directory("a/new"),
        directory("a/sub"),
        file("b", b"new" * 100_000),
        directory("link"),
        mirror=True,
    )
    assert receiver.error is None
    assert set(snapshot(tmp_path)) == {"a", "a/keep", "a/new", "a/sub", "b", "link"}
    assert (tmp_path / "a").stat().st_mtime_ns == MTIME


def test_a_mirror_that_fails_deletes_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    receiver = Receiver(open_destination(tmp_path, mirror=True))
    receiver.feed(wire.encode_stat_packet(file("new", b"x")[0]))
    receiver.feed(wire.LIST_END)
    receiver.abort()
    assert (tmp_path / "old").read_bytes() == b"old"


def test_an_empty_tree_empties_a_mirror(tmp_path: Path) -> None:
    make_old(tmp_path / "d", "directory")
    (tmp_path / "d" / "link").symlink_to("/usr")
    assert receive(tmp_path, mirror=True).error is None
    assert snapshot(tmp_path) == {}
    assert Path("/usr").is_dir()


def test_a_mirror_removes_any_depth(tmp_path: Path) -> None:
    """Deeper than Python's own removal can go, and than descriptors would last."""
    out = tmp_path / "out"
    depth = 1500
    receive(
        out,
        *(directory("/".join("d" * n)) for n in range(1, depth)),
        file("/".join("d" * (depth - 1)) + "/f"),
    )
    assert os.listdir(out) == ["d"]
    assert receive(out, mirror=True).error is None
    assert os.listdir(out) == []


def test_several_streams_into_one_destination(tmp_path: Path) -> None:
    """S62: a multi-platform copy comes as one stream a platform, at the same time."""
    receivers = [Receiver(open_destination(tmp_path)) for _ in range(3)]
    for index, receiver in enumerate(receivers):
        receiver.feed(wire.encode_stat_packet(directory("shared")[0]))
        receiver.feed(wire.encode_stat_packet(file(f"shared/f{index}", b"%d" % index)[0]))
        receiver.feed(wire.encode_stat_packet(file("shared/same", b"s")[0]))
        receiver.feed(wire.LIST_END)
    for file_id in (1, 2):
        for index, receiver in enumerate(receivers):
            content = b"%d" % index if file_id == 1 else b"s"
            receiver.feed(wire.encode_data(file_id, 1) + content)
            receiver.feed(wire.encode_data(file_id, 0))
    assert [receiver.error for receiver in receivers] == [None] * 3
    assert {name: value[2] for name, value in snapshot(tmp_path, times=False).items()} == {
        "shared": None,
        "shared/f0": b"0",
        "shared/f1": b"1",
        "shared/f2": b"2",
        "shared/same": b"s",
    }


def test_a_destination_that_is_a_link_is_the_users_wish(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    assert receive(tmp_path / "out", file("f", b"x")).error is None
    assert (tmp_path / "real" / "f").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["file", "file/below", "dangling"])
def test_a_destination_that_is_no_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(TransferError, match="can not write into") as caught:
        open_destination(tmp_path / name)
    assert caught.value.path == str(tmp_path / name)


# --- the end ---


def test_files_are_complete_before_our_fin(tmp_path: Path) -> None:
    """T9: once it is sent, a cancel is no failure."""
    receiver = Receiver(open_destination(tmp_path))
    receiver.feed(wire.encode_stat_packet(file("f", b"x")[0]))
    receiver.feed(wire.LIST_END)
    receiver.feed(wire.encode_data(0, 1) + b"x")
    assert receiver.feed(wire.encode_data(0, 0)) == [wire.FIN]
    assert (tmp_path / "f").read_bytes() == b"x"
    receiver.abort()
    assert (receiver.error, receiver.complete, receiver.finished) == (None, True, False)
    assert receiver.feed(wire.FIN) == []
    assert receiver.finished


def test_abort_leaves_nothing_half_written(tmp_path: Path) -> None:
    """X17: complete files stay, begun ones are deleted, directories get their mode."""
    receiver = Receiver(open_destination(tmp_path), limits=Limits(whole_file=10))
    for stat, _ in (
        directory("d", 0o711),
        file("d/done", b"done"),
        file("d/large", b"x" * 100),
        file("e", b"yy"),
    ):
        receiver.feed(wire.encode_stat_packet(stat))
    receiver.feed(wire.encode_data(1, 4) + b"done")
    receiver.feed(wire.encode_data(1, 0))
    receiver.feed(wire.encode_data(2, 50) + b"x" * 50)
    receiver.feed(wire.encode_data(3, 1) + b"y")
    assert len(os.listdir(tmp_path / "d")) == 2
    receiver.abort()
    receiver.abort()
    assert set(snapshot(tmp_path)) == {"d", "d/done"}
    assert st.S_IMODE((tmp_path / "d").stat().st_mode) == 0o711
    assert "broke off" in str(receiver.error)
    assert receiver.feed(wire.encode_data(2, 0)) == []


def test_the_senders_error_is_told(tmp_path: Path) -> None:
    """S52."""
    receiver = Receiver(open_destination(tmp_path))
    receiver.feed(wire.encode_stat_packet(file("f", b"x")[0]))
    receiver.feed(wire.encode_error("open f: permission denied"))
    assert isinstance(receiver.error, TransferError)
    assert str(receiver.error) == "error from sender: open f: permission denied"


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text names the file, and goes to the daemon too (S52)."""
    receiver = Receiver(open_destination(tmp_path / "out"))
    receiver.feed(wire.encode_stat_packet(file("f", b"xy")[0]))
    receiver.feed(wire.encode_data(0, 2) + b"xy")

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    answers = receiver.feed(wire.encode_data(0, 0))
    assert isinstance(receiver.error, TransferError)
    assert receiver.error.path == f"{tmp_path}/out/f"
    assert "No space left on device" in str(receiver.error)
    assert answers == [wire.encode_error(str(receiver.error))]
    assert snapshot(tmp_path / "out") == {}


# --- what is refused ---


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../x",
        "/x",
        "/",
        "",
        ".",
        "./x",
        "x/",
        "x//y",
        "x/./y",
        "x/../y",
        "x/..",
        "a\0b",
        "x/" * 2100 + "y",
    ],
)
def test_paths_that_are_not_plain(tmp_path: Path, path: str) -> None:
    """S54."""
    out = tmp_path / "out"
    text = refused(out, directory("x" if path.startswith("x") else "w"), file(path, b"evil"))
    assert text.startswith("the daemon sent the path")
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "entries",
    [
        [file("b", b"x"), file("a", b"x")],
        [file("a", b"x"), file("a", b"x")],
        [directory("a"), directory("a")],
        [directory("d"), file("d/b", b""), file("d/a", b"")],
        [directory("d"), file("e", b""), file("d/a", b"")],
        [file("d/a", b"")],
        [file("d", b"x"), file("d/a", b"")],
        [symlink("d", "/"), file("d/a", b"")],
        [directory("d"), file("d-a", b""), file("d/a", b"")],
    ],
)
def test_order(tmp_path: Path, entries: list[Entry]) -> None:
    """S54: parents first, siblings in ascending byte order, a closed directory stays closed."""
    text = refused(tmp_path, *entries)
    assert "out of order" in text or "without its directory" in text


def test_a_link_only_to_what_came_before(tmp_path: Path) -> None:
    """S55: not to a file that was there, not to a directory, not to a link, not to itself."""
    (tmp_path / "old").write_bytes(b"old")
    for target in ("old", "d", "s", "z", "../../etc/passwd", "/etc/passwd", "later"):
        text = refused(tmp_path, directory("d"), symlink("s", "old"), link("z", target))
        assert "did not send before" in text, target
    text = refused(tmp_path, file("a", b"x"), link("b", "a"), link("c", "b"))
    assert "did not send before" in text


def test_symlinks_are_never_followed(tmp_path: Path) -> None:
    """S58: neither one of the stream nor one that was there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    for name in ("d", "f", "big"):
        (out / name).symlink_to(outside / name)
    (outside / "d").mkdir()
    receiver = receive(
        out, file("big", b"x" * 300_000), directory("d", 0o777), file("d/in", b"x"), file("f", b"x")
    )
    assert receiver.error is None
    assert snapshot(outside, times=False) == {
        "d": (st.S_IFDIR, st.S_IMODE((outside / "d").stat().st_mode), None, None, None, None)
    }
    assert not (out / "d").is_symlink()


@pytest.mark.parametrize(
    "mode", [wire.MODE_SOCKET, wire.MODE_IRREGULAR, wire.MODE_CHAR_DEVICE, wire.MODE_DIR | wire.MODE_SYMLINK]
)
def test_modes_of_no_file(tmp_path: Path, mode: int) -> None:
    text = refused(tmp_path, (wire.Stat("x", mode | 0o644, size=1), b"x"))
    assert "which is no file's" in text


def test_devices_are_refused_unless_asked_for(tmp_path: Path) -> None:
    assert "device node" in refused(tmp_path, device("null"))
    receiver = receive(tmp_path, device("null"), file("other", b"x"), link("twin", "null"), devices="skip")
    assert receiver.error is None
    assert receiver.skipped == ["null", "twin"]
    assert set(snapshot(tmp_path)) == {"other"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_devices_are_created_when_asked_for(tmp_path: Path) -> None:
    receiver = receive(
        tmp_path,
        device("null", 1, 3),
        link("twin", "null"),
        device("zero", 7, 5, block=True),
        devices="create",
    )
    assert receiver.error is None
    assert (tmp_path / "null").stat().st_rdev == os.makedev(1, 3)
    assert (tmp_path / "twin").stat().st_rdev == os.makedev(1, 3)
    assert st.S_ISBLK((tmp_path / "zero").stat().st_mode)
    assert st.S_IMODE((tmp_path / "null").stat().st_mode) == 0o666
    for name in ("null", "twin", "zero"):
        (tmp_path / name).unlink()


def test_more_data_than_promised(tmp_path: Path) -> None:
    for size in (3, 300_000):
        receiver = Receiver(open_destination(tmp_path))
        receiver.feed(wire.encode_stat_packet(file("f", b"x" * size)[0]))
        receiver.feed(wire.encode_data(0, size) + b"x" * size)
        answers = receiver.feed(wire.encode_data(0, 1) + b"x")
        assert isinstance(receiver.error, ProtocolError)
        assert wire.decode_packet(answers[0]).text == str(receiver.error)
        assert snapshot(tmp_path) == {}


def test_less_data_than_promised(tmp_path: Path) -> None:
    """T22: Go's sender sends a file that it can not open as an empty one; that is no success."""
    for size in (3, 300_000):
        receiver = Receiver(open_destination(tmp_path))
        receiver.feed(wire.encode_stat_packet(file("f", b"x" * size)[0]))
        receiver.feed(wire.encode_data(0, 2) + b"xx")
        receiver.feed(wire.encode_data(0, 0))
        assert f"sent 2 of the {size} bytes" in str(receiver.error)
        assert snapshot(tmp_path) == {}


def test_data_nobody_asked_for(tmp_path: Path) -> None:
    for file_id in (0, 1, 2, 3, 77, 0xFFFFFFFF):
        receiver = Receiver(open_destination(tmp_path))
        for stat, _ in (directory("d"), file("e", b""), symlink("l", "x")):
            receiver.feed(wire.encode_stat_packet(stat))
        receiver.feed(wire.encode_data(file_id, 1) + b"x")
        assert "not asked for" in str(receiver.error)
    receiver = Receiver(open_destination(tmp_path))
    receiver.feed(wire.encode_stat_packet(file("f", b"x")[0]))
    receiver.feed(wire.encode_data(0, 1) + b"x")
    receiver.feed(wire.encode_data(0, 0))
    receiver.feed(wire.encode_data(0, 0))
    assert "not asked for" in str(receiver.error), "it has ended already"


@pytest.mark.parametrize(
    "messages",
    [
        [wire.FIN],
        [wire.encode_request(0)],
        [b"\x08\x09"],
        [wire.LIST_END, wire.LIST_END],
        [b"\xff"],
        [b"\x08\x02\x18"],
        [b"\x08\x02\x22\x05x"],
        [b"\x12\x03\x0a\x05x"],
    ],
)
def test_packets_out_of_place(tmp_path: Path, messages: list[bytes]) -> None:
    receiver = Receiver(open_destination(tmp_path))
    receiver.feed(wire.encode_stat_packet(file("f", b"x")[0]))
    for message in messages:
        receiver.feed(message)
    assert isinstance(receiver.error, ProtocolError)


def test_an_entry_after_the_end(tmp_path: Path) -> None:
    receiver = Receiver(open_destination(tmp_path))
    receiver.feed(wire.encode_stat_packet(file("a", b"x")[0]))
    receiver.feed(wire.LIST_END)
    receiver.feed(wire.encode_stat_packet(file("b", b"x")[0]))
    assert "after the end" in str(receiver.error)


def test_a_negative_size(tmp_path: Path) -> None:
    assert "size of -1" in refused(tmp_path, file("f", size=-1))


@pytest.mark.parametrize("target", ["", "a\0b"])
def test_symlinks_that_can_not_be(tmp_path: Path, target: str) -> None:
    assert "as a link to" in refused(tmp_path, symlink("s", target))


def test_a_name_too_long(tmp_path: Path) -> None:
    assert "File name too long" in refused(tmp_path, file("x" * 256, b""))


def test_limits(tmp_path: Path) -> None:
    many = [file(f"f{index:02}", b"") for index in range(11)]
    assert "more than 10 entries" in refused(tmp_path / "1", *many, limits=Limits(entries=10))
    fat = file("f", b"x", xattrs={"user.a": b"x" * 100})
    assert "106 bytes of extended attributes" in refused(tmp_path / "2", fat, limits=Limits(xattr_bytes=100))
    fats = [file(f"f{index:02}", b"x", xattrs={"user.a": b"x" * 100}) for index in range(50)]
    assert "too much memory" in refused(tmp_path / "3", *fats, limits=Limits(held_bytes=1000))


def test_small_files_go_to_disk_when_too_much_is_held(tmp_path: Path) -> None:
    """Memory stays flat, and so do descriptors: a sender that begins everything and ends nothing is stopped."""
    limits = Limits(held_bytes=2000, partial_files=5)
    receiver = Receiver(open_destination(tmp_path), limits=limits)
    for index in range(50):
        receiver.feed(wire.encode_stat_packet(file(f"f{index:02}", b"x" * 100)[0]))
    begun = 0
    for index in range(50):
        receiver.feed(wire.encode_data(index, 50) + b"x" * 50)
        if receiver.error is not None:
            break
        begun += 1
        assert len(os.listdir(tmp_path)) <= 5
    assert "more than 5 files at once" in str(receiver.error)
    assert begun == 6 + 5
    assert snapshot(tmp_path) == {}


def test_files_in_crumbs(tmp_path: Path) -> None:
    """A sender of single bytes costs no more memory than the limits say."""
    receiver = Receiver(open_destination(tmp_path), limits=Limits(held_bytes=4000))
    content = bytes(range(256)) * 2
    receiver.feed(wire.encode_stat_packet(file("f", content)[0]))
    receiver.feed(wire.LIST_END)
    for index in range(len(content)):
        receiver.feed(wire.encode_data(0, 1) + content[index : index + 1])
    assert receiver.feed(wire.encode_data(0, 0)) == [wire.FIN]
    assert (tmp_path / "f").read_bytes() == content


def test_a_view_does_not_keep_a_large_message(tmp_path: Path) -> None:
    """Unknown fields around the data are dropped with the message."""
    receiver = Receiver(open_destination(tmp_path))
    receiver.feed(wire.encode_stat_packet(file("f", b"ab")[0]))
    padding = b"\x7a\x90\x4e" + b"p" * 10_000
    receiver.feed(b"\x08\x02" + padding + b"\x22\x02ab")
    receiver.feed(wire.LIST_END)
    assert receiver.feed(wire.encode_data(0, 0)) == [wire.FIN]
    assert (tmp_path / "f").read_bytes() == b"ab"


# --- others at work in the destination ---


def test_a_directory_swapped_for_a_link(tmp_path: Path) -> None:
    """The directory that was made is written into, wherever it is now; the link is not followed."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    receiver = Receiver(open_destination(out))
    receiver.feed(wire.encode_stat_packet(directory("d")[0]))
    receiver.feed(wire.encode_stat_packet(file("d/a", b"")[0]))
    receiver.feed(wire.encode_stat_packet(file("d/f", b"x")[0]))
    (out / "d").rename(out / "moved")
    (out / "d").symlink_to(outside)
    receiver.feed(wire.LIST_END)
    receiver.feed(wire.encode_data(2, 1) + b"x")
    receiver.feed(wire.encode_data(2, 0))
    assert os.listdir(outside) == []
    assert sorted(os.listdir(out / "moved")) == ["a", "f"]


def test_a_directory_swapped_before_it_was_opened(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    receiver = Receiver(open_destination(out))
    receiver.feed(wire.encode_stat_packet(directory("d")[0]))
    (out / "d").rmdir()
    (out / "d").symlink_to(outside)
    receiver.feed(wire.encode_stat_packet(file("d/f", b"")[0]))
    assert isinstance(receiver.error, TransferError)
    assert os.listdir(outside) == []


def test_a_directory_swapped_while_it_was_not_open(tmp_path: Path) -> None:
    """More directories than are held open: one that is opened again must be the same."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    receiver = Receiver(open_destination(out))
    for index in range(100):
        receiver.feed(wire.encode_stat_packet(directory(f"d{index:02}")[0]))
        receiver.feed(wire.encode_stat_packet(file(f"d{index:02}/a", b"")[0]))
        receiver.feed(wire.encode_stat_packet(file(f"d{index:02}/f", b"x")[0]))
    (out / "d00").rename(out / "moved")
    (out / "d00").mkdir()
    receiver.feed(wire.encode_data(2, 1) + b"x")
    receiver.feed(wire.encode_data(2, 0))
    assert "was replaced" in str(receiver.error)
    assert os.listdir(out / "d00") == []


def test_a_link_target_swapped_for_a_symlink(tmp_path: Path) -> None:
    receiver = Receiver(open_destination(tmp_path / "out"))
    receiver.feed(wire.encode_stat_packet(file("a", b"")[0]))
    (tmp_path / "out" / "a").unlink()
    (tmp_path / "out" / "a").symlink_to("/etc/passwd")
    receiver.feed(wire.encode_stat_packet(link("b", "a")[0]))
    assert "was replaced" in str(receiver.error)
    assert not (tmp_path / "out" / "b").exists()


def test_a_group_directory_does_not_pass_its_group_on(tmp_path: Path) -> None:
    """S62: owner and group are the process' own, also below a setgid directory."""
    if os.geteuid() != 0:
        pytest.skip("needs another group")
    os.chown(tmp_path, -1, 4242)
    tmp_path.chmod(0o2775)
    receiver = receive(
        tmp_path,
        directory("d"),
        file("d/f", b"x"),
        file("f", b"x"),
        fifo("p"),
        symlink("s", "x"),
        file("t", b"x" * 200_000),
    )
    assert receiver.error is None
    for name in ("d", "d/f", "f", "p", "s", "t"):
        assert (tmp_path / name).lstat().st_gid == os.getgid(), name
    assert not (tmp_path / "d").stat().st_mode & st.S_ISGID
