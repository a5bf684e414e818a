"""Where in a file something stands, as answers say it, and the reading of answers."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pybuildkit._json import Malformed, items, number, string, struct
from pybuildkit._values import dataclass
from pybuildkit.errors import RPCError
from pybuildkit.events import Position, Range, SourceInfo
from pybuildkit.sourcetext import excerpt

__all__ = ["Place", "columns", "data_of", "lines_of", "place_of", "read", "source_of"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Lines of a file.

    Attributes:
        index: which of the answer's files; below 0 for none.
        ranges: the lines, counted from 1.
    """

    index: int
    ranges: tuple[Range, ...] = ()

    @property
    def line(self) -> int:
        """The first line, counted from 1; 0 when none is known."""
        return self.ranges[0].start.line if self.ranges else 0


def read(document: str, what: str, reader: Callable[[Any], T]) -> T:
    """Read an answer's JSON.

    Raises:
        RPCError: it is not what was expected.
    """
    try:
        return reader(json.loads(document))
    except (ValueError, RecursionError, AttributeError) as exc:
        raise RPCError(f"the frontend's answer to {what} can not be read: {exc}", code="INTERNAL") from exc


def place_of(fields: Mapping[str, Any], key: str = "location") -> Place | None:
    """A ``pb.Location``, None when there is none."""
    if fields.get(key) is None:
        return None
    location = struct(fields, key)
    ranges = tuple(Range(_position(r, "start"), _position(r, "end")) for r in items(location, "ranges"))
    return Place(number(location, "sourceIndex"), ranges)


def _position(fields: Mapping[str, Any], key: str) -> Position:
    found = struct(fields, key)
    return Position(number(found, "line"), number(found, "character"))


def data_of(text: str) -> bytes:
    """Bytes as JSON has them."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Malformed("a file's content") from None


def source_of(fields: Mapping[str, Any]) -> SourceInfo:
    """A ``pb.SourceInfo``, without its definition."""
    return SourceInfo(string(fields, "filename"), data_of(string(fields, "data")), string(fields, "language"))


def lines_of(place: Place | None, sources: Sequence[SourceInfo], filename: str = "") -> str:
    """The lines of a place with some around them, to be printed; empty when there are none to show."""
    if place is None or not 0 <= place.index < len(sources):
        return ""
    source = sources[place.index]
    found = excerpt(filename or source.filename, source.data, place.ranges)
    return f"{found}\n" if found else ""


def columns(rows: Sequence[Sequence[str]], padding: int) -> str:
    """Rows of cells, each column as wide as its widest cell and some blanks; the last one as it is."""
    widths = [max(len(cell) for cell in column) + padding for column in zip(*rows, strict=True)][:-1]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("".join([*cells, row[-1]]) + "\n")
    return "".join(lines)
