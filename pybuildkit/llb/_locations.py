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
        self._places: dict[str, list[Frame | SourceLocation]] = {}
        self._maps: dict[SourceMap, SourceInfo] = {}
        # In the order of their first use, which is the order of the table: an op may get places after a later one.
        self._files: dict[SourceMap | str, None] = {}

    def add(self, digest: str, locations: Iterable[SourceLocation]) -> None:
        """Note where an op comes from; an op without a place is noted too."""
        places = self._places.setdefault(digest, [])
        for location in locations:
            self._files.setdefault(location.source)
            places.append(location)

    def add_frame(self, digest: str, frame: Frame | None) -> None:
        """Note the Python line that made an op."""
        places = self._places.setdefault(digest, [])
        if frame is not None and frame not in places:
            self._files.setdefault(frame[0].co_filename)
            places.append(frame)

    def build(self, m: Marshaler) -> SourceTable:
        """The table of files and places."""
        lines = self._python_lines()
        files = _PythonFiles()
        # A file is known by its content, a Python file by its path until all of its lines are known.
        keys = {file: file if isinstance(file, str) else self._info(file, m) for file in self._files}
        known = {code.co_filename for code, _ in lines}
        numbers: dict[SourceInfo | str, int] = {}
        for file in keys.values():
            if isinstance(file, SourceInfo) or file in known:
                numbers.setdefault(file, len(numbers))
        encoded: dict[str, bytes] = {}
        for digest, places in self._places.items():
            out = []
            for place in places:
                key: SourceInfo | str
                if isinstance(place, SourceLocation):
                    key, ranges = keys[place.source], place.ranges
                else:
                    line = lines.get(place)
                    if line is None:
                        continue
                    key = place[0].co_filename
                    files.add(key, *line)
                    ranges = (Range(Position(line[0]), Position(line[1])),)
                number = numbers[key]
                body = b"\x08" + varint(number) if number else b""
                out.append(field(b"\n", body + b"".join([encode_range(r) for r in ranges])))
            encoded[digest] = b"".join(out)
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

    def _python_lines(self) -> dict[Frame, tuple[int, int]]:
        offsets: dict[CodeType, set[int]] = {}
        for places in self._places.values():
            for place in places:
                if not isinstance(place, SourceLocation):
                    offsets.setdefault(place[0], set()).add(place[1])
        return {
            (code, offset): line
            for code, wanted in offsets.items()
            for offset, line in lines_of(code, wanted).items()
        }


class _PythonFiles:
    """Python files of a definition, of which only what errors can show is sent."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, set[int]] = {}

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
