"""Blobs of the daemon: what was read is what was asked for."""

from __future__ import annotations

import hashlib
from contextlib import aclosing

import pytest

from pybuildkit._pb import content_pb2
from pybuildkit.control.content import Content
from pybuildkit.errors import ConfigError, ContentError, NotFound
from tests.support.fakechannel import ScriptedChannel

DATA = b"some bytes of a blob"
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()


def pieces(*parts: bytes) -> list[bytes]:
    return [content_pb2.ReadContentResponse(offset=7, data=part).SerializeToString() for part in parts]


def content(**answers: object) -> tuple[Content, ScriptedChannel]:
    channel = ScriptedChannel(**answers)  # type: ignore[arg-type]
    return Content(lambda: channel), channel


async def test_read_and_stream() -> None:
    """C4."""
    store, channel = content(Read=pieces(DATA[:5], DATA[5:]))
    assert await store.read(DIGEST) == DATA
    assert [p async for p in store.stream(DIGEST)] == [DATA[:5], DATA[5:]]
    request = content_pb2.ReadContentRequest.FromString(channel.asked[0][1])
    assert (request.digest, request.offset, request.size) == (DIGEST, 0, 0)


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
async def test_other_algorithms_and_nothing_at_all(algorithm: str) -> None:
    store, _ = content(Read=[])
    assert await store.read(f"{algorithm}:{hashlib.new(algorithm).hexdigest()}") == b""


async def test_bytes_that_are_not_the_blobs() -> None:
    store, _ = content(Read=pieces(DATA[:-1]))
    with pytest.raises(ContentError, match="its store is damaged") as failure:
        await store.read(DIGEST)
    assert failure.value.reason == "mismatch"
    assert DIGEST in str(failure.value)


async def test_a_blob_that_is_longer_than_wanted() -> None:
    store, channel = content(Read=pieces(DATA[:5], DATA[5:]))
    with pytest.raises(ContentError, match="limit=10"):
        await store.read(DIGEST, limit=10)
    assert channel.cancelled == 1
    assert await store.read(DIGEST, limit=len(DATA)) == DATA
    with pytest.raises(ConfigError, match="limit=-1"):
        await store.read(DIGEST, limit=-1)


async def test_leaving_early_ends_the_call() -> None:
    store, channel = content(Read=pieces(DATA[:5], DATA[5:]))
    async with aclosing(store.stream(DIGEST)) as stream:
        async for _ in stream:
            break
    assert channel.cancelled == 1


async def test_size() -> None:
    response = content_pb2.InfoResponse(info=content_pb2.Info(digest=DIGEST, size=20))
    store, channel = content(Info=[response.SerializeToString()])
    assert await store.size(DIGEST) == 20
    assert content_pb2.InfoRequest.FromString(channel.asked[0][1]).digest == DIGEST


async def test_what_is_no_digest_is_not_asked_for() -> None:
    store, channel = content()
    for call in (store.read, store.size):
        with pytest.raises(ConfigError, match="sha256"):
            await call("latest")
    assert channel.asked == []


async def test_a_blob_that_is_not_there() -> None:
    store, _ = content(Read=NotFound("content sha256: not found", code="NOT_FOUND"))
    with pytest.raises(NotFound):
        await store.read(DIGEST)
