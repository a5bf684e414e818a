"""FileSync over a whole session: the daemon's side is played by the test."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pybuildkit.errors import ConfigError, TransferError
from pybuildkit.fsutil import FS, Directory, MemorySymlink, MemoryTree
from pybuildkit.fsutil.send import SendProgress
from pybuildkit.fsutil.stat import (
    FIN,
    PacketType,
    Stat,
    decode_packet,
    encode_error,
    encode_request,
    requestable,
)
from pybuildkit.session.calls import Code, Status
from pybuildkit.session.filesync import DIFF_COPY, TAR_STREAM, DirRequest, FileSync
from tests.support import fakedaemon
from tests.support.fakedaemon import DaemonCall, fake_daemon


@pytest.fixture(autouse=True, params=["memory", "socket"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to carry a session."""
    monkeypatch.setattr(fakedaemon, "CARRIER", request.param)


async def copy(call: DaemonCall) -> tuple[list[Stat], dict[str, bytes], str]:
    """As the daemon does (S47 to S53): ask for all, FIN, half-close; the entries, the files, an ERR's text."""
    stats: list[Stat] = []
    files: dict[str, bytes] = {}
    waiting = 0
    listed = False
    async for message in call:
        packet = decode_packet(message)
        if packet.type == PacketType.ERR:
            return stats, files, packet.text
        if packet.type == PacketType.FIN:
            await call.done_sending()
            continue
        if packet.type == PacketType.DATA:
            path = stats[packet.id].path
            files[path] = files.get(path, b"") + bytes(packet.data)
            waiting -= not packet.data
        elif packet.stat is None:
            listed = True
        else:
            if requestable(packet.stat.mode):
                waiting += 1
                await call.send(encode_request(len(stats)))
            stats.append(packet.stat)
        if listed and not waiting:
            await call.send(FIN)
    return stats, files, ""


async def sync(
    service: FileSync, metadata: Mapping[str, list[str]]
) -> tuple[list[str], dict[str, bytes], str, Status]:
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, metadata) as call:
        stats, files, error = await copy(call)
        return [stat.path for stat in stats], files, error, await call.status()


TREE = MemoryTree(
    {
        "Dockerfile": "FROM scratch",
        "src/a.go": "1",
        "src/b.py": "2",
        "ü": "3",
        "link": MemorySymlink("src/a.go"),
    }
)


async def test_a_directory_is_sent() -> None:
    """S21, S51, S53."""
    paths, files, error, status = await sync(FileSync({"context": TREE}), {"dir-name": ["context"]})
    assert paths == ["Dockerfile", "link", "src", "src/a.go", "src/b.py", "ü"]
    assert files == {"Dockerfile": b"FROM scratch", "src/a.go": b"1", "src/b.py": b"2", "ü": b"3"}
    assert (error, status) == ("", Status())


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"include-patterns": ["src/*.go"]}, ["src", "src/a.go"]),
        ({"include-patterns": ["src"], "exclude-patterns": ["**/*.py"]}, ["src", "src/a.go"]),
        ({"exclude-patterns": ["*", "!Dockerfile"]}, ["Dockerfile"]),
        ({"followpaths": ["link"]}, ["link", "src", "src/a.go"]),
        (
            {"followpaths": ["link"], "include-patterns": ["Dockerfile"]},
            ["Dockerfile", "link", "src", "src/a.go"],
        ),
        ({"followpaths": ["."]}, ["Dockerfile", "link", "src", "src/a.go", "src/b.py", "ü"]),
        ({"include-patterns": ["%C3%BC"], "include-patterns-encoded": ["1"]}, ["ü"]),
        (
            {"followpaths": ["%C3%BC", "src%2Fa.go"], "followpaths-encoded": ["true"]},
            ["src", "src/a.go", "ü"],
        ),
    ],
)
async def test_only_what_was_asked_for_is_sent(metadata: dict[str, list[str]], expected: list[str]) -> None:
    """S23, S24, S36, S38."""
    paths, files, _, status = await sync(FileSync({"context": TREE}), {"dir-name": ["context"], **metadata})
    assert paths == expected
    assert set(files) <= set(expected)
    assert status == Status()


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, DirRequest()),
        ({"dir-name": ["a", "b"], "followpaths": []}, DirRequest("a")),
        ({"dir-name": ["a+b%20"]}, DirRequest("a+b%20")),
        ({"dir-name": ["a+b%20%C3%A9"], "dir-name-encoded": ["1"]}, DirRequest("a b é")),
        (
            {"exclude-patterns": ["%zz", "ok", "%", "%4"], "exclude-patterns-encoded": ["T"]},
            DirRequest(excludes=("", "ok", "", "")),
        ),
        ({"exclude-patterns": ["%20"], "exclude-patterns-encoded": ["0"]}, DirRequest(excludes=("%20",))),
        ({"exclude-patterns": ["%20"], "exclude-patterns-encoded": ["yes"]}, DirRequest(excludes=("%20",))),
        ({"exclude-patterns": ["%20"], "exclude-patterns-encoded": []}, DirRequest(excludes=("%20",))),
        ({"include-patterns": ["%FF"], "include-patterns-encoded": ["1"]}, DirRequest(includes=("\udcff",))),
    ],
)
def test_headers_are_read_as_go_writes_them(metadata: dict[str, list[str]], expected: DirRequest) -> None:
    """S23, S24."""
    assert DirRequest.read(metadata) == expected


async def test_an_unknown_directory_is_refused_and_remembered() -> None:
    """S25: the daemon goes on to other sessions; the build can say which one was missing."""
    service = FileSync({"context": TREE})
    for name in ("other", "third", "other"):
        *_, status = await sync(service, {"dir-name": [name]})
        assert status == Status(Code.NOT_FOUND, f'no access allowed to dir "{name}"')
    assert service.missing == ("other", "third")
    assert service.failed == {}
    assert service.transfers == []


async def test_directories_can_be_looked_up() -> None:
    """S43."""
    asked = []

    def find(name: str) -> FS | None:
        asked.append(name)
        return TREE if name == "context" else None

    service = FileSync(find)
    assert (await sync(service, {"dir-name": ["context"]}))[3] == Status()
    assert (await sync(service, {}))[3].code == Code.NOT_FOUND
    assert asked == ["context", ""]


async def test_tar_stream_is_refused_as_go_refuses_it() -> None:
    """S22."""
    async with fake_daemon(FileSync({"context": TREE})) as daemon, daemon.call(TAR_STREAM, {}) as call:
        assert await call.receive() is None
        assert await call.status() == Status(Code.UNKNOWN, "failed to negotiate protocol")


async def test_an_error_of_ours_is_told_and_kept(tmp_path: Path) -> None:
    """S30, S52, T22: the packet, the call's status, and what the build will raise."""
    (tmp_path / "file").write_text("x")
    service = FileSync({"context": Directory(tmp_path)})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, {"dir-name": ["context"]}) as call:
        while (message := await call.receive()) and decode_packet(message).stat:
            pass
        (tmp_path / "file").unlink()
        await call.send(encode_request(0))
        *_, error = await copy(call)
        status = await call.status()
    assert f"can not open {tmp_path}/file: no such file or directory" in error
    assert status == Status(Code.UNKNOWN, error)
    failure = service.failed["context"]
    assert isinstance(failure, TransferError)
    assert str(failure) == error
    assert failure.path == str(tmp_path / "file")


@pytest.mark.parametrize(
    ("fs", "metadata", "kind", "text"),
    [
        (Directory("/nowhere/at/all"), {}, TransferError, "can not open /nowhere/at/all: no such file"),
        (
            TREE,
            {"exclude-patterns": ["[a"]},
            ConfigError,
            "invalid exclude patterns: syntax error in pattern '[a'",
        ),
        (
            TREE,
            {"include-patterns": ["!"]},
            ConfigError,
            'invalid include patterns: illegal exclusion pattern: "!"',
        ),
    ],
)
async def test_what_can_not_begin_is_told_and_kept(
    fs: FS, metadata: dict[str, list[str]], kind: type[Exception], text: str
) -> None:
    service = FileSync({"context": fs})
    *_, status = await sync(service, {"dir-name": ["context"], **metadata})
    assert status.code == Code.UNKNOWN
    assert text in status.message
    assert isinstance(service.failed["context"], kind)


async def test_the_daemon_can_give_up() -> None:
    """S52: its reason is the build's error; ours is none."""
    service = FileSync({"context": TREE})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, {"dir-name": ["context"]}) as call:
        await call.send(encode_error("no space left"))
        while await call.receive() is not None:
            pass
        assert await call.status() == Status(Code.UNKNOWN, "error from receiver: no space left")
    assert service.failed == {}


async def test_an_early_end_ends_the_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = os.listdir("/proc/self/fd")
    service = FileSync({"context": Directory(tmp_path)})
    async with fake_daemon(service) as daemon:
        async with daemon.call(DIFF_COPY, {"dir-name": ["context"]}) as call:
            await call.done_sending()
            while await call.receive() is not None:
                pass
            assert (await call.status()).message == "the daemon ended the transfer before its FIN"
        async with daemon.call(DIFF_COPY, {"dir-name": ["context"]}) as call:
            await call.receive()  # and then it is cancelled
        assert (await sync_on(daemon, "context"))[0] == ["file"]
    assert sorted(os.listdir("/proc/self/fd")) == sorted(before)


async def sync_on(daemon: fakedaemon.FakeDaemon, name: str) -> tuple[list[str], dict[str, bytes]]:
    async with daemon.call(DIFF_COPY, {"dir-name": [name]}) as call:
        stats, files, error = await copy(call)
        assert not error
        assert await call.status() == Status()
        return [stat.path for stat in stats], files


async def test_progress_is_told_and_kept() -> None:
    """S42."""
    told: list[tuple[str, int, bool]] = []

    def progress(name: str, so_far: SendProgress) -> None:
        told.append((name, so_far.bytes, so_far.done))

    service = FileSync({"context": MemoryTree({"big": bytes(3 << 20)})}, progress=progress)
    await sync(service, {"dir-name": ["context"]})
    assert len(told) >= 2
    assert told[-1][0] == "context"
    assert told[-1][2]
    assert [each[1] for each in told] == sorted(each[1] for each in told)
    ((name, final),) = service.transfers
    assert name == "context"
    assert (final.entries, final.files, final.content, final.listed, final.done) == (
        1,
        1,
        3 << 20,
        True,
        True,
    )
    assert final.bytes > 3 << 20


async def test_several_directories_at_once(tmp_path: Path) -> None:
    trees = {
        str(number): MemoryTree({f"f{number}-{index}": bytes(100_000) for index in range(20)})
        for number in range(8)
    }
    import anyio

    found: dict[str, tuple[list[str], dict[str, bytes]]] = {}

    async def one(daemon: fakedaemon.FakeDaemon, name: str) -> None:
        found[name] = await sync_on(daemon, name)

    async with fake_daemon(FileSync(trees)) as daemon, anyio.create_task_group() as group:
        for name in trees:
            group.start_soon(one, daemon, name)
    assert {name: len(files) for name, (_, files) in found.items()} == dict.fromkeys(trees, 20)
    assert {len(data) for _, files in found.values() for data in files.values()} == {100_000}
