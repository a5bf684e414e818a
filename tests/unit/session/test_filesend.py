"""FileSend over a whole session in memory: the daemon's side is played by the test."""

from __future__ import annotations

import io
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import anyio
import anyio.lowlevel
import pytest
from anyio.to_thread import run_sync

from pybuildkit._wire import field_bytes
from pybuildkit.errors import ConfigError, TransferError
from pybuildkit.fsutil import stat as wire
from pybuildkit.session.calls import Code, Status
from pybuildkit.session.filesend import DIFF_COPY, FileSend
from pybuildkit.targets import STDOUT, DirectoryTarget, FileDestination, FileTarget
from tests.support.fakedaemon import DaemonCall, FakeDaemon, fake_daemon
from tests.support.trees import Entry, device, directory, encode, file, snapshot, symlink

MULTI = {"buildkit-exporter-multi-platform": ["1"]}


def exporter(index: int | str = 0, **more: list[str]) -> dict[str, list[str]]:
    return {"buildkit-attachable-exporter-id": [str(index)], **more}


async def send_tree(call: DaemonCall, entries: Iterable[Entry]) -> None:
    """As Go's sender does (S47 to S51); at the end the daemon's call is cancelled (T9)."""
    contents = []
    for stat_, content in entries:
        contents.append(content)
        await call.send(encode(stat_))
    await call.send(wire.LIST_END)
    async for message in call:
        packet = wire.decode_packet(message)
        if packet.type == wire.PacketType.REQ:
            content = contents[packet.id]
            for start in range(0, len(content), 32 << 10):
                piece = content[start : start + (32 << 10)]
                await call.send(wire.encode_data(packet.id, len(piece)) + piece)
            await call.send(wire.encode_data(packet.id, 0))
        elif packet.type == wire.PacketType.FIN:
            await call.send(wire.FIN)
            return
        else:
            raise AssertionError(packet.text)


async def send_file(
    daemon: FakeDaemon, pieces: Iterable[bytes], metadata: Mapping[str, list[str]] | None = None
) -> Status:
    """As the daemon sends an archive (S64)."""
    async with daemon.call(DIFF_COPY, metadata or exporter()) as call:
        for piece in pieces:
            await call.send(field_bytes(1, piece) if piece else b"")
        await call.done_sending()
        return await call.status()


def leftovers(path: Path) -> list[str]:
    return [name for name in os.listdir(path) if name.startswith(".pybuildkit-")]


TREE = [directory("d"), file("d/f", b"inside"), file("e", os.urandom(200_000)), symlink("l", "d")]


# --- directories ---


async def test_a_tree_into_a_directory(tmp_path: Path) -> None:
    """S59 to S62, T10: the exporter's number decides, and the packets of a tree come."""
    service = FileSend({0: FileTarget(io.BytesIO()), 3: DirectoryTarget(tmp_path / "out")})
    await run_sync(service.prepare)
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, exporter(3)) as call:
        await send_tree(call, TREE)
        assert await call.status() == Status()
    await run_sync(service.commit)
    await run_sync(service.commit)
    assert set(snapshot(tmp_path / "out")) == {"d", "d/f", "e", "l"}
    result = service.results[3]
    assert (result.bytes, result.entries, result.skipped, result.left_out) == (200_006, 4, False, ())


async def test_a_cancel_after_fin_is_success(tmp_path: Path) -> None:
    """T9: the daemon never half-closes; all it does is to cancel."""
    service = FileSend({0: DirectoryTarget(tmp_path / "out")})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, exporter()) as call:
        await send_tree(call, TREE)
        call.cancel()
    await run_sync(service.commit)
    assert set(snapshot(tmp_path / "out")) == {"d", "d/f", "e", "l"}


async def test_a_cancel_before_fin_is_failure(tmp_path: Path) -> None:
    service = FileSend({0: DirectoryTarget(tmp_path / "out")})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, exporter()) as call:
        await call.send(encode(file("f", b"x" * 300_000)[0]))
        assert await call.receive() == wire.encode_request(0)
        await call.send(wire.encode_data(0, 1000) + b"x" * 1000)
        await call.send(wire.encode_data(0, 200_000) + b"x" * 200_000)
        await call.send(encode(file("g", b"y")[0]))
        assert await call.receive() == wire.encode_request(1), "so all of it has arrived"
        assert len(leftovers(tmp_path / "out")) == 1
        call.cancel()
    assert os.listdir(tmp_path / "out") == []
    with pytest.raises(TransferError, match="did not come whole"):
        await run_sync(service.commit)


async def test_a_broken_tree_ends_with_the_reason(tmp_path: Path) -> None:
    """S52: the daemon reads it in an ERR packet, and the service's error is kept for the user."""
    service = FileSend({0: DirectoryTarget(tmp_path / "out")})
    async with fake_daemon(service) as daemon:
        async with daemon.call(DIFF_COPY, exporter()) as call:
            await call.send(encode(file("../evil", b"x")[0]))
            message = await call.receive()
            assert message is not None
            text = "the daemon sent the path '../evil': it is not a plain relative path"
            assert wire.decode_packet(message) == wire.Packet(wire.PacketType.ERR, data=text.encode())
            assert await call.status() == Status(Code.UNKNOWN, text)
        assert daemon.session is not None
        assert [str(error) for _, error in daemon.session.failures] == [text]


async def test_a_tree_that_ends_early(tmp_path: Path) -> None:
    service = FileSend({0: DirectoryTarget(tmp_path / "out")})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, exporter()) as call:
        await call.send(encode(directory("d")[0]))
        await call.done_sending()
        assert (await call.status()).code == Code.UNKNOWN


async def test_platforms_come_side_by_side(tmp_path: Path) -> None:
    """S62: several streams with one number."""
    service = FileSend({0: DirectoryTarget(tmp_path / "out")})

    async def one(daemon: FakeDaemon, name: str) -> None:
        async with daemon.call(DIFF_COPY, exporter()) as call:
            await send_tree(call, [directory(name), file(f"{name}/f", name.encode() * 100)])
            assert await call.status() == Status()

    async with fake_daemon(service) as daemon, anyio.create_task_group() as tasks:
        for name in ("linux_amd64", "linux_arm64", "linux_s390x"):
            tasks.start_soon(one, daemon, name)
    await run_sync(service.commit)
    assert {path for path in snapshot(tmp_path / "out") if path.endswith("f")} == {
        "linux_amd64/f",
        "linux_arm64/f",
        "linux_s390x/f",
    }
    assert service.results[0].entries == 6


async def test_mirror_needs_a_daemon_that_knows_it(tmp_path: Path) -> None:
    """S63."""
    (tmp_path / "old").write_bytes(b"old")
    service = FileSend({0: DirectoryTarget(tmp_path, delete=True)})
    async with fake_daemon(service) as daemon:
        async with daemon.call(DIFF_COPY, exporter()) as call:
            status = await call.status()
            assert "requires a BuildKit daemon with multi-platform" in status.message
        assert (tmp_path / "old").exists()
        async with daemon.call(DIFF_COPY, {**exporter(), **MULTI}) as call:
            await send_tree(call, TREE)
    assert set(snapshot(tmp_path)) == {"d", "d/f", "e", "l"}


async def test_devices(tmp_path: Path) -> None:
    service = FileSend({0: DirectoryTarget(tmp_path, devices="skip")})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, exporter()) as call:
        await send_tree(call, [device("null"), file("x", b"")])
    assert service.results[0].left_out == ("null",)


# --- directories that change at once ---


@pytest.mark.parametrize("delete", [False, True])
async def test_atomic_directories_change_on_commit(tmp_path: Path, delete: bool) -> None:
    """X17."""
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    out.chmod(0o751)
    (out / "d" / "old").write_bytes(b"old")
    (out / "e").mkdir()
    (out / "l").write_bytes(b"old")
    before = snapshot(out)
    service = FileSend({0: DirectoryTarget(out, delete=delete, atomic=True)})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, {**exporter(), **MULTI}) as call:
        await send_tree(call, [*TREE[:1], file("d/f", b"inside"), directory("d/r", 0o555), *TREE[2:]])
    assert snapshot(out) == before
    await run_sync(service.commit)
    found = snapshot(out)
    assert set(found) == {"d", "d/f", "d/r", "e", "l"} | (set() if delete else {"d/old"})
    assert stat.S_IMODE(out.stat().st_mode) == 0o751
    assert found["d/r"][1] == 0o555
    assert found["d"][4] == TREE[0][0].mtime_ns
    assert os.listdir(tmp_path) == ["out"]


async def test_atomic_directories_do_not_change_on_abort(tmp_path: Path) -> None:
    out = tmp_path / "out"
    service = FileSend({0: DirectoryTarget(out, atomic=True)})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, exporter()) as call:
        await send_tree(call, [*TREE, directory("r", 0o500), directory("r/s", 0)])
    await run_sync(service.abort)
    assert os.listdir(tmp_path) == []


# --- files ---


@pytest.mark.parametrize("old", [None, 0o640])
async def test_a_file_is_put_in_place_on_commit(tmp_path: Path, old: int | None) -> None:
    """S64, X16, R24: not before, and with the mode of the file that it replaces or of the umask."""
    path = tmp_path / "image.tar"
    if old is not None:
        path.write_bytes(b"old")
        path.chmod(old)
    service = FileSend({0: FileTarget(path)})
    await run_sync(service.prepare)
    pieces = [os.urandom(size) for size in (4096, 0, 3 << 20, 1)]
    mask = os.umask(0o027)
    try:
        async with fake_daemon(service) as daemon:
            headers = {
                "exporter-md-containerimage.digest": ["sha256:1"],
                "exporter-md-image.name": ["a", "b"],
            }
            assert await send_file(daemon, pieces, {**exporter(), **headers}) == Status()
    finally:
        os.umask(mask)
    assert path.read_bytes() == b"old" if old else not path.exists()
    await run_sync(service.commit)
    assert path.read_bytes() == b"".join(pieces)
    assert stat.S_IMODE(path.stat().st_mode) == (old or 0o640)
    assert os.listdir(tmp_path) == ["image.tar"]
    assert service.results[0].metadata == {
        "containerimage.digest": "sha256:1",
        "image.name": "a,b",
    }  # S60, W1
    assert service.results[0].bytes == sum(map(len, pieces))


async def test_a_file_is_not_touched_by_a_build_that_fails(tmp_path: Path) -> None:
    """X16: also when the stream came to its end, as it does when the daemon's archive breaks off."""
    path = tmp_path / "image.tar"
    path.write_bytes(b"old")
    service = FileSend({0: FileTarget(path)})
    async with fake_daemon(service) as daemon:
        assert await send_file(daemon, [b"half"]) == Status()
    await run_sync(service.abort)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["image.tar"]


async def test_a_file_whose_stream_breaks(tmp_path: Path) -> None:
    service = FileSend({0: FileTarget(tmp_path / "image.tar")})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, exporter()) as call:
        await call.send(field_bytes(1, b"half"))
        call.cancel()
        await daemon.unary("/grpc.health.v1.Health/Check")
        assert os.listdir(tmp_path) == []
    with pytest.raises(TransferError, match="did not come whole"):
        await run_sync(service.commit)


async def test_a_link_keeps_leading_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/file")
    service = FileSend({0: FileTarget(tmp_path / "link")})
    await run_sync(service.prepare)
    async with fake_daemon(service) as daemon:
        await send_file(daemon, [b"x"])
    await run_sync(service.commit)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_bytes() == b"x"


async def test_a_device_is_written_to_as_it_is() -> None:
    service = FileSend({0: FileTarget("/dev/null")})
    await run_sync(service.prepare)
    async with fake_daemon(service) as daemon:
        assert await send_file(daemon, [b"x" * 100_000]) == Status()
    await run_sync(service.commit)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


async def test_a_fifo_may_keep_us_waiting(tmp_path: Path) -> None:
    """And the session goes on meanwhile."""
    os.mkfifo(tmp_path / "pipe")
    service = FileSend({0: FileTarget(tmp_path / "pipe")})
    await run_sync(service.prepare)
    content = os.urandom(3 << 20)
    statuses: list[Status] = []

    async def send(daemon: FakeDaemon) -> None:
        statuses.append(
            await send_file(daemon, [content[i : i + 65536] for i in range(0, len(content), 65536)])
        )

    async with fake_daemon(service) as daemon, anyio.create_task_group() as tasks:
        tasks.start_soon(send, daemon)
        await anyio.sleep(0.05)
        assert (await daemon.unary("/grpc.health.v1.Health/Check"))[1] == Status()
        assert await run_sync((tmp_path / "pipe").read_bytes) == content
    assert statuses == [Status()]


async def test_file_objects_and_streams(tmp_path: Path) -> None:
    """Bytes go to memory, files, pipes, unbuffered files and async streams, whole and in order."""
    content = os.urandom(1_500_000)
    read_end, write_end = os.pipe()
    arrived: list[bytes] = []

    def drain() -> None:
        with open(read_end, "rb") as pipe:
            arrived.append(pipe.read())

    reader = threading.Thread(target=drain)
    reader.start()
    send, receive = anyio.create_memory_object_stream[bytes](1)
    streamed: list[bytes] = []

    async def collect() -> None:
        streamed.extend([piece async for piece in receive])

    memory = io.BytesIO()
    with ExitStack() as files:
        buffered = files.enter_context((tmp_path / "buffered").open("wb"))
        raw = files.enter_context((tmp_path / "raw").open("wb", buffering=0))
        pipe = files.enter_context(os.fdopen(write_end, "wb"))
        destinations: list[FileDestination] = [memory, buffered, raw, pipe, send]
        service = FileSend({i: FileTarget(d) for i, d in enumerate(destinations)})
        await run_sync(service.prepare)
        async with fake_daemon(service) as daemon, anyio.create_task_group() as tasks:
            tasks.start_soon(collect)
            for index in range(5):
                pieces = [content[i : i + 50_000] for i in range(0, len(content), 50_000)]
                assert await send_file(daemon, pieces, exporter(index)) == Status()
            send.close()
        await run_sync(service.commit)
        assert (tmp_path / "buffered").read_bytes() == content, "flushed"
    reader.join()
    receive.close()
    assert memory.getvalue() == content
    assert (tmp_path / "raw").read_bytes() == content
    assert arrived == [content]
    assert b"".join(streamed) == content
    assert [result.bytes for result in service.results.values()] == [len(content)] * 5


async def test_functions_that_take_the_pieces() -> None:
    """In a thread, or on the event loop."""
    taken: list[bytes] = []
    sent: list[bytes] = []
    threads: set[int] = set()

    def take(piece: bytes) -> None:
        threads.add(threading.get_ident())
        taken.append(piece)

    async def send(piece: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append(piece)

    service = FileSend(
        {0: FileTarget(SimpleNamespace(write=take)), 1: FileTarget(SimpleNamespace(send=send))}
    )
    async with fake_daemon(service) as daemon:
        for index in range(2):
            assert await send_file(daemon, [b"a" * 10, b"b" * 10], exporter(index)) == Status()
    assert b"".join(taken) == b"".join(sent) == b"a" * 10 + b"b" * 10
    assert threading.get_ident() not in threads


async def test_a_stream_that_nobody_reads_holds_the_daemon_back() -> None:
    """Memory stays flat: what is not read is not sent."""
    send, receive = anyio.create_memory_object_stream[bytes](0)
    service = FileSend({0: FileTarget(send)})
    async with fake_daemon(service) as daemon, daemon.call(DIFF_COPY, exporter()) as call:
        sent = 0
        with anyio.move_on_after(1):
            while sent < 64 << 20:
                await call.send(field_bytes(1, bytes(1 << 18)))
                sent += 1 << 18
        assert sent < 16 << 20
        call.cancel()
    send.close()
    receive.close()


def returning(value: object) -> tuple[list[Mapping[str, str]], Callable[[Mapping[str, str]], object]]:
    seen: list[Mapping[str, str]] = []

    def factory(metadata: Mapping[str, str]) -> object:
        seen.append(metadata)
        return value

    return seen, factory


async def test_a_function_gives_the_destination(tmp_path: Path) -> None:
    """S60: it is told the metadata; it may be a coroutine function."""
    seen, factory = returning(tmp_path / "file")

    async def later(metadata: Mapping[str, str]) -> io.BytesIO:
        await anyio.lowlevel.checkpoint()
        return memory

    memory = io.BytesIO()
    service = FileSend({0: FileTarget(factory), 1: FileTarget(later)})  # type: ignore[arg-type]
    await run_sync(service.prepare)
    async with fake_daemon(service) as daemon:
        metadata = {**exporter(), "exporter-md-k": ["v"], "other": ["x"]}
        assert await send_file(daemon, [b"x"], metadata) == Status()
        assert await send_file(daemon, [b"y"], exporter(1)) == Status()
    assert not (tmp_path / "file").exists()
    await run_sync(service.commit)
    assert (tmp_path / "file").read_bytes() == b"x"
    assert memory.getvalue() == b"y"
    assert seen == [{"k": "v"}]


async def test_a_function_may_decline() -> None:
    """S65: ALREADY_EXISTS is success to the daemon."""
    _, factory = returning(None)
    service = FileSend({0: FileTarget(factory)})  # type: ignore[arg-type]
    async with fake_daemon(service) as daemon:
        status = await send_file(daemon, [b"x"])
    assert status == Status(Code.ALREADY_EXISTS, "target already exists")
    assert service.results[0].skipped
    await run_sync(service.commit)


async def test_a_function_that_gives_nonsense_or_raises() -> None:
    def broken(metadata: Mapping[str, str]) -> object:
        raise RuntimeError("no room")

    service = FileSend({0: FileTarget(returning(7)[1]), 1: FileTarget(broken)})  # type: ignore[arg-type]
    async with fake_daemon(service) as daemon:
        assert "gave int: give a path" in (await send_file(daemon, [b"x"])).message
        assert (await send_file(daemon, [b"x"], exporter(1))).message == "no room"
        assert daemon.session is not None
        assert isinstance(daemon.session.failures[1][1], RuntimeError)


async def test_a_file_object_that_fails() -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    class Remote:
        def write(self, data: bytes) -> None:
            raise OSError(32, "Broken pipe")

    service = FileSend({0: FileTarget(Full()), 1: FileTarget(Remote())})
    async with fake_daemon(service) as daemon:
        assert "No space left" in (await send_file(daemon, [b"x"])).message
        assert (
            await send_file(daemon, [b"x"], exporter(1))
        ).message == "the output can not be written: Broken pipe"


# --- which exporter ---


async def test_numbers(tmp_path: Path) -> None:
    """S60, S61: none, or one that can not be read, is the first; an unknown one is an error."""
    for metadata in ({}, {"buildkit-attachable-exporter-id": ["x"]}):
        memory = io.BytesIO()
        async with fake_daemon(FileSend({0: FileTarget(memory)})) as daemon:
            assert await send_file(daemon, [b"x"], metadata) == Status()
        assert memory.getvalue() == b"x"
    async with fake_daemon(FileSend({0: FileTarget(memory)})) as daemon:
        assert await send_file(daemon, [b"x"], exporter(4)) == Status(Code.UNKNOWN, "exporter 4 not found")
        assert await send_file(daemon, [b"x"]) == Status()
        status = await send_file(daemon, [b"x"])
        assert status == Status(Code.FAILED_PRECONDITION, "exporter 0 has sent its file already")


async def test_pieces_that_are_none() -> None:
    async with fake_daemon(FileSend({0: FileTarget(io.BytesIO())})) as daemon, daemon.call(DIFF_COPY) as call:
        await call.send(b"\x0a\x09x")
        assert "can not be read" in (await call.status()).message


# --- before the build ---


def test_destinations_are_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    for target, text in (
        (FileTarget(tmp_path), "is a directory, name a file in it"),
        (FileTarget(f"{tmp_path}/new/"), "is a directory, name a file in it"),
        (FileTarget(tmp_path / "no" / "file"), "does not exist, create it"),
        (FileTarget(tmp_path / "file" / "x"), "can not be written"),
        (DirectoryTarget(tmp_path / "file"), "is not a directory"),
    ):
        with pytest.raises(ConfigError, match=text):
            FileSend({0: target}).prepare()

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Terminal()))
    with pytest.raises(ConfigError, match="standard output a terminal"):
        FileSend({0: FileTarget(STDOUT)}).prepare()


async def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = io.BytesIO()
    text = io.TextIOWrapper(memory)
    monkeypatch.setattr(sys, "stdout", text)
    service = FileSend({0: FileTarget(STDOUT)})
    await run_sync(service.prepare)
    async with fake_daemon(service) as daemon:
        await send_file(daemon, [b"tar"])
    assert memory.getvalue() == b"tar"
    text.detach()
