"""The hand-made codec of the Control service against the generated stubs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit._pb import control_pb2, ops_pb2, worker_pb2
from pybuildkit._wire import ProtoDecodeError
from pybuildkit.control.solve import CacheEntry, ExporterEntry, SolveRequest, decode_response
from pybuildkit.control.status import decode_status_response, encode_status_request
from pybuildkit.control.workers import decode_info, decode_workers, encode_workers_request
from pybuildkit.events import Position, ProgressGroup, Range, SourceInfo
from pybuildkit.platforms import Platform

TEXT = st.text(max_size=12)
ATTRS = st.dictionaries(TEXT, TEXT, max_size=4)
ENTRIES = st.lists(st.tuples(TEXT, ATTRS), max_size=3)


def definition(name: str) -> bytes:
    made = ops_pb2.Definition()
    getattr(made, "def").append(name.encode())
    return made.SerializeToString()


@given(
    ref=TEXT,
    frontend=TEXT,
    attrs=ATTRS,
    exporters=ENTRIES,
    exports=ENTRIES,
    imports=ENTRIES,
    inputs=st.dictionaries(TEXT, TEXT.map(definition), max_size=2),
    entitlements=st.lists(TEXT, max_size=2),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from([0, 10, 30])),
)
def test_solve_request_reads_back_with_the_stubs(
    ref: str,
    frontend: str,
    attrs: dict[str, str],
    exporters: list[tuple[str, dict[str, str]]],
    exports: list[tuple[str, dict[str, str]]],
    imports: list[tuple[str, dict[str, str]]],
    inputs: dict[str, bytes],
    entitlements: list[str],
    flags: tuple[bool, bool, bool, int],
) -> None:
    """C15 to C28: each field lands where the daemon looks for it."""
    internal, proxy, session_exporter, compatibility = flags
    request = SolveRequest(
        ref=ref,
        session="s1",
        frontend=frontend,
        frontend_attrs=attrs,
        frontend_inputs=inputs,
        exporters=tuple(ExporterEntry(*entry) for entry in exporters),
        cache_exports=tuple(CacheEntry(*entry) for entry in exports),
        cache_imports=tuple(CacheEntry(*entry) for entry in imports),
        entitlements=tuple(entitlements),
        internal=internal,
        proxy_network=proxy,
        enable_session_exporter=session_exporter,
        compatibility_version=compatibility,
        source_policy_session="s1",
    )
    read = control_pb2.SolveRequest.FromString(request.encode())
    assert (read.Ref, read.Session, read.Frontend, dict(read.FrontendAttrs)) == (ref, "s1", frontend, attrs)
    assert [(e.Type, dict(e.Attrs)) for e in read.Exporters] == exporters
    assert [(e.Type, dict(e.Attrs)) for e in read.Cache.Exports] == exports
    assert [(e.Type, dict(e.Attrs)) for e in read.Cache.Imports] == imports
    assert {key: value.SerializeToString() for key, value in read.FrontendInputs.items()} == inputs
    assert list(read.Entitlements) == entitlements
    assert (read.Internal, read.ProxyNetwork, read.EnableSessionExporter) == (
        internal,
        proxy,
        session_exporter,
    )
    assert (read.CompatibilityVersion, read.SourcePolicySession) == (compatibility, "s1")
    assert not read.HasField("Definition")
    if exporters:  # C17
        assert (read.ExporterDeprecated, dict(read.ExporterAttrsDeprecated)) == exporters[0]


def test_solve_request_keeps_an_empty_definition_apart_from_none() -> None:
    """C19, T12: no definition at all means something else than an empty one."""
    assert control_pb2.SolveRequest.FromString(SolveRequest("r", definition=b"").encode()).HasField(
        "Definition"
    )
    assert not control_pb2.SolveRequest.FromString(SolveRequest("r").encode()).HasField("Definition")


def test_equal_requests_are_equal_bytes() -> None:
    one = SolveRequest("r", frontend_attrs={"a": "1", "b": "2"})
    other = SolveRequest("r", frontend_attrs={"b": "2", "a": "1"})
    assert one.encode() == other.encode()


@given(ATTRS)
def test_solve_response(attrs: dict[str, str]) -> None:
    """V47."""
    message = control_pb2.SolveResponse(ExporterResponse=attrs)
    assert decode_response(message.SerializeToString()) == attrs


def test_status_response() -> None:
    """C30 to C33: every field of every message."""
    message = control_pb2.StatusResponse()
    vertex = message.vertexes.add(digest="d", inputs=["i1", "i2"], name="n", cached=True, error="e")
    vertex.started.FromNanoseconds(1_700_000_000_123_456_789)
    vertex.completed.FromNanoseconds(1_700_000_001_000_000_000)
    vertex.progressGroup.id, vertex.progressGroup.name, vertex.progressGroup.weak = "g", "group", True
    message.vertexes.add(digest="plain")
    status = message.statuses.add(ID="id", vertex="d", name="sn", current=-1, total=1 << 40)
    status.timestamp.FromNanoseconds(5)
    status.started.FromNanoseconds(0)
    log = message.logs.add(vertex="d", stream=2, msg=b"\xffline\n")
    log.timestamp.FromNanoseconds(7)
    warning = message.warnings.add(vertex="d", level=1, short=b"short", detail=[b"one", b"two"], url="u")
    warning.info.filename, warning.info.data, warning.info.language = "Dockerfile", b"FROM x", "Dockerfile"
    found = warning.ranges.add()
    found.start.line, found.start.character, found.end.line = 3, 4, 5

    read = decode_status_response(message.SerializeToString())

    first, second = read.vertexes
    assert (first.digest, first.inputs, first.name, first.cached, first.error) == (
        "d",
        ("i1", "i2"),
        "n",
        True,
        "e",
    )
    assert (first.started, first.completed) == (1_700_000_000_123_456_789, 1_700_000_001_000_000_000)
    assert first.progress_group == ProgressGroup("g", "group", weak=True)
    assert (second.started, second.completed, second.progress_group) == (None, None, None)
    (one,) = read.statuses
    assert (one.id, one.vertex, one.name, one.current, one.total) == ("id", "d", "sn", -1, 1 << 40)
    assert (one.timestamp, one.started, one.completed) == (5, 0, None)
    (line,) = read.logs
    assert (line.vertex, line.stream, line.data, line.timestamp) == ("d", 2, b"\xffline\n", 7)
    (warned,) = read.warnings
    assert (warned.short, warned.level, warned.detail, warned.url) == ("short", 1, ("one", "two"), "u")
    assert warned.source == SourceInfo("Dockerfile", b"FROM x", "Dockerfile")
    assert warned.ranges == (Range(Position(3, 4), Position(5)),)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_status_or_an_error(data: bytes) -> None:
    """What the daemon sends never crashes the reader."""
    with contextlib.suppress(ProtoDecodeError):
        decode_status_response(data)


def test_status_request() -> None:
    """C9."""
    assert control_pb2.StatusRequest.FromString(encode_status_request("ref")).Ref == "ref"


def test_info_and_workers() -> None:
    """C11, C12."""
    info = control_pb2.InfoResponse()
    info.buildkitVersion.package, info.buildkitVersion.version = "p", "v1"
    info.buildkitVersion.revision, info.buildkitVersion.dockerfileVersion = "r", "1.20"
    read = decode_info(info.SerializeToString())
    assert (read.package, read.version, read.revision, read.dockerfile_version) == ("p", "v1", "r", "1.20")

    message = control_pb2.ListWorkersResponse()
    record = message.record.add(ID="w", Labels={"k": "v"})
    record.platforms.add(Architecture="arm", OS="linux", Variant="v7", OSFeatures=["f"])
    record.GCPolicy.add(all=True, keepDuration=2_500_000_000, filters=["a", "b"], maxUsedSpace=9)
    record.BuildkitVersion.version = "v1"
    record.CDIDevices.append(worker_pb2.CDIDevice(Name="gpu", AutoAllow=True, Annotations={"a": "b"}))
    (worker,) = decode_workers(message.SerializeToString())
    assert (worker.id, worker.labels) == ("w", {"k": "v"})
    assert worker.platforms == (Platform(os="linux", architecture="arm", variant="v7", os_features=("f",)),)
    (policy,) = worker.gc_policy
    assert (policy.all, policy.keep_duration, policy.filters, policy.max_used_space) == (
        True,
        2.5,
        ("a", "b"),
        9,
    )
    assert worker.info is not None
    assert worker.info.version == "v1"
    (device,) = worker.devices
    assert (device.name, device.auto_allow, device.annotations) == ("gpu", True, {"a": "b"})


def test_workers_request() -> None:
    request = control_pb2.ListWorkersRequest.FromString(encode_workers_request(["x", "y"]))
    assert list(request.filter) == ["x", "y"]


@pytest.mark.parametrize("cut", range(1, 8))
def test_cut_off_status_is_an_error(cut: int) -> None:
    data = control_pb2.StatusResponse(logs=[control_pb2.VertexLog(vertex="d", msg=b"x")]).SerializeToString()
    with pytest.raises(ProtoDecodeError):
        decode_status_response(data[:-cut])
