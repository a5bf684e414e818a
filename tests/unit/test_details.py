"""Error details against Go, and what becomes of those that are not known."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit import _wire
from pybuildkit.details import (
    CompatibilityFeature,
    DecisionResponse,
    Detail,
    ExitMessage,
    FailedVertex,
    Frame,
    Frontend,
    FrontendCap,
    ProvenanceMaterialsIncomplete,
    Solve,
    SourceError,
    Stack,
    Subrequest,
    UnknownDetail,
    decode_detail,
    decode_status,
)
from pybuildkit.events import Position, Range, SourceInfo
from pybuildkit.stacks import render_stacks

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
PREFIX = "github.com/moby/buildkit/"


def load(name: str) -> Any:
    return json.loads(gzip.decompress((VECTORS / f"{name}.json.gz").read_bytes()))


def test_statuses_are_read_as_go_writes_them() -> None:
    """C50, C51, C52, C61: encoded by Go from its own types, read through Go's getters."""
    cases = load("statuses")
    assert len(cases) >= 1000
    seen = set()
    for case in cases:
        code, message, details = decode_status(base64.b64decode(case["status"]))
        assert (code, message) == (case["code"], case["message"])
        expected = case["details"] or []
        assert [plain(d) for d in details] == expected
        seen |= {e["type"] for e in expected}
    assert len(seen) == 11


def plain(detail: Detail) -> dict[str, Any]:
    """A detail in the words of the table."""
    kind = type(detail).__name__
    match detail:
        case FailedVertex(digest):
            fields: dict[str, Any] = {"digest": digest}
        case SourceError(info, (r,)):
            fields = {
                "filename": info.filename,
                "data": base64.b64encode(info.data).decode(),
                "language": info.language,
                "range": [r.start.line, r.start.character, r.end.line, r.end.character],
                "definition": base64.b64encode(info.definition).decode(),
            }
        case Frontend(name, source):
            fields = {"name": name, "source": source}
        case FrontendCap(name) | Subrequest(name):
            fields = {"name": name}
        case Solve():
            fields = {
                "input_ids": list(detail.input_ids),
                "mount_ids": list(detail.mount_ids),
                "argv": list(detail.argv),
                "description": detail.description or None,
                "file_index": detail.file_index,
                "cache_index": detail.cache_index,
            }
        case ExitMessage(code, error):
            fields = {"code": code, "error": error}
        case DecisionResponse(action, messages):
            fields = {"action": action, "messages": list(messages)}
        case CompatibilityFeature(version, feature):
            fields = {"version": version, "feature": feature}
        case ProvenanceMaterialsIncomplete(incomplete):
            fields = {
                "incomplete": [[m.op, m.name, m.method, m.uri, m.final_uri, m.reason] for m in incomplete]
            }
        case Stack():
            fields = {
                "frames": [[f.name, f.file, f.line] for f in detail.frames],
                "cmdline": list(detail.cmdline),
                "pid": detail.pid,
                "version": detail.version,
                "revision": detail.revision,
            }
        case _:
            raise AssertionError(f"{detail} was not read")
    return {"type": kind, **fields}


def test_stacks_are_printed_as_go_prints_them() -> None:
    """C60."""
    for case in load("statuses"):
        _, message, details = decode_status(base64.b64decode(case["status"]))
        stacks = [d for d in details if isinstance(d, Stack)]
        assert render_stacks(message, stacks) == case["stacks"]


def test_source_excerpts_are_printed_as_go_prints_them() -> None:
    """C54: errdefs.Source.Print; print() adds the last line end."""
    cases = load("sources")
    assert len(cases) >= 1000
    for case in cases:
        source = decode_detail(PREFIX + "errdefs.Source+json", case["json"].encode())
        assert isinstance(source, SourceError)
        text = source.render()
        assert (text + "\n" if text else "") == case["text"]


def test_a_source_says_its_first_line() -> None:
    source = SourceError(SourceInfo("f"), (Range(Position(7), Position(9)), Range(Position(3), Position(3))))
    assert (source.filename, source.line) == ("f", 3)
    assert SourceError(SourceInfo("f")).line == 0


def status(code: int, message: bytes, *details: tuple[bytes, bytes]) -> bytes:
    packed = b"".join(
        _wire.field_bytes(3, _wire.field_bytes(1, url) + _wire.field_bytes(2, value))
        for url, value in details
    )
    return _wire.field_varint(1, code) + _wire.field_bytes(2, message) + packed


def test_unknown_details_are_kept_in_their_place() -> None:
    """C61."""
    data = status(
        5,
        b"m",
        (b"type.googleapis.com/google.rpc.DebugInfo", b"\x01"),
        (b"github.com/moby/buildkit/errdefs.Vertex+json", b'{"digest":"d"}'),
        (b"github.com/moby/buildkit/errdefs.New+json", b"{}"),
    )
    assert decode_status(data) == (
        5,
        "m",
        (
            UnknownDetail("type.googleapis.com/google.rpc.DebugInfo", b"\x01"),
            FailedVertex("d"),
            UnknownDetail("github.com/moby/buildkit/errdefs.New+json", b"{}"),
        ),
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("errdefs.Vertex", b""),
        ("errdefs.Vertex", b"\xff"),
        ("errdefs.Vertex", b"[]"),
        ("errdefs.Vertex", b'{"digest":7}'),
        ("errdefs.Source", b'{"info":{"data":"%%%"}}'),
        ("errdefs.Source", b'{"ranges":[7]}'),
        ("errdefs.Source", b'{"ranges":[{"start":{"line":"x"}}]}'),
        ("errdefs.Source", b'{"info":[]}'),
        ("errdefs.Solve", b'{"op":' + b"[" * 100_000),
        ("errdefs.Solve", b'{"inputIDs":"x"}'),
        ("errdefs.Solve", b'{"inputIDs":[1]}'),
        ("errdefs.Solve", b'{"description":{"a":1}}'),
        ("gatewayapi.ExitMessage", b'{"Code":true}'),
        ("policysession.DecisionResponse", b'{"action":[]}'),
        ("policysession.DecisionResponse", b'{"action":9}'),
    ],
)
def test_what_can_not_be_read_is_kept_as_it_came(kind: str, value: bytes) -> None:
    assert decode_detail(f"{PREFIX}{kind}+json", value) == UnknownDetail(f"{PREFIX}{kind}+json", value)


def test_the_prefix_is_part_of_the_type() -> None:
    """C52."""
    assert decode_detail("errdefs.Vertex+json", b"{}") == UnknownDetail("errdefs.Vertex+json", b"{}")


def test_null_means_empty_as_in_go() -> None:
    assert decode_detail(PREFIX + "errdefs.Source+json", b'{"info":null,"ranges":[null]}') == SourceError(
        SourceInfo(""), (Range(Position(0), Position(0)),)
    )
    assert decode_detail(PREFIX + "policysession.DecisionResponse+json", b'{"action":1}') == DecisionResponse(
        "DENY"
    )


def test_an_operation_without_a_command_has_no_argv() -> None:
    assert Solve().argv == ()
    assert Solve(op={"exec": {"meta": {"args": "x"}}}).argv == ()
    assert Solve(op={"exec": {"meta": {"args": ["a", "b"]}}}).argv == ("a", "b")


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reading(data: bytes) -> None:
    """An error that can not be read must not hide the refusal it explains."""
    code, message, details = decode_status(data)
    assert isinstance(code, int)
    assert isinstance(message, str)
    assert isinstance(details, tuple)


def test_bytes_that_are_no_status_come_back_whole() -> None:
    for data in (b"\xff\xff", status(2, b"\xff")):
        assert decode_status(data) == (2, "", (UnknownDetail("google.rpc.Status", data),))


def test_details_are_hashable_values() -> None:
    stack = Stack((Frame("f", "a.go", 1),))
    details = {FailedVertex("d"), Solve(op={"exec": {}}), stack, UnknownDetail("x", b"y"), ExitMessage(1)}
    assert len(details) == 5
