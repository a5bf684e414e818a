"""An excerpt of a source file around the lines to blame, as BuildKit's own tools print it (C54)."""

from __future__ import annotations

from collections.abc import Sequence

from pybuildkit.events import Range

__all__ = ["excerpt"]

_RULER = "-" * 20


def excerpt(filename: str, data: bytes, ranges: Sequence[Range]) -> str:
    """The excerpt, without a line end at the end; empty when no line of the file is to blame."""
    lines = data.decode(errors="replace").split("\n")
    if not ranges:
        return ""
    spans = [(r.start.line, max(r.start.line, r.end.line)) for r in ranges]
    blamed, end = min(s for s, _ in spans), max(0, *(e for _, e in spans))
    if not 1 <= blamed <= len(lines):
        return ""
    first, last = _padded(blamed, min(end, len(lines)), len(lines))
    rows = [f"{filename}:{blamed}", _RULER]
    for number in range(first, last + 1):
        mark = ">>>" if any(start <= number <= stop for start, stop in spans) else "   "
        rows.append(f" {number:3} | {mark} {lines[number - 1]}")
    return "\n".join([*rows, _RULER])


def _padded(start: int, end: int, total: int) -> tuple[int, int]:
    """More lines around: four steps for a single line, two else.

    Each takes one line above and one below where there is one. A step that finds a line on both sides counts as three: that is how much the tools show.
    """
    steps, done = (4 if start == end else 2), 0
    while done < steps:
        if start > 1:
            start -= 1
            done += 1
        if end != total:
            end += 1
            done += 1
        done += 1
    return start, end
