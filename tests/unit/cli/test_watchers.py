"""Who else looks at a build: cache metrics, trace files, several displays."""

from __future__ import annotations

import io
import json
import stat
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from pybuildkit.cli.watchers import CacheMetrics, Several, metrics_stream, trace_display
from pybuildkit.errors import ConfigError
from pybuildkit.events import SolveStatus, Vertex
from pybuildkit.ui.display import QuietDisplay
from pybuildkit.ui.plain import PlainDisplay


def test_cache_metrics() -> None:
    """B33: which steps count, and which were missed."""
    metrics = CacheMetrics()
    metrics.update(
        SolveStatus(
            (
                Vertex("i", "[internal] load build definition from Dockerfile", completed=1),
                Vertex("f", "[1/3] FROM busybox", started=1),
                Vertex("a", "[2/3] RUN a"),
                Vertex("b", "[3/3] RUN b"),
                Vertex("e", "exporting to image", completed=1),
                Vertex("u", "[auth] x"),
                Vertex("c", "importing cache manifest from x"),
            )
        )
    )
    metrics.update(SolveStatus((Vertex("a", "[2/3] RUN a", started=1, completed=2, cached=True),)))
    metrics.update(SolveStatus((Vertex("b", "[3/3] RUN b", started=1, completed=2),)))
    metrics.refresh()
    metrics.done()
    out = io.StringIO()
    metrics.report(out)
    *missed, sums = out.getvalue().splitlines()
    assert missed == ["cache miss: [3/3] RUN b"]
    found = json.loads(sums)
    assert found.pop("client_duration_ms") >= 0
    assert found == {
        "total": 7,
        "completed": 4,
        "user_total": 3,
        "user_cached": 1,
        "user_completed": 2,
        "user_cacheable": 2,
        "from": 1,
        "miss": 1,
    }


def test_several_displays_are_fed_alike() -> None:
    first, second = io.StringIO(), io.StringIO()
    several = Several([PlainDisplay(first), PlainDisplay(second)])
    several.update(SolveStatus((Vertex("a", "A", started=1, completed=2),)))
    several.refresh()
    several.done()
    assert first.getvalue() == second.getvalue() == "#1 A\n#1 DONE 0.0s\n"
    assert several.shows_logs
    assert not Several([QuietDisplay(), CacheMetrics()]).shows_logs


def test_a_trace_file_is_the_owners_and_grows(tmp_path: Path) -> None:
    """B19."""
    path = tmp_path / "trace"
    for _ in range(2):
        with ExitStack() as stack:
            trace_display(str(path), stack).update(SolveStatus((Vertex("d"),)))
    assert path.read_text() == '{"vertexes":[{"digest":"d"}]}\n' * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with ExitStack() as stack, pytest.raises(ConfigError, match=r"--trace .*none/x"):
        trace_display(str(tmp_path / "none" / "x"), stack)


def test_where_metrics_go(tmp_path: Path) -> None:
    with ExitStack() as stack:
        assert metrics_stream("stdout", stack) is sys.stdout
        assert metrics_stream("stderr", stack) is sys.stderr
        path = tmp_path / "metrics"
        path.write_text("old")
        metrics_stream(str(path), stack).write("new")
    assert path.read_text() == "new"
