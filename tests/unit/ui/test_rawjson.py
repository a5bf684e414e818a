"""Raw JSON progress: Go's names, Go's times, Go's escapes (P4, P5)."""

from __future__ import annotations

import io
import json

from pybuildkit.events import (
    Position,
    ProgressGroup,
    Range,
    SolveStatus,
    SourceInfo,
    Vertex,
    VertexLog,
    VertexStatus,
    VertexWarning,
)
from pybuildkit.ui.rawjson import RawJSONDisplay, encode_status

AT = 1_700_000_000_123_456_000


def test_each_message_has_the_keys_of_the_go_structs() -> None:
    status = SolveStatus(
        vertexes=(Vertex("d", "a<b>&c", ("i",), AT, AT + 1, True, "e", ProgressGroup("g", "G", weak=True)),),
        statuses=(VertexStatus("id", "d", "n", 10, 0, AT, AT, None),),
        logs=(VertexLog("d", 2, b"\xff\n", AT),),
        warnings=(
            VertexWarning(
                "d", "s", 1, ("x",), "u", SourceInfo("f", b"data"), (Range(Position(1), Position(2, 3)),)
            ),
        ),
    )
    text = encode_status(status)
    assert "a\\u003cb\\u003e\\u0026c" in text
    assert json.loads(text) == {
        "vertexes": [
            {
                "digest": "d",
                "inputs": ["i"],
                "name": "a<b>&c",
                "started": "2023-11-14T22:13:20.123456Z",
                "completed": "2023-11-14T22:13:20.123456001Z",
                "cached": True,
                "error": "e",
                "progressGroup": {"id": "g", "name": "G", "weak": True},
            }
        ],
        "statuses": [
            {
                "id": "id",
                "vertex": "d",
                "name": "n",
                "total": 10,
                "current": 0,
                "timestamp": "2023-11-14T22:13:20.123456Z",
                "started": "2023-11-14T22:13:20.123456Z",
            }
        ],
        "logs": [{"vertex": "d", "stream": 2, "data": "/wo=", "timestamp": "2023-11-14T22:13:20.123456Z"}],
        "warnings": [
            {
                "vertex": "d",
                "level": 1,
                "short": "cw==",
                "detail": ["eA=="],
                "url": "u",
                "sourceInfo": {"filename": "f", "data": "ZGF0YQ=="},
                "range": [{"start": {"line": 1}, "end": {"line": 2, "character": 3}}],
            }
        ],
    }


def test_an_empty_batch_is_an_empty_object() -> None:
    assert encode_status(SolveStatus()) == "{}"


def test_times_are_moved_to_this_clock() -> None:
    """P5."""
    stream = io.StringIO()
    display = RawJSONDisplay(stream)
    display._made = AT + 5_000_000_000
    display.update(SolveStatus(vertexes=(Vertex("d", started=AT),)))
    display.update(SolveStatus(logs=(VertexLog("d", 1, b"x", AT + 1_000_000_000),)))
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["vertexes"][0]["started"] == "2023-11-14T22:13:25.123456Z"
    assert second["logs"][0]["timestamp"] == "2023-11-14T22:13:26.123456Z"
