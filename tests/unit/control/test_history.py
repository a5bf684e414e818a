"""Build history: the codec against the stubs, and the calls over a scripted channel."""

from __future__ import annotations

import contextlib
import hashlib
from contextlib import aclosing
from datetime import UTC, datetime

import pytest
from google.protobuf import any_pb2
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit._pb import content_pb2, control_pb2
from pybuildkit._wire import ProtoDecodeError
from pybuildkit.content.descriptor import Descriptor
from pybuildkit.control.content import Content
from pybuildkit.control.history import decode_event
from pybuildkit.control.records import History
from pybuildkit.details import FailedVertex
from pybuildkit.errors import ConfigError, NotFound, RPCError
from pybuildkit.events import Log, VertexStarted
from pybuildkit.history import Exporter, HistoryError, HistoryRecord, ResultInfo
from tests.support.fakechannel import Answer, ScriptedChannel

SECOND = 1_000_000_000
PROVENANCE = {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}


def history(channel: ScriptedChannel) -> History:
    return History(lambda: channel, Content(lambda: channel))


def event(ref: str, *, created: int = 1, done: bool = True, **fields: object) -> bytes:
    message = control_pb2.BuildHistoryEvent(type=int(done))  # type: ignore[arg-type]
    message.record.CopyFrom(control_pb2.BuildHistoryRecord(Ref=ref, **fields))  # type: ignore[arg-type]
    message.record.CreatedAt.FromNanoseconds(created * SECOND)
    if done:
        message.record.CompletedAt.FromNanoseconds((created + 2) * SECOND)
    return message.SerializeToString()


def blob(data: bytes, media_type: str = "") -> control_pb2.Descriptor:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return control_pb2.Descriptor(media_type=media_type, digest=digest, size=len(data))


def full_record() -> control_pb2.BuildHistoryRecord:
    record = control_pb2.BuildHistoryRecord(
        Ref="r",
        Frontend="dockerfile.v0",
        FrontendAttrs={"target": "a"},
        Exporters=[control_pb2.Exporter(Type="image", Attrs={"name": "n"})],
        ExporterResponse={"containerimage.digest": "sha256:1"},
        Generation=4,
        pinned=True,
        numCachedSteps=1,
        numTotalSteps=3,
        numCompletedSteps=2,
        numWarnings=5,
        logs=blob(b"logs", "application/vnd.buildkit.status.v0"),
        trace=blob(b"trace"),
        externalError=blob(b"error"),
    )
    record.error.CopyFrom(status_pb2.Status(code=2, message="boom"))
    record.CreatedAt.FromNanoseconds(10 * SECOND + 1)
    record.CompletedAt.FromNanoseconds(12 * SECOND)
    record.Result.ResultDeprecated.CopyFrom(blob(b"one"))
    record.Result.Results[0].CopyFrom(blob(b"one"))
    record.Result.Results[2].CopyFrom(blob(b"two"))
    record.Result.Attestations.add(digest="sha256:p", size=9, annotations=PROVENANCE)
    record.Results["linux/arm64"].Attestations.add(digest="sha256:q", media_type="m")
    return record


def test_every_field_of_a_record() -> None:
    """C34."""
    message = control_pb2.BuildHistoryEvent(type=control_pb2.COMPLETE, record=full_record())
    found = decode_event(message.SerializeToString())
    assert found.type == "complete"
    record = found.record
    one, two = (Descriptor("", blob(data).digest, 3) for data in (b"one", b"two"))
    provenance = Descriptor("", "sha256:p", 9, PROVENANCE)
    assert record == HistoryRecord(
        ref="r",
        frontend="dockerfile.v0",
        frontend_attrs={"target": "a"},
        exporters=(Exporter("image", {"name": "n"}),),
        error=HistoryError("UNKNOWN", "boom"),
        created_ns=10 * SECOND + 1,
        completed_ns=12 * SECOND,
        metadata={"containerimage.digest": "sha256:1"},
        result=ResultInfo({0: one, 2: two}, (provenance,)),
        results={"linux/arm64": ResultInfo({}, (Descriptor("m", "sha256:q", 0),))},
        generation=4,
        pinned=True,
        cached_steps=1,
        completed_steps=2,
        total_steps=3,
        warnings=5,
        logs=Descriptor("application/vnd.buildkit.status.v0", blob(b"logs").digest, 4),
        trace=Descriptor("", blob(b"trace").digest, 5),
        external_error=Descriptor("", blob(b"error").digest, 5),
    )
    assert record.status == "error"
    assert record.duration == pytest.approx(2.0)
    assert record.created_at == datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC)
    assert [(a.kind, a.platform, a.exporter, a.type) for a in record.attachments] == [
        ("result", "", 0, ""),
        ("result", "", 2, ""),
        ("attestation", "", None, "https://slsa.dev/provenance/v1"),
        ("attestation", "linux/arm64", None, "m"),
        ("logs", "", None, "application/vnd.buildkit.status.v0"),
        ("trace", "", None, ""),
        ("error", "", None, ""),
    ]


def test_a_daemon_with_one_result() -> None:
    record = control_pb2.BuildHistoryRecord(Ref="r")
    record.Result.ResultDeprecated.CopyFrom(blob(b"one"))
    message = control_pb2.BuildHistoryEvent(record=record)
    found = decode_event(message.SerializeToString()).record
    assert found.result is not None
    assert found.result.results[0].digest == blob(b"one").digest


def test_how_a_build_is() -> None:
    """C36: the daemon's own words and rules."""
    assert HistoryRecord("r").status == "running"
    assert HistoryRecord("r").duration > 0
    assert HistoryRecord("r").completed_at is None
    assert HistoryRecord("r", completed_ns=1).status == "completed"
    cancelled = HistoryError("CANCELLED", "x: context canceled")
    assert HistoryRecord("r", completed_ns=1, error=cancelled).status == "canceled"


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_an_error(data: bytes) -> None:
    with contextlib.suppress(ProtoDecodeError, UnicodeDecodeError):
        decode_event(data)


async def test_list() -> None:
    channel = ScriptedChannel(
        ListenBuildHistory=[event("run", created=9, done=False), event("old"), event("new", created=5)]
    )
    found = await history(channel).list(filters="status==completed", limit=2)
    assert [r.ref for r in found] == ["run", "new"]
    request = control_pb2.BuildHistoryRequest.FromString(channel.asked[0][1])
    assert (request.EarlyExit, request.Limit, list(request.Filter)) == (True, 2, ["status==completed"])
    assert not request.ActiveOnly
    await history(channel).list(active_only=True)
    assert control_pb2.BuildHistoryRequest.FromString(channel.asked[1][1]).ActiveOnly
    with pytest.raises(ConfigError, match="limit=-1"):
        await history(channel).list(limit=-1)


async def test_get_asks_by_a_filter_and_looks_itself() -> None:
    """A daemon that knows no filter sends everything, and running builds always."""
    channel = ScriptedChannel(ListenBuildHistory=[event("other"), event("r1"), event("r 1,2")])
    assert (await history(channel).get("r1")).ref == "r1"
    request = control_pb2.BuildHistoryRequest.FromString(channel.asked[0][1])
    assert (request.Ref, list(request.Filter), request.EarlyExit) == ("", ["ref==r1"], True)
    assert (await history(channel).get("r 1,2")).ref == "r 1,2"
    request = control_pb2.BuildHistoryRequest.FromString(channel.asked[1][1])
    assert (request.Ref, list(request.Filter)) == ("r 1,2", [])
    with pytest.raises(NotFound, match=r"'nope'.*history ls"):
        await history(channel).get("nope")


async def test_follow() -> None:
    deleted = control_pb2.BuildHistoryEvent(type=control_pb2.DELETED)
    deleted.record.Ref = "a"
    events = [event("a", done=False), event("b"), event("a"), deleted.SerializeToString()]
    channel = ScriptedChannel(ListenBuildHistory=events)
    found = [(e.type, e.record.ref) async for e in history(channel).follow("a")]
    assert found == [("started", "a"), ("complete", "a"), ("deleted", "a")]
    assert len([e async for e in history(channel).follow(active_only=True)]) == 4
    async with aclosing(history(channel).follow()) as stream:
        async for _ in stream:
            break
    assert channel.cancelled == 1


async def test_logs_and_events() -> None:
    """C9."""
    status = control_pb2.StatusResponse()
    status.vertexes.add(digest="d", name="n").started.FromNanoseconds(5)
    status.logs.add(vertex="d", stream=1, msg=b"x\n")
    channel = ScriptedChannel(Status=[status.SerializeToString()])
    (batch,) = [b async for b in history(channel).logs("r")]
    assert batch.logs[0].data == b"x\n"
    found = [e async for e in history(channel).events("r")]
    assert [type(e) for e in found] == [VertexStarted, Log]
    assert control_pb2.StatusRequest.FromString(channel.asked[0][1]).Ref == "r"


def serving(*blobs: bytes) -> dict[str, Answer]:
    def read(request: bytes) -> Answer:
        digest = content_pb2.ReadContentRequest.FromString(request).digest
        found = next(data for data in blobs if blob(data).digest == digest)
        return [content_pb2.ReadContentResponse(data=found).SerializeToString()]

    return {"Read": read}  # type: ignore[dict-item]


async def test_the_error_with_all_its_details() -> None:
    """C35."""
    detail = any_pb2.Any(
        type_url="github.com/moby/buildkit/errdefs.Vertex+json", value=b'{"digest":"sha256:d"}'
    )
    status = status_pb2.Status(code=5, message="boom", details=[detail]).SerializeToString()
    failed = event("r", externalError=blob(status))
    channel = ScriptedChannel(ListenBuildHistory=[failed, event("fine")], **serving(status))
    assert await history(channel).error("r") == HistoryError("NOT_FOUND", "boom", (FailedVertex("sha256:d"),))
    assert await history(channel).error("fine") is None


async def test_a_trace_is_finalized_when_it_is_not_there() -> None:
    """C37."""
    events = [event("r")]
    updates: list[control_pb2.UpdateBuildHistoryRequest] = []

    def update(request: bytes) -> Answer:
        updates.append(control_pb2.UpdateBuildHistoryRequest.FromString(request))
        events[:] = [event("r", trace=blob(b"{}\n"))]
        return [b""]

    channel = ScriptedChannel(
        ListenBuildHistory=lambda _: events,
        UpdateBuildHistory=update,
        **serving(b"{}\n"),
    )
    assert await history(channel).trace("r") == b"{}\n"
    assert [(u.Ref, u.Finalize, u.Delete, u.Pinned) for u in updates] == [("r", True, False, False)]
    assert await history(channel).trace("r") == b"{}\n"
    assert len(updates) == 1


async def test_no_trace() -> None:
    running = ScriptedChannel(ListenBuildHistory=[event("r", done=False)])
    with pytest.raises(NotFound, match="it still runs"):
        await history(running).trace("r")
    without = ScriptedChannel(ListenBuildHistory=[event("r")], UpdateBuildHistory=[b""])
    with pytest.raises(NotFound, match="did not keep one"):
        await history(without).trace("r")


async def test_updates() -> None:
    """C14."""
    channel = ScriptedChannel(UpdateBuildHistory=[b""])
    calls = history(channel)
    await calls.pin("r")
    await calls.unpin("r")
    await calls.finalize("r")
    await calls.delete("r")
    sent = [control_pb2.UpdateBuildHistoryRequest.FromString(request) for _, request in channel.asked]
    assert [(m.Ref, m.Pinned, m.Delete, m.Finalize) for m in sent] == [
        ("r", True, False, False),
        ("r", False, False, False),
        ("r", False, False, True),
        ("r", False, True, False),
    ]


@pytest.mark.parametrize(
    "words", ['lease "ref_r": not found', "failed to retrieve ref r: file does not exist"]
)
async def test_a_record_that_is_not_there(words: str) -> None:
    """T13: the daemon has no code for it."""
    channel = ScriptedChannel(UpdateBuildHistory=RPCError(words, code="UNKNOWN"))
    with pytest.raises(NotFound, match="'r'"):
        await history(channel).delete("r")
    broken = ScriptedChannel(UpdateBuildHistory=RPCError("disk full", code="UNKNOWN"))
    with pytest.raises(RPCError, match="disk full"):
        await history(broken).delete("r")


async def test_prune_leaves_what_is_pinned_and_what_runs() -> None:
    gone: list[str] = []

    def update(request: bytes) -> Answer:
        ref = control_pb2.UpdateBuildHistoryRequest.FromString(request).Ref
        if ref == "lost":
            return RPCError('lease "ref_lost": not found', code="UNKNOWN")
        gone.append(ref)
        return [b""]

    channel = ScriptedChannel(
        ListenBuildHistory=[
            event("run", done=False),
            event("kept", pinned=True),
            event("lost"),
            event("old"),
            event("new", created=5),
        ],
        UpdateBuildHistory=update,
    )
    assert [r.ref for r in await history(channel).prune()] == ["new", "old"]
    assert gone == ["new", "old"]
