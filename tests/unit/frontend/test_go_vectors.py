"""Options, contexts and named contexts as the Go side's Dockerfile frontend reads them: the same values, the same graphs.

The table is made by ``tools/cmd/frontendvectors``, which runs BuildKit's own code against a gateway in memory.
"""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from collections.abc import Awaitable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from anyio import to_thread

from pybuildkit import llb
from pybuildkit._pb import gateway_pb2, ops_pb2
from pybuildkit.errors import BuildKitError, ConfigError
from pybuildkit.frontend import Inputs, Request, SourceFile
from pybuildkit.platforms import Platform
from pybuildkit.workers import Worker
from tests.support.fakebridge import FakeBridge, solves
from tests.support.goprograms import VECTORS, program

pytestmark = pytest.mark.anyio

T = TypeVar("T")

DIGEST = "sha256:" + "a" * 64
CONFIG = b'{"architecture":"arm64","os":"linux","config":{"Env":["PATH=/bin","A=1"],"WorkingDir":"/srv"}}'


@cache
def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gzip.decompress((VECTORS / "frontends.json.gz").read_bytes()))
    assert len(found) >= 100
    return found


def test_the_table_is_what_go_says(tmp_path: Path) -> None:
    path = tmp_path / "frontends.json.gz"
    subprocess.run([program("frontendvectors"), path], check=True, timeout=60)
    assert json.loads(gzip.decompress(path.read_bytes())) == rows()


@pytest.mark.parametrize("row", rows(), ids=lambda row: json.dumps(row["options"])[:60])
def test_options_have_the_same_values(row: dict[str, Any]) -> None:
    """V52 to V57."""
    workers = [Worker("worker1", platforms=(Platform("linux", "amd64"),))]
    if "error" in row:
        with pytest.raises(ConfigError):
            Request.parse(row["options"], workers)
        return
    request, values = Request.parse(row["options"], workers), row["values"]
    assert request.target == values["target"]
    assert [str(p) for p in request.platforms] == (values["platforms"] or [values["own"]])
    assert str(request.build_platform) == values["own"]
    assert request.multi_platform == values["multi"]
    assert request.build_args == values["build_args"]
    assert request.labels == values["labels"]
    assert request.resolve_mode == values["resolve"]
    assert request.network.upper().replace("SANDBOX", "") == values["network"].replace("UNSET", "")
    assert request.hostname == values["hostname"]
    assert [list(host) for host in request.extra_hosts] == (values["hosts"] or [])
    assert request.shm_size == values["shm_size"]
    assert [list(limit) for limit in request.ulimits] == [
        [u["Name"], u["Soft"], u["Hard"]] for u in values["ulimits"] or []
    ]
    limits = ops_pb2.LinuxResources.FromString(request.resources.encode() if request.resources else b"")
    assert {f.name: value for f, value in limits.ListFields()} == (values["resources"] or {})
    assert request.cgroup_parent == values["cgroup"]
    assert [{"type": c.type, "attrs": c.attrs or None} for c in request.cache_imports] == (
        values["imports"] or []
    )
    assert (request.runs_again("a"), request.runs_again("B")) == (values["no_cache_a"], values["no_cache_b"])


def inputs_of(row: dict[str, Any]) -> bytes:
    definitions = {
        name: llb.scratch().mkfile(f"/{name}", b"").marshal().to_bytes() for name in row.get("inputs", ())
    }
    response = gateway_pb2.InputsResponse()
    for name, data in definitions.items():
        response.Definitions[name].ParseFromString(data)
    return response.SerializeToString()


def resolved(request: bytes) -> bytes:
    asked = gateway_pb2.ResolveSourceMetaRequest.FromString(request)
    return gateway_pb2.ResolveSourceMetaResponse(
        Source=asked.Source, Image=gateway_pb2.ResolveSourceImageResponse(Digest=DIGEST, Config=CONFIG)
    ).SerializeToString()


@pytest.mark.parametrize(
    "row", [row for row in rows() if "error" not in row], ids=lambda row: json.dumps(row["options"])[:60]
)
async def test_contexts_are_the_same_graphs(row: dict[str, Any]) -> None:
    """V55, V56, V58: op for op, with the same names in progress."""
    bridge = FakeBridge(
        {"Inputs": await to_thread.run_sync(inputs_of, row), "ResolveSourceMeta": resolved},
        files={name: text.encode() for name, text in row["files"].items()},
    )
    inputs = Inputs(await bridge.gateway(row["options"]))
    main = await outcome(inputs.main_file(language="YAML"))
    assert isinstance(main, BuildKitError) == ("error" in row["main"]), main
    if isinstance(main, SourceFile):
        assert main.data.decode() == row["main"]["data"]
        assert main.filename.lower() == row["main"]["name"].lower()
    await compare(inputs.context(), row["tree"])
    for name, expected in row.get("named", {}).items():
        await compare(named(inputs, name), await to_thread.run_sync(pinned, expected))
    asked = [seen(llb.Definition.from_bytes(s.Definition.SerializeToString())) for s in solves(bridge)]
    assert asked == [expect(graph) for graph in row.get("solves") or []]
    questions = [
        gateway_pb2.ResolveSourceMetaRequest.FromString(request)
        for name, request in bridge.calls
        if name == "ResolveSourceMeta"
    ]
    assert [
        {"identifier": q.Source.identifier, "attrs": dict(q.Source.attrs), "log_name": q.LogName}
        for q in questions
    ] == [{"attrs": {}, **question} for question in row.get("asked") or []]


async def named(inputs: Inputs, name: str) -> llb.State | None:
    found = await inputs.named_context(name, "linux/arm64")
    return None if found is None else found.state


def pinned(graph: dict[str, Any] | None) -> dict[str, Any] | None:
    """Go looks an image up and then takes whatever has its tag; here it is the one that was looked up."""
    if graph is None or "error" in graph:
        return graph
    image = b"docker-image://docker.io/library/alpine:3"
    if not any(image in base64.b64decode(op) for op in graph.get("ops") or ()):
        return graph
    state = llb.image(f"alpine:3@{DIGEST}", platform="linux/arm64", resolve_mode="pull")
    definition = state.marshal()
    return {"ops": [base64.b64encode(op) for op in definition.ops], "names": graph["names"]}


async def compare(made: Awaitable[llb.State | None], expected: dict[str, Any] | None) -> None:
    state = await outcome(made)
    assert isinstance(state, BuildKitError) == (expected is not None and "error" in expected), state
    assert (state is None) == (expected is None)
    if expected is not None and isinstance(state, llb.State):
        assert seen(await to_thread.run_sync(state.marshal)) == expect(expected)


async def outcome(made: Awaitable[T]) -> T | BuildKitError:
    try:
        return await made
    except BuildKitError as exc:
        return exc


def seen(definition: llb.Definition) -> dict[str, Any]:
    names = [
        shown
        for digest in definition.digests
        if digest in definition.metadata
        and (shown := definition.metadata[digest].description.get("llb.customname"))
    ]
    return {"ops": list(definition.ops), "names": names}


def expect(graph: dict[str, Any]) -> dict[str, Any]:
    return {
        "ops": [base64.b64decode(op) for op in graph.get("ops") or []],
        "names": graph.get("names") or [],
    }
