"""Source maps: which file and lines an op comes from, so that a failing step shows them (L83, L88).

Ops made in Python remember their Python line by themselves. A frontend, which turns another language into a
graph, says with a ``SourceMap`` and the option ``location=`` where in its own input an op comes from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pybuildkit._values import dataclass, field
from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError
from pybuildkit.events import Position, Range
from pybuildkit.llb._encode import INT32_MAX, check_int, check_text
from pybuildkit.llb._encode import field as encode_field

if TYPE_CHECKING:
    from pybuildkit.llb.definitions import Definition
    from pybuildkit.llb.state import State

__all__ = ["Position", "Range", "SourceLocation", "SourceMap"]


@dataclass(frozen=True, slots=True, eq=False)
class SourceMap:
    """A source file that ops come from.

    Attributes:
        filename: its name, as errors print it.
        data: what is in it; errors show the lines around a location.
        language: its language, as GitHub calls it: ``Dockerfile``, ``Python``.
        definition: the graph that yields the file, a ``State`` or a ``Definition``; None when there is none.
    """

    filename: str
    data: bytes = b""
    language: str = ""
    definition: State | Definition | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_text(self.filename, "source map filename")
        check_text(self.language, "source map language", empty=True)
        if not isinstance(self.data, bytes):
            raise DefinitionError(f"source map data is a {type(self.data).__name__}, give bytes")

    def location(self, *ranges: Range | tuple[int, int] | int) -> SourceLocation:
        """Lines of this file, for the option ``location=``.

        Args:
            ranges: a line, a pair of first and last line, or a ``Range``; lines count from 1.

        Raises:
            DefinitionError: a range is none.
        """
        return SourceLocation(self, tuple(_as_range(r) for r in ranges))


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Places in a source file, made by ``SourceMap.location``."""

    source: SourceMap
    ranges: tuple[Range, ...]


def as_locations(value: SourceLocation | Iterable[SourceLocation]) -> tuple[SourceLocation, ...]:
    """One or many locations as a tuple.

    Raises:
        DefinitionError: something else is among them.
    """
    try:
        listed = (value,) if isinstance(value, SourceLocation) else tuple(value)
    except TypeError:
        listed = ()
    if not listed or not all(isinstance(item, SourceLocation) for item in listed):
        raise DefinitionError(f"location {value!r} is none, make it with SourceMap(...).location(line)")
    return listed


def encode_range(value: Range) -> bytes:
    """The field ``Location.ranges``."""
    body = encode_field(b"\n", _encode_position(value.start)) + encode_field(
        b"\x12", _encode_position(value.end)
    )
    return encode_field(b"\x12", body)


def _encode_position(value: Position) -> bytes:
    line = b"\x08" + varint(value.line) if value.line else b""
    return line + (b"\x10" + varint(value.character) if value.character else b"")


def _as_range(value: Range | tuple[int, int] | int) -> Range:
    if isinstance(value, Range):
        for position in (value.start, value.end):
            check_int(position.line, "line", 0, INT32_MAX)
            check_int(position.character, "character", 0, INT32_MAX)
        return value
    first, last = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    check_int(first, "line", 1, INT32_MAX)
    check_int(last, "last line", first, INT32_MAX)
    return Range(Position(first), Position(last))
