"""OpenTelemetry: what is recorded, what the daemon is told, and that nobody is bothered who does not use it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from pybuildkit import tracing
from pybuildkit.build import run_build
from pybuildkit.errors import BuildError, RPCError
from pybuildkit.rpc.channel import Channel, Metadata
from pybuildkit.rpc.traced import TracedChannel, traced_carrier
from tests.unit.test_build import FakeChannel, FakePlan, answer, forever, three

pytestmark = pytest.mark.anyio

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Spans = dict[str, ReadableSpan]


class Listening:
    """What a program has configured, and what came of it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")
        self.provider = provider

    @property
    def spans(self) -> Spans:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Generator[Listening]:
    made = Listening()
    monkeypatch.setattr(tracing, "_tracer", lambda: made.tracer)
    yield made
    made.provider.shutdown()


class Recording:
    """A channel that remembers metadata, and may fail."""

    address = "unix:///there"

    def __init__(self, error: Exception | None = None) -> None:
        self.metadata: dict[str, str] = {}
        self._error = error

    async def unary(self, method: str, request: bytes = b"", *, metadata: Metadata = (), **_: Any) -> bytes:
        self.metadata = dict(metadata)
        if self._error is not None:
            raise self._error
        return b"answer"

    def server_stream(self, method: str, request: bytes = b"", *, metadata: Metadata = ()) -> Any:
        self.metadata = dict(metadata)
        return self._stream()

    duplex = server_stream

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[Recording]:
        yield self


def traced(channel: Recording) -> TracedChannel:
    return TracedChannel(cast("Channel", channel))


def parent_of(header: str) -> tuple[str, str]:
    _, trace_id, span_id, _ = header.split("-")
    return trace_id, span_id


def ids(span: ReadableSpan) -> tuple[str, str]:
    found = span.get_span_context()
    assert found is not None
    return trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id)


async def test_a_call_is_a_span_and_the_daemons_parent(listening: Listening) -> None:
    channel = Recording()
    with listening.tracer.start_as_current_span("mine") as mine:
        token = context.attach(baggage.set_baggage("colour", "blue"))
        try:
            await traced(channel).unary("/a.b.C/Do", metadata=[("x", "y")])
        finally:
            context.detach(token)
    span = listening.spans["a.b.C/Do"]
    assert span.kind is SpanKind.CLIENT
    assert span.parent is not None
    assert span.parent.span_id == mine.get_span_context().span_id
    assert dict(span.attributes or {}) == {
        "rpc.system": "grpc",
        "rpc.service": "a.b.C",
        "rpc.method": "Do",
        "server.address": "unix:///there",
    }
    assert parent_of(channel.metadata["traceparent"]) == ids(span)
    assert channel.metadata["baggage"] == "colour=blue"
    assert channel.metadata["x"] == "y"


async def test_streams_are_spans_as_long_as_they_are_open(listening: Listening) -> None:
    channel = Recording()
    async with traced(channel).server_stream("/S/Server"):
        assert not listening.spans
        assert "traceparent" in channel.metadata
    async with traced(channel).duplex("/S/Both"):
        pass
    assert set(listening.spans) == {"S/Server", "S/Both"}


async def test_a_call_that_fails(listening: Listening) -> None:
    with pytest.raises(RPCError):
        await traced(Recording(RPCError("no such thing", code="NOT_FOUND"))).unary("/S/Do")
    span = listening.spans["S/Do"]
    assert span.status.status_code is StatusCode.ERROR
    assert "no such thing" in (span.status.description or "")
    assert span.events[0].name == "exception"


async def test_a_build_holds_its_calls(listening: Listening) -> None:
    """And says nothing of its arguments."""
    channel = FakeChannel(answer, three)
    async with run_build(TracedChannel(cast("Channel", channel)), FakePlan(), watched=False) as build:
        await build.result()
    spans = listening.spans
    whole = spans["buildkit.build"]
    assert dict(whole.attributes or {}) == {
        "buildkit.ref": "ref1",
        "buildkit.frontend": "f",
        "server.address": "fake://",
    }
    for name in ("moby.buildkit.v1.Control/Solve", "moby.buildkit.v1.Control/Status"):
        parent = spans[name].parent
        assert parent is not None
        assert trace.format_span_id(parent.span_id) == ids(whole)[1]
    assert whole.status.status_code is StatusCode.UNSET


async def test_a_build_that_fails(listening: Listening) -> None:
    async def fails() -> bytes:
        raise RPCError("it broke", code="UNKNOWN")

    async with run_build(cast("Channel", FakeChannel(fails, three)), FakePlan(), watched=False) as build:
        with pytest.raises(BuildError):
            await build.result()
    assert listening.spans["buildkit.build"].status.status_code is StatusCode.ERROR


async def test_a_build_that_is_cancelled(listening: Listening) -> None:
    with anyio.move_on_after(0.1):
        async with run_build(
            cast("Channel", FakeChannel(forever, three)), FakePlan(), watched=False
        ) as build:
            await build.result()
    assert listening.spans["buildkit.build"].status.status_code is StatusCode.ERROR


async def test_the_trace_that_the_process_was_started_in(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B9: it is the parent where the program is in no trace of its own."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    await traced(Recording()).unary("/S/Do")
    assert ids(listening.spans["S/Do"])[0] == parent_of(PARENT)[0]
    listening.exporter.clear()
    with listening.tracer.start_as_current_span("mine") as mine:
        await traced(Recording()).unary("/S/Do")
    assert ids(listening.spans["S/Do"])[0] == trace.format_trace_id(mine.get_span_context().trace_id)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that does not import OpenTelemetry."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")


@pytest.mark.parametrize(
    ("environ", "headers"),
    [
        ({}, {}),
        ({"TRACEPARENT": PARENT}, {"traceparent": PARENT}),
        ({"TRACEPARENT": PARENT, "TRACESTATE": "a=b"}, {"traceparent": PARENT, "tracestate": "a=b"}),
        ({"TRACEPARENT": PARENT, "TRACESTATE": "a\nb"}, {"traceparent": PARENT}),
        ({"TRACEPARENT": "nonsense", "TRACESTATE": "a=b"}, {}),
    ],
)
async def test_without_opentelemetry(
    without: None, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], headers: dict[str, str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    channel = Recording()
    assert await traced(channel).unary("/S/Do") == b"answer"
    assert channel.metadata == headers
    seen: list[Metadata] = []
    traced_carrier(cast("Any", seen.append))([("a", "b")])
    assert dict(seen[0]) == {"a": "b", **headers}
    with tracing.traced_build("r", "", "a") as build:
        build.failed(RuntimeError())


def test_it_is_not_imported_for_whoever_does_not_use_it() -> None:
    code = "import sys, pybuildkit.client, pybuildkit.build, pybuildkit.rpc.traced; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
