"""The content service over a whole session in memory, its messages read and made by the generated stubs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from pybuildkit._pb import content_pb2 as pb
from pybuildkit.content.store import LocalStore
from pybuildkit.session.calls import Code, Status
from pybuildkit.session.content import CONTENT, ContentService
from tests.support.fakedaemon import DaemonCall, FakeDaemon, fake_daemon

STORE = {"buildkit-attachable-store-id": ["local:cache"]}
WRITE, COMMIT, STAT = pb.WRITE, pb.COMMIT, pb.STAT


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def add(root: Path, *contents: bytes) -> str:
    """Put blobs into a store; the last one's digest."""
    return await run_sync(_add, root, contents)


def _add(root: Path, contents: tuple[bytes, ...]) -> str:
    digest = ""
    for data in contents:
        ingest = LocalStore(root, writable=True).writer("ref")
        ingest.write(data)
        digest = ingest.commit()
    return digest


def blob(root: Path, digest: str) -> Path:
    return root / "blobs" / "sha256" / digest.removeprefix("sha256:")


def blobs(root: Path) -> list[str]:
    return sorted(os.listdir(root / "blobs" / "sha256"))


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[FakeDaemon]:
    service = ContentService(
        {"local:cache": LocalStore(tmp_path, writable=True), "oci:base": LocalStore(tmp_path)}
    )
    async with fake_daemon(service) as daemon:
        yield daemon


async def ask(
    daemon: FakeDaemon, method: str, request: Message, answer: type[Any] = Empty, store: str = "local:cache"
) -> tuple[Any, Status]:
    data, status = await daemon.unary(
        f"{CONTENT}/{method}", request.SerializeToString(), {"buildkit-attachable-store-id": [store]}
    )
    return (None if data is None else answer.FromString(data)), status


async def read(daemon: FakeDaemon, **request: Any) -> tuple[list[Any], Status]:
    async with daemon.call(f"{CONTENT}/Read", STORE) as call:
        await call.send(pb.ReadContentRequest(**request).SerializeToString())
        await call.done_sending()
        pieces = [pb.ReadContentResponse.FromString(message) async for message in call]
        return pieces, await call.status()


async def write(call: DaemonCall, **request: Any) -> Any:
    """One message of a Write call, and its answer; a Status when the call ends instead."""
    await call.send(pb.WriteContentRequest(**request).SerializeToString())
    answer = await call.receive()
    return await call.status() if answer is None else pb.WriteContentResponse.FromString(answer)


def writing(daemon: FakeDaemon) -> Any:
    return daemon.call(f"{CONTENT}/Write", STORE)


# --- which store ---


async def test_stores(daemon: FakeDaemon, tmp_path: Path) -> None:
    """S92: by the first value of the header."""
    digest = await add(tmp_path, b"x")
    request = pb.InfoRequest(digest=digest).SerializeToString()
    method = f"{CONTENT}/Info"
    _, status = await daemon.unary(method, request)
    assert status.code == Code.INVALID_ARGUMENT
    assert 'lacks metadata "buildkit-attachable-store-id"' in status.message
    _, status = await daemon.unary(method, request, {"buildkit-attachable-store-id": ["local:x"]})
    assert status == Status(Code.NOT_FOUND, "unknown store local:x: not found")
    _, status = await daemon.unary(method, request, {"buildkit-attachable-store-id": ["oci:base", "local:x"]})
    assert status == Status()


async def test_a_store_that_comes_later(tmp_path: Path) -> None:
    """S90, S93: a directory that is chosen when the result is there."""
    request = pb.InfoRequest(digest=await add(tmp_path, b"x")).SerializeToString()
    stores: dict[str, LocalStore] = {}
    async with fake_daemon(ContentService(stores)) as daemon:
        header = {"buildkit-attachable-store-id": ["export"]}
        _, status = await daemon.unary(f"{CONTENT}/Info", request, header)
        assert status.code == Code.NOT_FOUND
        stores["export"] = LocalStore(tmp_path)
        answer, status = await daemon.unary(f"{CONTENT}/Info", request, header)
    assert status == Status()
    assert pb.InfoResponse.FromString(answer or b"").info.size == 1


async def test_what_is_only_read(daemon: FakeDaemon, tmp_path: Path) -> None:
    """A daemon has no business changing what is imported."""
    digest = await add(tmp_path, b"x")
    for method, request in (
        ("Delete", pb.DeleteContentRequest(digest=digest)),
        ("Abort", pb.AbortRequest(ref="ref")),
    ):
        _, status = await ask(daemon, method, request, store="oci:base")
        assert status.code == Code.PERMISSION_DENIED
    async with daemon.call(f"{CONTENT}/Write", {"buildkit-attachable-store-id": ["oci:base"]}) as call:
        assert (await write(call, ref="ref")).code == Code.PERMISSION_DENIED
    assert blob(tmp_path, digest).read_bytes() == b"x"


# --- asking ---


async def test_info(daemon: FakeDaemon, tmp_path: Path) -> None:
    """S94."""
    digest = await add(tmp_path, b"content")
    os.utime(blob(tmp_path, digest), ns=(5_000_000_007, 1_600_000_000_000_000_001))
    answer, status = await ask(daemon, "Info", pb.InfoRequest(digest=digest), pb.InfoResponse)
    assert status == Status()
    assert (answer.info.digest, answer.info.size, dict(answer.info.labels)) == (digest, 7, {})
    assert answer.info.created_at.ToNanoseconds() == 1_600_000_000_000_000_001
    assert answer.info.updated_at.ToNanoseconds() == 5_000_000_007
    missing = digest_of(b"missing")
    _, status = await ask(daemon, "Info", pb.InfoRequest(digest=missing))
    assert status == Status(Code.NOT_FOUND, f"content {missing}: not found")
    _, status = await ask(daemon, "Info", pb.InfoRequest(digest="../x"))
    assert status == Status(Code.INVALID_ARGUMENT, '"../x" failed validation')


async def test_list(daemon: FakeDaemon, tmp_path: Path) -> None:
    """S94: in blocks of a hundred, with containerd's filters."""
    contents = [b"%d" % index for index in range(205)]
    digests = sorted(map(digest_of, contents))
    await add(tmp_path, *contents)

    async def listed(*filters: str) -> tuple[list[list[str]], Status]:
        async with daemon.call(f"{CONTENT}/List", STORE) as call:
            await call.send(pb.ListContentRequest(filters=filters).SerializeToString())
            await call.done_sending()
            blocks = [pb.ListContentResponse.FromString(message) async for message in call]
            return [[info.digest for info in block.info] for block in blocks], await call.status()

    assert await listed() == ([digests[:100], digests[100:200], digests[200:]], Status())
    assert await listed(f"digest=={digests[7]}", f"digest~=^{digests[9]}$") == (
        [[digests[7], digests[9]]],
        Status(),
    )
    assert await listed("labels.x") == ([], Status())
    blocks, status = await listed("digest<x")
    assert (blocks, status.code) == ([], Code.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [
        (0, 0, slice(0, None)),
        (10, 0, slice(10, None)),
        (10, 5, slice(10, 15)),
        (0, 10**12, slice(0, None)),
        (-5, 5, slice(0, 5)),
        (3_000_000, 10, slice(0, 0)),
        (2_999_990, 100, slice(2_999_990, None)),
    ],
)
async def test_read(daemon: FakeDaemon, tmp_path: Path, offset: int, size: int, expected: slice) -> None:
    """S94: ranges, in pieces of at most 1 MiB."""
    content = os.urandom(3_000_000)
    pieces, status = await read(daemon, digest=await add(tmp_path, content), offset=offset, size=size)
    assert status == Status()
    assert b"".join(piece.data for piece in pieces) == content[expected]
    assert all(0 < len(piece.data) <= 1 << 20 for piece in pieces)
    position = 0
    for piece in pieces:
        assert piece.offset == position
        position += len(piece.data)


async def test_read_refused(daemon: FakeDaemon, tmp_path: Path) -> None:
    digest = await add(tmp_path, b"content")
    cases: list[tuple[dict[str, Any], Code]] = [
        ({"digest": digest, "offset": 8}, Code.OUT_OF_RANGE),
        ({"digest": digest_of(b"x")}, Code.NOT_FOUND),
        ({"digest": "sha256:x"}, Code.INVALID_ARGUMENT),
        ({}, Code.INVALID_ARGUMENT),
    ]
    for request, code in cases:
        pieces, status = await read(daemon, **request)
        assert (pieces, status.code) == ([], code)


async def test_a_reader_that_goes_away(daemon: FakeDaemon, tmp_path: Path) -> None:
    digest = await add(tmp_path, os.urandom(8 << 20))
    async with daemon.call(f"{CONTENT}/Read", STORE) as call:
        await call.send(pb.ReadContentRequest(digest=digest).SerializeToString())
        await call.done_sending()
        await call.receive()
        call.cancel()


async def test_a_blob_that_shrinks(daemon: FakeDaemon, tmp_path: Path) -> None:
    digest = await add(tmp_path, os.urandom(20 << 20))
    async with daemon.call(f"{CONTENT}/Read", STORE) as call:
        await call.send(pb.ReadContentRequest(digest=digest).SerializeToString())
        await call.done_sending()
        await call.receive()
        os.truncate(blob(tmp_path, digest), 100)
        async for _ in call:
            pass
        assert (await call.status()).code == Code.DATA_LOSS


# --- writing ---


async def test_write(daemon: FakeDaemon, tmp_path: Path) -> None:
    """S94: STAT, WRITE and COMMIT, each with its answer."""
    async with writing(daemon) as call:
        answer = await write(call, action=STAT, ref="layer", total=11, expected=digest_of(b"hello world"))
        assert (answer.action, answer.offset, answer.total) == (STAT, 0, 11)
        assert answer.digest == digest_of(b"")
        assert answer.started_at.seconds
        answer = await write(call, action=WRITE, data=b"hello")
        assert (answer.action, answer.offset, answer.digest) == (WRITE, 5, digest_of(b"hello"))
        status, _ = await ask(daemon, "Status", pb.StatusRequest(ref="layer"), pb.StatusResponse)
        assert (status.status.ref, status.status.offset, status.status.total) == ("layer", 5, 11)
        answer = await write(call, action=WRITE, offset=5, data=b" world")
        assert answer.offset == 11
        answer = await write(
            call, action=COMMIT, offset=11, total=11, expected=digest_of(b"hello world"), labels={"k": "v"}
        )
        assert (answer.action, answer.offset, answer.digest) == (COMMIT, 11, digest_of(b"hello world"))
        assert await call.status() == Status()
    assert blob(tmp_path, digest_of(b"hello world")).read_bytes() == b"hello world"
    _, status = await ask(daemon, "Status", pb.StatusRequest(ref="layer"))
    assert status.code == Code.NOT_FOUND
    assert status.message.startswith('could not get status for ref "layer"')


async def test_commit_may_bring_data(daemon: FakeDaemon, tmp_path: Path) -> None:
    async with writing(daemon) as call:
        answer = await write(call, action=COMMIT, ref="r", data=b"all at once")
        assert answer.digest == digest_of(b"all at once")
    assert blob(tmp_path, answer.digest).read_bytes() == b"all at once"


async def test_a_message_of_sixteen_mebibytes(daemon: FakeDaemon, tmp_path: Path) -> None:
    """S96, X4: Go's session takes four."""
    data = os.urandom((16 << 20) - 100)
    async with writing(daemon) as call:
        assert (await write(call, action=WRITE, ref="r", data=data)).offset == len(data)
        assert (await write(call, action=COMMIT, offset=len(data), total=len(data))).digest == digest_of(data)
    assert blob(tmp_path, digest_of(data)).stat().st_size == len(data)


async def test_a_write_goes_on_where_it_stopped(daemon: FakeDaemon) -> None:
    async with writing(daemon) as call:
        await write(call, action=WRITE, ref="r", data=b"first ")
        await call.done_sending()
        assert await call.status() == Status()
    async with writing(daemon) as call:
        answer = await write(call, action=STAT, ref="r")
        assert (answer.offset, answer.digest) == (6, digest_of(b"first "))
        await write(call, action=WRITE, offset=6, data=b"last")
        assert (await write(call, action=COMMIT, offset=10)).digest == digest_of(b"first last")


async def test_a_write_that_is_cancelled_can_go_on(daemon: FakeDaemon) -> None:
    async with writing(daemon) as call:
        await write(call, action=WRITE, ref="r", data=b"first")
        call.cancel()
    await daemon.unary("/grpc.health.v1.Health/Check")
    async with writing(daemon) as call:
        assert (await write(call, action=STAT, ref="r")).offset == 5


async def test_offset_zero_begins_anew(daemon: FakeDaemon) -> None:
    """S94."""
    async with writing(daemon) as call:
        await write(call, action=WRITE, ref="r", data=b"wrong")
        assert (await write(call, action=WRITE, data=b"right")).offset == 5
        assert (await write(call, action=COMMIT, offset=5)).digest == digest_of(b"right")


async def test_write_refused(daemon: FakeDaemon, tmp_path: Path) -> None:
    """S94, S95: each refusal has containerd's code, and leaves no blob."""
    digest = await add(tmp_path, b"there")
    cases: list[tuple[list[dict[str, Any]], Code]] = [
        ([{"action": WRITE, "data": b"x"}], Code.INVALID_ARGUMENT),
        ([{"ref": "r", "expected": digest}], Code.ALREADY_EXISTS),
        ([{"ref": "r"}, {"action": WRITE, "data": b"x", "expected": digest}], Code.ALREADY_EXISTS),
        ([{"ref": "r", "action": COMMIT, "data": b"there"}], Code.ALREADY_EXISTS),
        ([{"ref": "r", "action": WRITE, "data": b"x"}, {"action": WRITE, "offset": 3}], Code.OUT_OF_RANGE),
        ([{"ref": "r", "action": COMMIT, "total": 7, "data": b"x"}], Code.FAILED_PRECONDITION),
        (
            [{"ref": "s", "action": COMMIT, "expected": digest_of(b"y"), "data": b"x"}],
            Code.FAILED_PRECONDITION,
        ),
        ([{"ref": "t", "expected": "sha256:x"}], Code.INVALID_ARGUMENT),
        ([{"ref": "t", "action": 9}], Code.INVALID_ARGUMENT),
    ]
    for messages, code in cases:
        async with writing(daemon) as call:
            answer = [await write(call, **message) for message in messages][-1]
            assert answer.code == code, (messages, answer)
    assert blobs(tmp_path) == [digest.removeprefix("sha256:")]


async def test_one_writer_a_reference(daemon: FakeDaemon) -> None:
    """S94: the other one is told to come again."""
    async with writing(daemon) as first, writing(daemon) as second:
        await write(first, ref="r")
        assert (await write(second, ref="r")).code == Code.UNAVAILABLE


async def test_an_unfinished_message_stream(daemon: FakeDaemon) -> None:
    async with writing(daemon) as call:
        await call.done_sending()
        assert (await call.status()).code == Code.INVALID_ARGUMENT
    async with writing(daemon) as call:
        await call.send(b"\x0a\xff")
        assert (await call.status()).code == Code.INTERNAL


# --- the rest ---


async def test_statuses_and_abort(daemon: FakeDaemon) -> None:
    for ref in ("a", "b"):
        async with writing(daemon) as call:
            await write(call, action=WRITE, ref=ref, total=9, data=ref.encode() * 3)

    async def refs(*filters: str) -> list[tuple[str, int, int]]:
        answer, _ = await ask(
            daemon, "ListStatuses", pb.ListStatusesRequest(filters=filters), pb.ListStatusesResponse
        )
        return sorted((status.ref, status.offset, status.total) for status in answer.statuses)

    assert await refs() == [("a", 3, 9), ("b", 3, 9)]
    assert await refs("ref==b") == [("b", 3, 9)]
    for _ in range(2):
        assert await ask(daemon, "Abort", pb.AbortRequest(ref="a")) == (Empty(), Status())
    assert await refs() == [("b", 3, 9)]


async def test_delete(daemon: FakeDaemon, tmp_path: Path) -> None:
    digest = await add(tmp_path, b"x")
    for _ in range(2):
        assert await ask(daemon, "Delete", pb.DeleteContentRequest(digest=digest)) == (Empty(), Status())
    assert blobs(tmp_path) == []
    _, status = await ask(daemon, "Delete", pb.DeleteContentRequest(digest="x"))
    assert status.code == Code.INVALID_ARGUMENT


async def test_update(daemon: FakeDaemon, tmp_path: Path) -> None:
    """S95: there are no labels to update."""
    digest = await add(tmp_path, b"x")
    _, status = await ask(daemon, "Update", pb.UpdateRequest(info=pb.Info(digest=digest, labels={"a": "b"})))
    assert status.code == Code.FAILED_PRECONDITION
    assert "update not supported on immutable content store" in status.message
    _, status = await ask(daemon, "Update", pb.UpdateRequest(info=pb.Info(digest="x")))
    assert status.code == Code.INVALID_ARGUMENT


async def test_requests_that_are_none(daemon: FakeDaemon) -> None:
    for method in ("Info", "List", "Read", "Status"):
        _, status = await daemon.unary(f"{CONTENT}/{method}", b"\x0a\xff", STORE)
        assert status.code == Code.INTERNAL, method
    async with daemon.call(f"{CONTENT}/Info", STORE) as call:
        await call.done_sending()
        assert (await call.status()).code == Code.INTERNAL
