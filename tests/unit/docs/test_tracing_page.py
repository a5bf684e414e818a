"""``docs/tracing.md``: its examples are Python, and it names what is recorded."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from opentelemetry.sdk.trace.export import SpanExporter

from pybuildkit import tracing

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "tracing.md").read_text()


def test_the_examples_run() -> None:
    namespace: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/tracing.md", "exec"), namespace)
    to_the_daemon = namespace["to_the_daemon"]
    assert callable(to_the_daemon)
    exporter = to_the_daemon("unix:///nowhere/buildkitd.sock")
    assert isinstance(exporter, SpanExporter)
    exporter.shutdown()


def test_every_attribute_is_named() -> None:
    recorded = re.findall(r'"((?:rpc|server|buildkit)\.[a-z]+)"', inspect.getsource(tracing))
    assert recorded
    for name in recorded:
        assert f"`{name}`" in PAGE
