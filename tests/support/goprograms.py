"""The Go programs of ``tools/cmd`` that tests compare with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors"


@cache
def program(name: str) -> Path:
    """Build ``tools/cmd/<name>``; without Go, the test that asks is skipped."""
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"needs Go, for tools/cmd/{name}")
    path = ROOT / ".tools" / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # Test processes run side by side, and a running program can not be written to.
    fresh = path.with_name(f".{name}.{os.getpid()}")
    subprocess.run(
        [go, "build", "-o", str(fresh), f"./cmd/{name}"], cwd=ROOT / "tools", check=True, timeout=600
    )
    fresh.replace(path)
    return path


class GraphOracle:
    """A running ``llbvectors run``: it marshals graphs with Go's client."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen([str(path), "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, graph: dict[str, Any]) -> dict[str, Any]:
        """What Go makes of a graph."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(graph).encode() + b"\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer

    def close(self) -> None:
        """End the program."""
        self._process.communicate(timeout=30)


def ask_all(path: Path, graphs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What Go makes of many graphs, in one go."""
    given = "\n".join(json.dumps(graph) for graph in graphs)
    done = subprocess.run(
        [str(path), "run"], input=given.encode(), capture_output=True, check=True, timeout=600
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
