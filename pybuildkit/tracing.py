"""OpenTelemetry (C42, B9): spans for builds and calls, and their context for the daemon.

Nothing is to be set up here. A program that has imported ``opentelemetry.trace`` gets spans by whatever provider it has
configured, and the daemon's spans continue its trace. Where it has not, this library does not import it either; the trace
that ``$TRACEPARENT`` names is then handed on to the daemon as it is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

__all__ = ["Traced", "trace_headers", "traced_build", "traced_call"]

_TRACEPARENT = r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"


class Traced:
    """What is recorded of something that is under way; does nothing where nobody listens."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    def headers(self) -> list[tuple[str, str]]:
        """The metadata by which the daemon's spans become part of it; see ``trace_headers``."""
        if self._span is None:
            return trace_headers()
        from opentelemetry import trace

        return _injected(trace.set_span_in_context(self._span))

    def failed(self, error: BaseException) -> None:
        """It has failed."""
        if self._span is not None and self._span.is_recording():
            from opentelemetry.trace import StatusCode

            self._span.record_exception(error)
            self._span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")

    def end(self) -> None:
        """It is over."""
        if self._span is not None:
            self._span.end()


_NOBODY = Traced()


def trace_headers() -> list[tuple[str, str]]:
    """The metadata by which the daemon's spans continue the current trace: W3C's, or what the program has configured."""
    return _injected(_context()) if _active() else list(_inherited().items())


def traced_call(method: str, address: str) -> Traced:
    """A call of the daemon; it is no parent of others."""
    if not _active():
        return _NOBODY
    from opentelemetry.trace import SpanKind

    service, _, name = method.strip("/").rpartition("/")
    attributes = {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": name,
        "server.address": address,
    }
    return Traced(_tracer().start_span(method.strip("/"), _context(), SpanKind.CLIENT, attributes))


@contextmanager
def traced_build(ref: str, frontend: str, address: str) -> Generator[Traced]:
    """A build, of which all calls within the block are part. None of its arguments is recorded: they may be secret."""
    if not _active():
        yield _NOBODY
        return
    attributes = {"buildkit.ref": ref, "buildkit.frontend": frontend or "llb", "server.address": address}
    with _tracer().start_as_current_span(
        "buildkit.build",
        _context(),
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield Traced(span)


def _injected(context: Context | None) -> list[tuple[str, str]]:
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=context)
    return [(key.lower(), value) for key, value in carrier.items()]


def _active() -> bool:
    return "opentelemetry.trace" in sys.modules


def _tracer() -> Tracer:
    from opentelemetry import trace

    from pybuildkit._version import __version__

    return trace.get_tracer("pybuildkit", __version__)


def _context() -> Context | None:
    """The trace that the process was started in, where the program is in none of its own; None for the current one."""
    from opentelemetry import propagate, trace

    if trace.get_current_span().get_span_context().is_valid:
        return None
    inherited = _inherited()
    return propagate.extract(inherited) if inherited else None


def _inherited() -> Mapping[str, str]:
    """What the process was told of the trace it is part of."""
    parent = os.environ.get("TRACEPARENT", "")
    if not re.fullmatch(_TRACEPARENT, parent):
        return {}
    state = os.environ.get("TRACESTATE", "")
    if state and state.isascii() and state.isprintable():
        return {"traceparent": parent, "tracestate": state}
    return {"traceparent": parent}
