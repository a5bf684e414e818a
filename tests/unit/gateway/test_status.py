"""Errors on their way to the daemon, read back as the daemon's own are (C50, C51, V65)."""

from __future__ import annotations

import pytest

from pybuildkit import details as d
from pybuildkit.details import decode_status
from pybuildkit.errors import BuildError, ExecError, NotFound
from pybuildkit.events import Position, Range, SourceInfo
from pybuildkit.gateway._status import encode_status
from pybuildkit.stacks import Frame, Stack

INFO = SourceInfo("Dockerfile", b"FROM x\n\xff", "Dockerfile", b"\x0a\x02op\x0a\x01p")

DETAILS = (
    d.FailedVertex("sha256:1"),
    d.SourceError(INFO, (Range(Position(1, 2), Position(3, 4)),)),
    d.Frontend("gateway.v0", "img"),
    d.FrontendCap("cap"),
    d.Subrequest("frontend.x"),
    d.Solve(("i1", ""), ("m1",), {"exec": {"meta": {"args": ["a"]}}}, 3, None, {"k": "v"}),
    d.Solve(cache_index=0),
    d.ExitMessage(7),
    d.DecisionResponse("DENY", ("because",)),
    d.CompatibilityFeature(10, "f"),
    Stack((Frame("f", "g.go", 3),), ("cmd",), 5, "v", "r"),
    d.UnknownDetail("some.url/Thing", b"\x00\x01"),
)


@pytest.mark.parametrize("detail", DETAILS, ids=lambda detail: type(detail).__name__)
def test_details_there_and_back(detail: d.Detail) -> None:
    _, _, (found,) = decode_status(encode_status(BuildError("m", details=(detail,))))
    assert found == detail


def test_code_and_text() -> None:
    error = ExecError("process failed", code="NOT_FOUND", details=DETAILS)
    code, text, found = decode_status(encode_status(error))
    assert (code, text, found) == (5, "process failed", DETAILS)
    assert decode_status(encode_status(NotFound("x", code="NOT_FOUND")))[0] == 5
    assert decode_status(encode_status(BuildError("x", code="nonsense")))[0] == 2
    assert decode_status(encode_status(BuildError("x", code="OK")))[0] == 2


def test_errors_of_the_users_own() -> None:
    assert decode_status(encode_status(ValueError("no good")))[:2] == (2, "ValueError: no good")
    assert decode_status(encode_status(KeyError()))[:2] == (2, "KeyError")
    assert decode_status(encode_status(ValueError("\udcff")))[1] == "ValueError: ?"
