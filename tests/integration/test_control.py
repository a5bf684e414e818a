"""The control calls against a real daemon, with buildctl beside."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.details import ExitMessage, FailedVertex
from pybuildkit.errors import BuildError, ContentError, ExecError, NotFound, RPCError
from pybuildkit.events import Log
from pybuildkit.history import HistoryEvent
from pybuildkit.outputs import OCI, Output
from pybuildkit.testing.service import BuildkitdService

pytestmark = pytest.mark.integration


def step(mark: str, *, mounts: dict[str, llb.Mount] | None = None) -> llb.State:
    return llb.image("busybox").run(f"echo {mark} | tee /out", mounts=mounts or {})


def unique() -> str:
    return uuid.uuid4().hex[:25]


async def test_disk_usage_and_prune(
    buildkit: AsyncClient, buildkitd: BuildkitdService, buildctl: Path
) -> None:
    """C6, C7: what buildctl sees, and only what the filter names is removed."""
    mark = unique()
    await buildkit.solve(step(mark, mounts={"/cache": llb.cache(mark)}))
    records = await buildkit.disk_usage()
    shown = await anyio.run_process([buildctl, "--addr", buildkitd.address, "du", "--format", "json"])
    theirs = {
        r["id"]: (r["size"], r["inUse"], r["shared"], r["recordType"]) for r in json.loads(shown.stdout)
    }
    assert {r.id: (r.size, r.in_use, r.shared, r.record_type) for r in records} == theirs
    assert [(r.size, r.id) for r in records] == sorted((r.size, r.id) for r in records)
    (mount,) = await buildkit.disk_usage(filters=f"description~={mark},type==exec.cachemount")
    assert mount.mutable
    assert mount.created_at is not None
    assert not await buildkit.disk_usage(filters=f"id=={mount.id}", age_limit=3600)

    assert not await buildkit.prune(filters=f"id=={mount.id}", keep_duration=3600)
    assert [r.id for r in await buildkit.prune(filters=f"id=={mount.id}")] == [mount.id]
    assert not await buildkit.disk_usage(filters=f"id=={mount.id}")
    kept = {r.id for r in records} - {mount.id}
    assert {r.id for r in await buildkit.disk_usage()} == kept


async def test_prune_each_and_all(buildkit: AsyncClient) -> None:
    await buildkit.solve(step(unique()))
    removed = [record async for record in buildkit.prune_each(all=True)]
    assert removed
    # A step that an earlier test has cancelled may still be on its way out.
    assert all(record.in_use for record in await buildkit.disk_usage())


async def test_a_filter_that_can_not_be_read(buildkit: AsyncClient) -> None:
    """X25: also from a stream."""
    with pytest.raises(RPCError, match=r"\("):
        await buildkit.disk_usage(filters="(")
    with pytest.raises(RPCError, match=r"\("):
        await buildkit.prune(filters="(")
    with pytest.raises(RPCError, match="duration"):
        await buildkit.history.list(filters="duration>soon")


async def test_the_record_of_a_build(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V87 to V90, C34 to C37."""
    ref, mark = unique(), unique()
    outputs: list[Output | str] = [OCI(tmp_path / "image.tar"), f"type=image,name=registry.example/{mark}"]
    result = await buildkit.solve(step(mark), ref=ref, outputs=outputs)
    record = await buildkit.history.get(ref)
    assert (record.ref, record.status, record.total_steps) == (ref, "completed", record.completed_steps)
    assert record.total_steps >= 2
    assert [e.type for e in record.exporters] == ["oci", "image"]
    assert record.exporters[1].attrs["name"] == f"registry.example/{mark}"
    images = [a for a in record.attachments if a.kind == "result"]
    assert [(a.exporter, a.descriptor.digest) for a in images] == [(0, result.digest), (1, result.digest)]
    assert 0 < record.duration < 120
    kinds = {a.kind for a in record.attachments}
    assert {"logs", "attestation"} <= kinds
    (provenance,) = [a for a in record.attachments if a.kind == "attestation"]
    assert provenance.type == "https://slsa.dev/provenance/v1"
    assert json.loads(await buildkit.content.read(provenance.descriptor.digest))["buildDefinition"]
    assert await buildkit.content.size(provenance.descriptor.digest) == provenance.descriptor.size

    printed = [event.data async for event in buildkit.history.events(ref) if isinstance(event, Log)]
    assert b"".join(printed) == f"{mark}\n".encode()
    with anyio.fail_after(2.5):  # C37: not the daemon's three seconds
        trace = await buildkit.history.trace(ref)
    assert json.JSONDecoder().raw_decode(trace.decode())[0]["Name"]
    assert await buildkit.history.error(ref) is None


async def test_the_error_of_a_build_has_its_details(buildkit: AsyncClient) -> None:
    """C35: the record has only the text, the blob has the rest."""
    ref = unique()
    with pytest.raises(ExecError) as failure:
        await buildkit.solve(llb.image("busybox").run(f"echo {ref}; exit 3"), ref=ref)
    record = await buildkit.history.get(ref)
    assert record.status == "error"
    error = await buildkit.history.error(ref)
    assert error is not None
    assert ExitMessage(3) in error.details
    assert FailedVertex(failure.value.digest) in error.details
    assert [r.ref for r in await buildkit.history.list(filters=f"ref=={ref},status==error")] == [ref]
    assert not await buildkit.history.list(filters=f"ref=={ref},status==completed")
    newest = await buildkit.history.list(limit=2)
    assert newest[0].ref == ref
    assert len(newest) <= 2


async def test_following_a_build(buildkit: AsyncClient) -> None:
    ref, mark = unique(), unique()
    seen: list[HistoryEvent] = []
    logs: list[bytes] = []
    async with anyio.create_task_group() as tasks:

        async def follow() -> None:
            async with aclosing(buildkit.history.follow(ref, active_only=True)) as events:
                async for event in events:
                    seen.append(event)
                    if event.type == "started":
                        assert [r.ref for r in await buildkit.history.list(active_only=True)] == [ref]
                        tasks.start_soon(read)
                    elif event.type == "complete":
                        break

        async def read() -> None:
            logs.extend([e.data async for e in buildkit.history.events(ref) if isinstance(e, Log)])

        tasks.start_soon(follow)
        await anyio.sleep(0.1)
        await buildkit.solve(llb.image("busybox").run(f"echo {mark}; sleep 0.5"), ref=ref)
    assert [e.type for e in seen] == ["started", "complete"]
    assert [e.record.status for e in seen] == ["running", "completed"]
    assert b"".join(logs) == f"{mark}\n".encode()


async def test_pin_unpin_delete_and_prune(buildkit: AsyncClient) -> None:
    """V88; and reading a record does not keep the daemon from forgetting it."""
    pinned, other = unique(), unique()
    for ref in (pinned, other):
        await buildkit.solve(llb.scratch().mkfile("/x", ref.encode()), ref=ref)
    history = buildkit.history
    await history.pin(pinned)
    record = await history.get(pinned)
    assert record.pinned
    assert record.logs is not None
    deleted = await history.prune(filters=[f"ref=={pinned}", f"ref=={other}"])
    assert [r.ref for r in deleted] == [other]
    with pytest.raises(NotFound, match=other):
        await history.get(other)
    await history.unpin(pinned)
    assert not (await history.get(pinned)).pinned
    await history.delete(pinned)
    with pytest.raises(NotFound):
        await buildkit.content.read(record.logs.digest)
    for call in (history.delete, history.pin, history.trace, history.error):
        with pytest.raises(NotFound, match=pinned):
            await call(pinned)


async def test_an_internal_build_is_not_in_the_history(buildkit: AsyncClient) -> None:
    ref = unique()
    await buildkit.solve(llb.scratch().mkfile("/x", ref.encode()), ref=ref, internal=True)
    with pytest.raises(NotFound):
        await buildkit.history.get(ref)


async def test_a_large_blob_comes_in_pieces(
    buildkit: AsyncClient, buildkitd: BuildkitdService, buildctl: Path
) -> None:
    """A layer of the image store: what buildctl reads."""
    data = os.urandom(3 << 20)
    name = f"registry.example/{unique()}:latest"
    result = await buildkit.solve(
        llb.scratch().mkfile("/x", data), outputs=f"type=image,name={name},compression=uncompressed"
    )
    assert result.digest is not None
    manifest = json.loads(await buildkit.content.read(result.digest))
    layer = manifest["layers"][0]["digest"]
    pieces = [piece async for piece in buildkit.content.stream(layer)]
    assert len(pieces) > 1
    theirs = await anyio.run_process([buildctl, "--addr", buildkitd.address, "debug", "get", layer])
    assert b"".join(pieces) == theirs.stdout
    assert data in theirs.stdout
    with pytest.raises(ContentError, match="limit=1000"):
        await buildkit.content.read(layer, limit=1000)
    with pytest.raises(NotFound):
        await buildkit.content.read("sha256:" + "0" * 64)


def test_the_blocking_client(buildkit_client: Client) -> None:
    ref = unique()
    with pytest.raises(BuildError):
        buildkit_client.solve(llb.image("busybox").run(f"echo {ref}; false"), ref=ref)
    history = buildkit_client.history
    assert history.get(ref).status == "error"
    assert history.error(ref) is not None
    assert [e.data for e in history.events(ref) if isinstance(e, Log)] == [f"{ref}\n".encode()]
    assert any(batch.vertexes for batch in history.logs(ref))
    record = next(e.record for e in history.follow(ref))  # leaves the call behind, and ends it
    assert record.logs is not None
    assert len(buildkit_client.content.read(record.logs.digest)) == record.logs.size
    assert b"".join(buildkit_client.content.stream(record.logs.digest))
    history.delete(ref)
    assert ref not in [r.ref for r in history.list()]
    usage = buildkit_client.disk_usage()
    assert usage
    removed = list(buildkit_client.prune_each(filters=f"id=={usage[0].id}"))
    assert len(removed) <= 1
    buildkit_client.prune(filters="id==nothing")
