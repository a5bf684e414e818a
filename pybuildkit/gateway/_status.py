"""Errors on their way to the daemon: a ``google.rpc.Status`` with typed details (V65, C50, C51).

What failed inside a build keeps what is known of it, so that the build's history, and whoever asked a frontend for
something, see the file's lines and the failed step.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pybuildkit import details as d
from pybuildkit._wire import fields
from pybuildkit.errors import BuildError, RPCError
from pybuildkit.events import Position
from pybuildkit.gateway import _proto as p

__all__ = ["encode_status"]

_PREFIX = "github.com/moby/buildkit/"
_UNKNOWN = 2


def encode_status(error: BaseException, extra: Iterable[d.Detail] = ()) -> bytes:
    """The status for an error, with more details beside its own."""
    code, details = _UNKNOWN, tuple(extra)
    if isinstance(error, BuildError | RPCError):
        from pybuildkit.rpc.failures import CODES

        code = CODES.index(error.code) if error.code in CODES else _UNKNOWN
        details = (*error.details, *details)
        text = _said(error)
    else:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    encoded = b"".join(p.message(3, made) for made in map(_encode_detail, details) if made)
    return p.number(1, code or _UNKNOWN) + p.text(2, _text(text)) + encoded


def _said(error: BuildError | RPCError) -> str:
    """The text without what to do about it: that is for who reads it here, and others have advice of their own."""
    remedy = getattr(error, "remedy", "")
    if not remedy or not error.message.endswith(remedy):
        return error.message
    return error.message.removesuffix(remedy).rstrip().removesuffix(";")


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def _encode_detail(detail: d.Detail) -> bytes:
    """An ``Any``; nothing for details that mean something to this side only."""
    if isinstance(detail, d.UnknownDetail):
        return p.text(1, detail.type_url) + p.blob(2, detail.value)
    writer = _WRITERS.get(type(detail))
    if writer is None:
        return b""
    name, write = writer
    value = json.dumps(write(detail), separators=(",", ":")).encode()
    return p.text(1, f"{_PREFIX}{name}+json") + p.blob(2, value)


def _source(detail: d.SourceError) -> Mapping[str, Any]:
    info: dict[str, Any] = {
        "filename": detail.info.filename,
        "data": _base64(detail.info.data),
        "language": detail.info.language,
    }
    if detail.info.definition:
        ops = [value for number, value in fields(detail.info.definition) if number == 1]
        info["definition"] = {"def": [_base64(op) for op in ops if isinstance(op, bytes)]}
    ranges = [{"start": _position(r.start), "end": _position(r.end)} for r in detail.ranges]
    return {"info": info, "ranges": ranges}


def _position(position: Position) -> Mapping[str, int]:
    return {"line": position.line, "character": position.character}


def _solve(detail: d.Solve) -> Mapping[str, Any]:
    made: dict[str, Any] = {
        "inputIDs": list(detail.input_ids),
        "mountIDs": list(detail.mount_ids),
        "op": detail.op or None,
        "description": dict(detail.description),
    }
    if detail.file_index is not None:
        made["file"] = {"index": str(detail.file_index)}
    if detail.cache_index is not None:
        made["cache"] = {"index": str(detail.cache_index)}
    return made


def _stack(detail: d.Stack) -> Mapping[str, Any]:
    return {
        "frames": [{"Name": f.name, "File": f.file, "Line": f.line} for f in detail.frames],
        "cmdline": list(detail.cmdline),
        "pid": detail.pid,
        "version": detail.version,
        "revision": detail.revision,
    }


def _decision(detail: d.DecisionResponse) -> Mapping[str, Any]:
    messages = [{"message": message} for message in detail.messages]
    return {"action": detail.action, "denyMessages": messages}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


_WRITERS: dict[type, tuple[str, Callable[[Any], Mapping[str, Any]]]] = {
    d.FailedVertex: ("errdefs.Vertex", lambda x: {"digest": x.digest}),
    d.SourceError: ("errdefs.Source", _source),
    d.Frontend: ("errdefs.Frontend", lambda x: {"name": x.name, "source": x.source}),
    d.FrontendCap: ("errdefs.FrontendCap", lambda x: {"name": x.name}),
    d.Subrequest: ("errdefs.Subrequest", lambda x: {"name": x.name}),
    d.CompatibilityFeature: (
        "errdefs.CompatibilityFeature",
        lambda x: {"version": x.version, "feature": x.feature},
    ),
    d.Solve: ("errdefs.Solve", _solve),
    d.ExitMessage: ("gatewayapi.ExitMessage", lambda x: {"Code": x.code}),
    d.DecisionResponse: ("policysession.DecisionResponse", _decision),
    d.Stack: ("stack.Stack", _stack),
}
