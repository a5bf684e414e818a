"""Build records as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybuildkit.cli.gotime import local_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pybuildkit.history import HistoryEvent, HistoryRecord

__all__ = ["in_daemons_order", "record_row"]


def in_daemons_order(records: Iterable[HistoryRecord]) -> list[HistoryRecord]:
    """Records in the order in which the daemon has them, and buildctl prints them: running ones, then by ref."""
    return sorted(records, key=lambda record: (record.completed_ns is not None, record.ref))


def record_row(event: HistoryEvent, *, pinned: bool) -> str:
    """A record as buildctl lists it; with the mark of pinned ones at the end, or without."""
    record = event.record
    cells = [
        event.type.upper(),
        record.ref,
        local_rfc3339(record.created_ns),
        local_rfc3339(record.completed_ns),
        str(record.generation),
    ]
    if pinned:
        cells.append("*" if record.pinned else "")
    return "\t".join(cells)
