"""The tables that Go programs made: compressed JSON lines under ``tests/vectors``."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

from tests.support.goprograms import VECTORS


def table(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a table."""
    yield from map(json.loads, lines(name).splitlines())


def lines(name: str) -> bytes:
    """A table as its program printed it."""
    return gzip.decompress((VECTORS / f"{name}.jsonl.gz").read_bytes())
