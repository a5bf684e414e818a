"""Templates, columns, durations, sizes and times against Go, over the table of ``tools/cmd/clivectors``."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.cli import goviews
from pybuildkit.cli.formats import fixed_size, shortest_size
from pybuildkit.cli.gotime import Duration, Time, parse_duration
from pybuildkit.cli.tabwriter import aligned
from pybuildkit.cli.template import parse_format
from pybuildkit.control.history import decode_event
from pybuildkit.control.usage import decode_disk_usage
from pybuildkit.control.workers import decode_info, decode_workers
from pybuildkit.errors import ConfigError
from tests.support.goprograms import VECTORS, program

TABLE = VECTORS / "cli.json.gz"
CASES = json.loads(gzip.decompress(TABLE.read_bytes()))


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    messages = {name: base64.b64decode(text) for name, text in CASES["messages"].items()}
    records = decode_disk_usage(messages["usage"])
    return {
        "usages": goviews.usage_list_view(records),
        "usage": goviews.usage_view(records[1]),
        "info": goviews.info_view(decode_info(messages["info"])),
        "workers": goviews.workers_view(decode_workers(messages["workers"])),
        "event": goviews.event_view(decode_event(messages["event"])),
        "started": goviews.event_view(decode_event(messages["started"])),
    }


def test_templates(values: dict[str, Any]) -> None:
    """B47."""
    assert len(CASES["templates"]) > 150
    wrong = []
    for case in CASES["templates"]:
        try:
            out = parse_format(case["template"]).render(values[case["data"]])
        except ConfigError:
            out = None
        if out != (case["out"] if case["ok"] else None):
            wrong.append((case["data"], case["template"], case["out"] if case["ok"] else None, out))
    assert wrong == []


def test_columns() -> None:
    """``text/tabwriter`` as buildctl sets it up for lists, and for info."""
    for case in CASES["columns"]:
        assert aligned(case["lines"]) == case["tabs"]
        assert aligned(case["lines"], min_width=0, tab_width=0, pad=" ") == case["blanks"]


def test_durations() -> None:
    for case in CASES["durations"]:
        assert str(Duration(case["value"])) == case["text"]


@pytest.mark.parametrize("case", CASES["parsed"], ids=lambda case: case["text"] or "empty")
def test_durations_are_read(case: dict[str, Any]) -> None:
    if not case["ok"]:
        with pytest.raises(ConfigError, match="--keep-duration"):
            parse_duration(case["text"], "--keep-duration")
        return
    seconds = parse_duration(case["text"], "--keep-duration")
    assert seconds == pytest.approx(case["ns"] / 1e9)


def test_sizes() -> None:
    """P21."""
    for case in CASES["sizes"]:
        assert (fixed_size(case["value"]), shortest_size(case["value"])) == (case["text"], case["shortest"])


def test_times() -> None:
    for case in CASES["times"]:
        time = Time(case["value"])
        assert (str(time), time.rfc3339()) == (case["text"], case["shortest"])


@pytest.mark.slow
def test_the_table_is_what_the_generator_writes(tmp_path: Path) -> None:
    fresh = tmp_path / "cli.json.gz"
    subprocess.run([program("clivectors"), str(fresh)], check=True, timeout=100)
    assert gzip.decompress(fresh.read_bytes()) == gzip.decompress(TABLE.read_bytes())
