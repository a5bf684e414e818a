"""Go's ``text/tabwriter``: columns that line up, as BuildKit's tools print them."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["aligned"]


def aligned(lines: Iterable[str], *, min_width: int = 1, tab_width: int = 8, pad: str = "\t") -> str:
    """Lines whose cells end in tabs, with the cells of a column made equally wide.

    A column is a run of lines that have such a cell in its place; what is behind the last tab of a line belongs to none.

    Args:
        lines: without line ends.
        min_width: of a column.
        tab_width: what columns are rounded up to when they are filled with tabs.
        pad: a tab or a blank, to fill columns with.
    """
    rows = [line.split("\t") for line in lines]
    widths: list[list[int]] = [[] for _ in rows]
    _measure(rows, widths, 0, len(rows), 0, min_width)
    return "".join(
        _row(cells, width, tab_width, pad) + "\n" for cells, width in zip(rows, widths, strict=True)
    )


def _measure(
    rows: list[list[str]], widths: list[list[int]], start: int, end: int, column: int, min_width: int
) -> None:
    """Find the widths of a column and of those right of it, for a run of lines."""
    line = start
    while line < end:
        first = line
        while line < end and column < len(rows[line]) - 1:
            line += 1
        if line > first:
            width = max(min_width, *(len(cells[column]) + 1 for cells in rows[first:line]))
            for number in range(first, line):
                widths[number].append(width)
            _measure(rows, widths, first, line, column + 1, min_width)
        else:
            line += 1


def _row(cells: list[str], widths: list[int], tab_width: int, pad: str) -> str:
    out: list[str] = []
    for number, cell in enumerate(cells):
        out.append(cell)
        if number < len(widths):
            missing = widths[number] - len(cell)
            if pad == "\t":
                whole = -(-widths[number] // tab_width) * tab_width
                out.append("\t" * -(-(whole - len(cell)) // tab_width))
            else:
                out.append(pad * missing)
    return "".join(out)
