"""The small Go programs of ``tools/cmd``, built when Go is there, and the tables they made."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "tests" / "vectors"

GO = shutil.which("go") or shutil.which("go", path=ROOT / ".tools" / "bin")

needs_go = pytest.mark.skipif(GO is None, reason="needs Go, the oracle")


@cache
def go_tool(name: str) -> Path:
    """The built program; Go's cache makes the second time quick."""
    target = ROOT / ".tools" / "test" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{name}.{os.getpid()}")
    assert GO is not None
    subprocess.run([GO, "build", "-o", fresh, f"./cmd/{name}"], cwd=ROOT / "tools", check=True, timeout=600)
    fresh.replace(target)
    return target


def table(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a committed table."""
    yield from map(json.loads, committed(name).splitlines())


def committed(name: str) -> bytes:
    return gzip.decompress((VECTORS / f"{name}.jsonl.gz").read_bytes())
