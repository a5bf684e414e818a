"""Collecting source locations in a marshal, and the bytes of ``Definition.Source`` (§3.7 item 7)."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterable
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING

from pybuildkit._wire import varint
from pybuildkit.events import Position, Range, SourceInfo
from pybuildkit.llb._encode import field
from pybuildkit.llb._frames import Frame, lines_of
from pybuildkit.llb.definitions import Definition, SourceTable
from pybuildkit.llb.sourcemap import SourceLocation, SourceMap, encode_range

if TYPE_CHECKING:
    from pybuildkit.llb.marshal import Marshaler

_AROUND = 5
"""Lines of a Python file that are sent around each line that made an op: errors show four."""


class Locations:
    """The places of all ops of a definition."""

    __slots__ = ("_files", "_maps", "_places")

    def __init__(self) -> None:
        self._places: dict[str, tuple[Frame | SourceLocation, ...]] = {}
        self._maps: dict[SourceMap, SourceInfo] = {}
        # In the order of their first use, which is the order of the table: an op may get places after a later
        # one.
        self._files: dict[SourceMap | str, None] = {}

    def add(self, digest: str, locations: Iterable[SourceLocation]) -> None:
        """Note where an op comes from; an op without a place is noted too."""
        self._places[digest] = (*self._places.get(digest, ()), *locations)
        for location in locations:
            self._files.setdefault(location.source)

    def add_frame(self, digest: str, frame: Frame | None) -> None:
        """Note the Python line that made an op."""
        places = self._places.setdefault(digest, ())
        if frame is not None and frame not in places:
            self._places[digest] = (*places, frame)
            self._files.setdefault(frame[0].co_filename)

    def build(self, m: Marshaler) -> SourceTable:
        """The table of files and places."""
        lines = self._python_lines()
        # A file is known by its content, a Python file by its path until all of its lines are known.
        keys = {file: file if isinstance(file, str) else self._info(file, m) for file in self._files}
        files = _PythonFiles()
        for filename, first, last in lines.values():
            files.add(filename, first, last)
        numbers: dict[SourceInfo | str, int] = {}
        for key in keys.values():
            if isinstance(key, SourceInfo) or key in files:
                numbers.setdefault(key, len(numbers))
        # Ops that a loop makes have one place, so each is encoded once.
        frames = {
            place: _encode(numbers[filename], [Range(Position(first), Position(last))])
            for place, (filename, first, last) in lines.items()
        }
        encoded: dict[str, bytes] = {}
        for digest, places in self._places.items():
            encoded[digest] = b"".join(
                [
                    _encode(numbers[keys[place.source]], place.ranges)
                    if isinstance(place, SourceLocation)
                    else frames.get((id(place[0]), place[1]), b"")
                    for place in places
                ]
            )
        infos = [key if isinstance(key, SourceInfo) else files.info(key) for key in numbers]
        return SourceTable(tuple(infos), encoded)

    def _info(self, source: SourceMap, m: Marshaler) -> SourceInfo:
        info = self._maps.get(source)
        if info is None:
            definition = source.definition
            encoded = b""
            if definition is not None:
                made = definition if isinstance(definition, Definition) else m.nested(definition)
                encoded = made.to_bytes()
            info = self._maps[source] = SourceInfo(source.filename, source.data, source.language, encoded)
        return info

    def _python_lines(self) -> dict[tuple[int, int], tuple[str, int, int]]:
        """File, first and last line by code object and offset, for all that have a line."""
        # By id: a code object's hash is computed from all of its constants, every time.
        codes: dict[int, tuple[CodeType, set[int]]] = {}
        for places in self._places.values():
            for place in places:
                if not isinstance(place, SourceLocation):
                    code, offset = place
                    if id(code) not in codes:
                        codes[id(code)] = (code, set())
                    codes[id(code)][1].add(offset)
        return {
            (number, offset): (code.co_filename, *line)
            for number, (code, wanted) in codes.items()
            for offset, line in lines_of(code, wanted).items()
        }


def _encode(file: int, ranges: Iterable[Range]) -> bytes:
    """The field ``Locations.locations``."""
    body = b"\x08" + varint(file) if file else b""
    return field(b"\n", body + b"".join([encode_range(r) for r in ranges]))


class _PythonFiles:
    """Python files of a definition, of which only what errors can show is sent."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, set[int]] = {}

    def __contains__(self, filename: object) -> bool:
        return filename in self._lines

    def add(self, filename: str, first: int, last: int) -> None:
        self._lines.setdefault(filename, set()).update(range(first - _AROUND, last + _AROUND + 1))

    def info(self, filename: str) -> SourceInfo:
        """The file with the lines around its places; other lines are there, and empty, so that numbers fit."""
        wanted = self._lines[filename]
        text = linecache.getlines(filename)
        kept = [line.rstrip("\r\n") if n in wanted else "" for n, line in enumerate(text[: max(wanted)], 1)]
        data = "\n".join(kept).encode(errors="replace")
        return SourceInfo(_display_name(filename), data, "Python")


def _display_name(filename: str) -> str:
    """A path below the current directory is shown from there, as compilers do."""
    try:
        here = str(Path.cwd()) + os.sep
    except OSError:
        return filename
    return filename.removeprefix(here)
