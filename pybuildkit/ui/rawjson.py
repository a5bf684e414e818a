"""Raw progress: one JSON object a line and batch, of the same shape as buildctl's (P4)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

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

__all__ = ["RawJSONDisplay", "encode_status"]

# Go's encoder escapes what could end a script element (T17 says the same of LLB attributes).
_GO_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


class RawJSONDisplay:
    """Writes each batch as one line of JSON.

    Args:
        stream: where to.
        rebase: move timestamps so that the first vertex starts when the display was made, as buildctl does for a
            build that runs: the daemon's clock may be another one (P5).
    """

    shows_logs = True

    def __init__(self, stream: TextIO, *, rebase: bool = True) -> None:
        self._stream = stream
        self._made = time.time_ns()
        self._shift: int | None = None if rebase else 0

    def update(self, status: SolveStatus) -> None:
        """Write one batch."""
        if self._shift is None:
            first = next((v.started for v in status.vertexes if v.started is not None), None)
            if first is not None:
                self._shift = self._made - first
        self._stream.write(encode_status(status, self._shift or 0) + "\n")
        self._stream.flush()

    def refresh(self) -> None:
        """Nothing waits to be written."""

    def done(self) -> None:
        """Nothing waits to be written."""


def encode_status(status: SolveStatus, shift: int = 0) -> str:
    """One batch as JSON; ``shift`` nanoseconds are added to every timestamp."""
    document = _present(
        vertexes=[_vertex(v, shift) for v in status.vertexes],
        statuses=[_status(s, shift) for s in status.statuses],
        logs=[_log(entry, shift) for entry in status.logs],
        warnings=[_warning(w) for w in status.warnings],
    )
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).translate(_GO_ESCAPES)


def _present(**values: Any) -> dict[str, Any]:
    """Go's omitempty: what is empty is left out."""
    return {key: value for key, value in values.items() if value not in (None, "", 0, False, [], {})}


def _time(nanoseconds: int | None, shift: int) -> str | None:
    """RFC 3339 with nanoseconds, trailing zeros dropped, as Go prints a time in UTC."""
    if nanoseconds is None:
        return None
    seconds, nanos = divmod(nanoseconds + shift, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{text}{fraction}Z"


def _group(group: ProgressGroup | None) -> Mapping[str, Any] | None:
    return None if group is None else _present(id=group.id, name=group.name, weak=group.weak)


def _vertex(vertex: Vertex, shift: int) -> dict[str, Any]:
    return _present(
        digest=vertex.digest,
        inputs=list(vertex.inputs),
        name=vertex.name,
        started=_time(vertex.started, shift),
        completed=_time(vertex.completed, shift),
        cached=vertex.cached,
        error=vertex.error,
        progressGroup=_group(vertex.progress_group),
    )


def _status(status: VertexStatus, shift: int) -> dict[str, Any]:
    document: dict[str, Any] = {"id": status.id}
    document |= _present(vertex=status.vertex, name=status.name, total=status.total)
    document["current"] = status.current
    document["timestamp"] = _time(status.timestamp, shift)
    return document | _present(started=_time(status.started, shift), completed=_time(status.completed, shift))


def _log(log: VertexLog, shift: int) -> dict[str, Any]:
    document = _present(vertex=log.vertex, stream=log.stream)
    document["data"] = base64.b64encode(log.data).decode()
    document["timestamp"] = _time(log.timestamp, shift)
    return document


def _warning(warning: VertexWarning) -> dict[str, Any]:
    return _present(
        vertex=warning.vertex,
        level=warning.level,
        short=_base64(warning.short),
        detail=[_base64(line) for line in warning.detail],
        url=warning.url,
        sourceInfo=_source(warning.source),
        range=[_range(found) for found in warning.ranges],
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _source(source: SourceInfo | None) -> dict[str, Any] | None:
    if source is None:
        return None
    return _present(
        filename=source.filename,
        data=base64.b64encode(source.data).decode(),
        language=source.language,
    )


def _range(found: Range) -> dict[str, Any]:
    return {"start": _position(found.start), "end": _position(found.end)}


def _position(position: Position) -> dict[str, Any]:
    return _present(line=position.line, character=position.character)
