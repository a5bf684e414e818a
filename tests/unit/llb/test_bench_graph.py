"""The graph that ``bench.llb`` measures is the same on both sides."""

from __future__ import annotations

import json
import subprocess

from bench.llb.graph import graph
from tests.support.goprograms import program


def test_both_sides_measure_the_same_graph() -> None:
    done = subprocess.run([str(program("llbbench")), "100"], check=True, capture_output=True, timeout=60)
    report = json.loads(done.stdout)
    made = graph(100).marshal(platform="linux/amd64", unique_id="bench")
    assert made.head == report["head"]
    assert sum(map(len, made.ops)) == report["bytes"]
    assert len(made) == 103
