"""The sender as a machine: order, requests, errors, memory, descriptors."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pybuildkit.errors import BuildKitError, ConfigError, ProtocolError, TransferError
from pybuildkit.fsutil import FS, Directory, MemoryFile, MemoryTree, Stat
from pybuildkit.fsutil import send as module
from pybuildkit.fsutil.filter import Filter
from pybuildkit.fsutil.send import Sender
from pybuildkit.fsutil.stat import FIN, PacketType, encode_data, encode_error, encode_request
from pybuildkit.fsutil.tree import Files
from pybuildkit.fsutil.walk import walk, walk_in_runs
from tests.support.sourcetrees import make_tree
from tests.support.treereceiver import TreeReceiver, packets


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def sender_of(fs: FS, **kwargs: Any) -> Sender:
    return Sender(fs.open(), Filter(**kwargs))


def drained(sender: Sender) -> list[Any]:
    found = []
    while sender.pending:
        found += packets(sender.pull())
    return found


TREE = MemoryTree({"a/b": "1", "a-": "22", "a.txt": "", "big": bytes(600_000)})


def test_entries_come_in_order_with_their_ids_implied() -> None:
    """S47, S48, T24: ``a``, ``a/b``, ``a-``, ``a.txt``; then an empty STAT."""
    sender = sender_of(TREE)
    found = drained(sender)
    assert [packet.stat.path for packet in found[:-1]] == ["a", "a/b", "a-", "a.txt", "big"]
    assert all(packet.type == PacketType.STAT and packet.id == 0 for packet in found)
    assert found[-1].stat is None
    assert sender.progress.listed
    sender.feed(FIN)
    assert [packet.type for packet in drained(sender)] == [PacketType.FIN]
    assert sender.done
    assert sender.pull() == []


def test_files_come_when_they_are_asked_for() -> None:
    """S49, S50: content, then an empty DATA; an empty file is that alone; id 0 too."""
    sender = sender_of(MemoryTree({"0": "zero", "big": bytes(600_000), "empty": ""}))
    drained(sender)
    for file_id in (2, 1, 0):
        sender.feed(encode_request(file_id))
    found = drained(sender)
    assert [(packet.id, len(packet.data)) for packet in found] == [
        (2, 0),
        (1, 262_144),
        (1, 262_144),
        (1, 75_712),
        (1, 0),
        (0, 4),
        (0, 0),
    ]
    assert (sender.progress.files, sender.progress.content) == (3, 600_004)
    sender.close()


@pytest.mark.parametrize(
    "filtered",
    [{}, {"excludes": ["**/*.txt"]}, {"excludes": ["*", "!dir*"]}, {"includes": ["**/a*", "d*/**/f*"]}],
    ids=["all", "without some", "but for some", "some"],
)
@pytest.mark.parametrize("keep_owner", [False, True])
def test_files_told_in_runs_are_told_as_one_by_one(
    tmp_path: Path, filtered: dict[str, Any], keep_owner: bool
) -> None:
    """S29, S32, S33, S45, S46: links, attributes, modes, times, long and odd names among many plain files."""
    make_tree(tmp_path, 7)
    for folder in (tmp_path, tmp_path / "dir with many", tmp_path / "dir with many" / ("long" * 50)):
        folder.mkdir(exist_ok=True)
        for number in range(150):
            file = folder / f"f{number:03}.{'txt' if number % 3 else 'py'}"
            file.write_bytes(bytes(number % 7))
            os.utime(file, ns=(0, number * 10**16 - 10**17))
            file.chmod(0o4755 if number % 10 == 0 else 0o640)
        os.link(folder / "f010.txt", folder / "f010a.txt")
        os.symlink("f000.py", folder / "f020a.txt")
        os.setxattr(folder / "f030.py", "user.mark", b"x")
        (folder / ("name" * 60)).write_text("more than 255 bytes in all")
    fs = Directory(tmp_path, keep_owner=keep_owner)
    tree = fs.open()
    expected = list(walk(tree, Filter(**filtered)))
    runs = [found for found in walk_in_runs(tree, Filter(**filtered)) if isinstance(found, Files)]
    tree.close()
    assert any(run.paths for run in runs) != keep_owner
    sender = sender_of(fs, **filtered)
    told = [packet.stat for packet in drained(sender) if packet.stat is not None]
    assert told == [stat for stat in expected if stat is not None]
    assert sender.progress.entries == len(told)
    asked = [number for number, stat in enumerate(told) if stat.is_regular and not stat.linkname]
    for number in asked:
        sender.feed(encode_request(number))
    sent: dict[int, bytes] = {}
    for packet in drained(sender):
        sent[packet.id] = sent.get(packet.id, b"") + bytes(packet.data)
    assert sent == {number: (tmp_path / told[number].path).read_bytes() for number in asked}
    sender.close()


def test_files_go_first_while_the_daemon_is_behind_with_the_entries() -> None:
    """What waits behind entries that the daemon can not take yet is not written meanwhile."""
    sender = sender_of(MemoryTree({f"{number:05}": bytes(1000) for number in range(3000)}))
    while sender.progress.entries <= 2 * module.AHEAD:
        sender.pull(1)
    told = sender.progress.entries
    for file_id in range(300):
        sender.feed(encode_request(file_id))
    found = []
    while sender.progress.entries == told:
        found += packets(sender.pull(1))
    size = sum(len(packet.data) for packet in found if packet.type == PacketType.DATA)
    assert size >= module.CATCH_UP - module.SMALL  # and then some of the list, so that it never stands still
    assert [packet.id for packet in found if packet.type == PacketType.DATA and not packet.data] == list(
        range(sender.progress.files)
    )
    few = module.STAT_SHARE // 10
    assert told < sender.progress.entries < told + few
    sender.close()


def test_entries_and_files_keep_step_while_the_daemon_is_not_behind() -> None:
    sender = sender_of(MemoryTree({f"{number:05}": bytes(1000) for number in range(5000)}))
    asked = 0
    while sender.pending:
        sender.pull()
        for file_id in range(asked, max(asked, sender.progress.entries - 100)):
            sender.feed(encode_request(file_id))
        asked = max(asked, sender.progress.entries - 100)
        if not sender.progress.listed:
            assert 2 * sender.progress.files > sender.progress.entries - 2 * module.AHEAD
    assert sender.progress.entries == 5000
    sender.close()


@pytest.mark.parametrize("limit", [1, 1000, 40_000])
def test_files_and_entries_take_turns(limit: int) -> None:
    """A file asked for does not wait for the list's end, nor the list for the files."""
    entries = {"!first": os.urandom(2_000_000)} | {f"~{number}": b"%d" % number for number in range(8000)}
    daemon = TreeReceiver(sender_of(MemoryTree(entries)))
    while len(daemon.open.get(0, b"")) < 300_000:
        daemon.step(limit)
    at_once = daemon.listed
    assert not at_once
    assert daemon.run(limit).files == entries
    assert daemon.most <= limit + module.STAT_BATCH + module.SMALL + module.CHUNK + 10_000


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (encode_request(99), "invalid file id 99"),
        (encode_request(0), "invalid file id 0"),  # a directory
        (b"\x08\x01", "invalid file id 0"),
        (b"\x08\x01\x18", "can not be read"),
        (b"\x08\x01\x18\xff", "can not be read"),
        (b"\x0a", "can not be read"),
        (encode_data(1, 0), "type 2, which only a sender may"),
        (b"", "type 0, which only a sender may"),
        (b"\x08\x09", "type 9"),
    ],
)
def test_a_wrong_packet_ends_the_transfer_with_its_name(message: bytes, text: str) -> None:
    """S49, S52."""
    sender = sender_of(TREE)
    drained(sender)
    sender.feed(message)
    assert isinstance(sender.error, ProtocolError)
    assert text in str(sender.error)
    (packet,) = drained(sender)
    assert packet.type == PacketType.ERR
    assert packet.text == str(sender.error)
    sender.feed(encode_request(2))  # whatever comes now is nothing
    assert drained(sender) == []


def test_a_file_is_sent_once() -> None:
    """S49."""
    sender = sender_of(TREE)
    drained(sender)
    sender.feed(encode_request(1))
    sender.feed(encode_request(1))
    assert str(sender.error) == "invalid file id 1"


def test_a_fin_before_the_end_is_refused() -> None:
    """S51: FIN comes when all that was asked for was sent."""
    early = sender_of(TREE)
    early.feed(FIN)
    owing = sender_of(TREE)
    drained(owing)
    owing.feed(encode_request(1))
    owing.feed(FIN)
    for sender in (early, owing):
        assert "before it had all" in str(sender.error)


def test_the_daemon_may_give_up() -> None:
    """S52: what it says is kept, and nothing more is sent."""
    sender = sender_of(TREE)
    sender.feed(encode_error("disk full"))
    assert (sender.done, sender.refusal, sender.error) == (True, "disk full", None)
    assert drained(sender) == []


# --- files that are not as they were ---


def test_a_file_that_grew_is_sent_as_it_was_told(tmp_path: Path) -> None:
    for name, size in (("small", 100), ("big", 300_000)):
        (tmp_path / name).write_bytes(b"x" * size)
    daemon = TreeReceiver(sender_of(Directory(tmp_path)), want=grow(tmp_path))
    daemon.run()
    assert {path: len(data) for path, data in daemon.files.items()} == {"small": 100, "big": 300_000}
    assert {data[-1:] for data in daemon.files.values()} == {b"x"}


def grow(root: Path) -> Any:
    def want(stat: Stat) -> bool:
        with open(root / stat.path, "ab") as file:
            file.write(b"more")
        return True

    return want


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_file_that_became_shorter_is_an_error(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(bytes(size))
    sender = sender_of(Directory(tmp_path))
    drained(sender)
    os.truncate(tmp_path / "file", 50)
    sender.feed(encode_request(0))
    found = drained(sender)
    assert found[-1].type == PacketType.ERR
    assert isinstance(sender.error, TransferError)
    assert sender.error.path == str(tmp_path / "file")
    assert f"it had {size} bytes, and then only 50" in str(sender.error)


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_file_that_vanished_is_an_error_and_not_an_empty_file(tmp_path: Path, size: int) -> None:
    """T22, X10."""
    (tmp_path / "file").write_bytes(bytes(size))
    sender = sender_of(Directory(tmp_path))
    drained(sender)
    (tmp_path / "file").unlink()
    sender.feed(encode_request(0))
    (packet,) = drained(sender)
    assert packet.type == PacketType.ERR
    assert packet.text == str(sender.error)
    assert f"can not open {tmp_path}/file: no such file or directory; it vanished" in packet.text


def test_a_file_that_can_not_be_opened_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T22; root can open all, so the refusal is put in."""
    (tmp_path / "secret").write_text("x")
    real = os.open

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path == "secret":
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *args, **kwargs)

    sender = sender_of(Directory(tmp_path))
    drained(sender)
    monkeypatch.setattr(os, "open", refuse)
    sender.feed(encode_request(0))
    (packet,) = drained(sender)
    assert (
        f"can not open {tmp_path}/secret: permission denied; make it readable, or leave it out" in packet.text
    )


def test_an_empty_file_need_not_be_there(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    sender = sender_of(Directory(tmp_path))
    drained(sender)
    (tmp_path / "empty").unlink()
    sender.feed(encode_request(0))
    assert [(packet.type, packet.data) for packet in drained(sender)] == [(PacketType.DATA, b"")]
    sender.close()


def test_a_read_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("small", 100), ("xbig", 300_000)):
        (tmp_path / name).write_bytes(bytes(size))
    for file_id in (0, 1):
        sender = sender_of(Directory(tmp_path))
        drained(sender)

        def broken(fd: int, size: int) -> bytes:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "read", broken)
            sender.feed(encode_request(file_id))
            assert "input/output error; see to the file system" in drained(sender)[-1].text


def test_a_swapped_directory_does_not_lead_outside(tmp_path: Path) -> None:
    """Whoever swaps a directory for a link between the list and the request gets an error, not our files."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    (tmp_path / "root" / "dir").mkdir(parents=True)
    (tmp_path / "root" / "dir" / "file").write_text("public")
    for swapped in ("dir", "dir/file"):
        sender = sender_of(Directory(tmp_path / "root"))
        drained(sender)
        original = tmp_path / "root" / swapped
        original.rename(tmp_path / "kept")
        original.symlink_to(tmp_path / "outside" if swapped == "dir" else tmp_path / "outside" / "file")
        sender.feed(encode_request(1))
        (packet,) = drained(sender)
        assert packet.type == PacketType.ERR
        assert b"secret" not in bytes(packet.data)
        original.unlink()
        (tmp_path / "kept").rename(original)


@pytest.mark.timeout(20)
def test_a_file_that_became_a_fifo_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    sender = sender_of(Directory(tmp_path))
    drained(sender)
    (tmp_path / "file").unlink()
    os.mkfifo(tmp_path / "file")
    sender.feed(encode_request(0))
    assert drained(sender)[-1].type == PacketType.ERR


# --- what the walk finds ---


def test_a_name_that_is_not_utf8_ends_the_transfer_by_name(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/dir")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/dir/\xff")).touch()
    sender = sender_of(Directory(tmp_path))
    daemon = TreeReceiver(sender).run()
    assert r"the name 'dir/\udcff' is not UTF-8" in daemon.error
    assert isinstance(sender.error, TransferError)
    left_out = TreeReceiver(sender_of(Directory(tmp_path), excludes=[os.fsdecode(b"**/\xff")])).run()
    assert left_out.paths == ["dir"]


def test_a_map_changes_and_leaves_out() -> None:
    """S26: custom owners and modes, and what Go's MapResultExclude does, for directories with all in them."""

    def change(stat: Stat) -> Stat | None:
        return None if stat.path == "a" else stat._replace(uid=1000, mode=stat.mode & ~0o777 | 0o700)

    daemon = TreeReceiver(sender_of(MemoryTree({"a/b": "1", "c": "2", "d/e": "3"}, map=change))).run()
    assert daemon.paths == ["c", "d", "d/e"]
    assert {(stat.uid, stat.mode & 0o777) for stat in daemon.stats} == {(1000, 0o700)}
    assert daemon.files == {"c": b"2", "d/e": b"3"}


@pytest.mark.parametrize("change", [{"path": "x"}, {"size": 7}, {"linkname": "x"}, {"mode": 1 << 31}])
def test_a_map_must_not_change_what_it_is(change: dict[str, Any]) -> None:
    sender = sender_of(MemoryTree({"a": "1"}, map=lambda stat: stat._replace(**change)))
    assert "may change" in TreeReceiver(sender).run().error
    assert isinstance(sender.error, ConfigError)


def test_a_map_that_fails_fails_the_call_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    def broken(stat: Stat) -> Stat:
        raise ZeroDivisionError

    sender = sender_of(Directory(tmp_path, map=broken))
    with pytest.raises(ZeroDivisionError):
        sender.pull()
    sender.close()


def test_a_wrong_pattern_found_late_ends_the_transfer() -> None:
    sender = sender_of(TREE, excludes=["[z-a]"])
    assert "syntax error in pattern '[z-a]'" in TreeReceiver(sender).run().error


# --- memory, time ---


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.truncate(1 << 30)
    sender = sender_of(Directory(tmp_path))
    drained(sender)
    sender.feed(encode_request(0))
    tracemalloc.start()
    total = 0
    while sender.pending:
        total += sum(map(len, sender.pull()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 1 << 30
    assert peak < 4 << 20
    sender.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_3_gib_are_sent_whole(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.truncate(3 << 30)
        file.seek((3 << 30) - 4)
        file.write(b"last")
    sender = sender_of(Directory(tmp_path))
    assert drained(sender)[0].stat.size == 3 << 30
    sender.feed(encode_request(0))
    total, tail = 0, b""
    while sender.pending:
        buffers = sender.pull()
        total += sum(map(len, buffers))
        tail = bytes(buffers[-2][-4:]) if len(buffers) > 1 else b""
    assert total > 3 << 30
    assert tail == b"last"
    assert sender.progress.content == 3 << 30
    sender.close()


def test_a_slow_disk_does_not_hold_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull comes back after a while, however little it has."""
    now = iter(range(1_000_000))
    monkeypatch.setattr(module, "monotonic", lambda: float(next(now)))
    sender = sender_of(MemoryTree({str(number): "x" for number in range(5000)}))
    buffers = sender.pull(1 << 20)
    assert module.STAT_BATCH <= sum(map(len, buffers)) < 2 * module.STAT_BATCH
    sender.close()


def test_a_tree_with_nothing_to_send_lets_others_run(tmp_path: Path) -> None:
    for number in range(2500):
        (tmp_path / str(number)).touch()
    sender = sender_of(Directory(tmp_path), includes=["*/x"])
    pulls = 0
    while sender.pending:
        sender.pull()
        pulls += 1
    assert pulls == 3
    sender.close()


@given(
    some.lists(
        some.sampled_from(
            [
                encode_request(1),
                encode_request(2),
                encode_request(4),
                FIN,
                encode_error("x"),
                b"\x08",
                encode_request(0),
            ]
        ),
        max_size=6,
    ),
    some.integers(1, 100_000),
)
def test_whatever_the_daemon_sends_all_ends_well(messages: list[bytes], limit: int) -> None:
    """Any packets in any order: an answer, or an error; never an exception, never without end."""
    sender = sender_of(TREE)
    found = []
    for message in messages:
        found += packets(sender.pull(limit))
        sender.feed(message)
    found += drained(sender)
    assert sender.done == (sender.error is not None or sender.refusal is not None or sender.progress.done)
    if sender.error is not None:
        assert isinstance(sender.error, BuildKitError)
        assert found[-1].type == PacketType.ERR
    sender.close()
    sender.close()


def test_a_transfer_can_be_dropped_at_any_point(tmp_path: Path) -> None:
    make_tree(tmp_path, 2, entries=100)
    (tmp_path / "!big").write_bytes(bytes(1 << 20))
    for steps in range(8):
        sender = sender_of(Directory(tmp_path))
        daemon = TreeReceiver(sender)
        for _ in range(steps):
            if sender.pending:
                daemon.step(1)
        sender.close()
        assert sender.pull() == [] or sender.pending is False


def test_data_in_memory_is_not_copied() -> None:
    content = os.urandom(300_000)
    sender = sender_of(MemoryTree({"big": MemoryFile(content)}))
    drained(sender)
    sender.feed(encode_request(0))
    views = [buffer for buffer in sender.pull() if isinstance(buffer, memoryview)]
    assert views
    assert all(view.obj is not None and len(view) > 100_000 for view in views[:1])
    sender.close()
