"""The program's trace and the daemon's are one (C42, B10)."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pybuildkit import AsyncClient, tracing
from pybuildkit.testing.service import BuildkitdService

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Generator[TracerProvider]:
    """As a program would configure one."""
    made = TracerProvider(resource=Resource({"service.name": "tests"}))
    monkeypatch.setattr(tracing, "_tracer", lambda: made.get_tracer("pybuildkit"))
    yield made
    made.shutdown()


def project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM busybox\nRUN echo {folder} > /x\n")
    return folder


def spans_of(recorded: bytes) -> list[dict[str, Any]]:
    decoder, text, found = json.JSONDecoder(), recorded.decode().strip(), []
    while text:
        span, end = decoder.raw_decode(text)
        found.append(span)
        text = text[end:].lstrip()
    return found


async def test_the_daemons_spans_continue_the_programs_trace(
    buildkit: AsyncClient, provider: TracerProvider, tmp_path: Path
) -> None:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("release") as release:
        result = await buildkit.build(project(tmp_path / "context"))
    ours = trace.format_trace_id(release.get_span_context().trace_id)
    theirs = spans_of(await buildkit.history.trace(result.ref))
    assert {span["SpanContext"]["TraceID"] for span in theirs} == {ours}
    solve = next(s for s in exporter.get_finished_spans() if s.name == "moby.buildkit.v1.Control/Solve")
    context = solve.get_span_context()
    assert context is not None
    assert trace.format_span_id(context.span_id) in {span["Parent"]["SpanID"] for span in theirs}


async def test_the_programs_spans_in_the_daemons_record(
    buildkit: AsyncClient, buildkitd: BuildkitdService, provider: TracerProvider, tmp_path: Path
) -> None:
    """C3: the daemon takes spans at its own address, by OTLP; no code of ours is needed (``docs/tracing.md``)."""
    exporter = OTLPSpanExporter(endpoint=buildkitd.address, insecure=True)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("release"):
        result = await buildkit.build(project(tmp_path / "context"))
    names = {span["Name"] for span in spans_of(await buildkit.history.trace(result.ref))}
    await run_sync(provider.shutdown)
    assert {"buildkit.build", "moby.buildkit.v1.Control/Solve", "release"} <= names


async def test_the_trace_of_the_process(
    buildkit: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B9: as a CI system starts it."""
    monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    result = await buildkit.build(project(tmp_path / "context"))
    theirs = spans_of(await buildkit.history.trace(result.ref))
    assert {span["SpanContext"]["TraceID"] for span in theirs} == {"0af7651916cd43dd8448eb211c80319c"}
