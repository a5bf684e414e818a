"""The Python line that made an op: noted when the op is made, looked up when a graph is marshalled.

Noting must be cheap, as it is done for every op: it keeps the code object and the offset of the running
instruction, and no frame. Lines are then found in one pass over each code object. (``frame.f_lineno`` would
search the code from its start at every op: quadratic in the length of a script.)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType
from typing import TypeAlias

__all__ = ["Frame", "capture", "lines_of", "set_frame_capture"]

Frame: TypeAlias = tuple[CodeType, int]

_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_getframe = sys._getframe  # noqa: SLF001 - the only cheap way to a line

_enabled = True


def set_frame_capture(enabled: bool) -> bool:
    """Turn the noting of Python lines on or off for this process.

    Off, graphs are built a little faster and carry no trace of the Python files that made them; a failed step
    then says nothing of its line. Explicit locations are not affected.

    Returns:
        Whether it was on before.
    """
    global _enabled
    before, _enabled = _enabled, bool(enabled)
    return before


def capture() -> Frame | None:
    """The innermost running line outside of this package."""
    if not _enabled:
        return None
    frame = _getframe(2)
    while frame.f_code.co_filename.startswith(_PACKAGE):
        if (outer := frame.f_back) is None:
            return None
        frame = outer
    return frame.f_code, frame.f_lasti


def lines_of(code: CodeType, offsets: Iterable[int]) -> dict[int, tuple[int, int]]:
    """First and last line of what is at those offsets of a code object; offsets without a line are left out."""
    wanted = {offset // 2: offset for offset in offsets}
    found: dict[int, tuple[int, int]] = {}
    for index, (line, end, _, _) in enumerate(code.co_positions()):
        if index in wanted and line is not None:
            found[wanted[index]] = (line, end if end is not None and end >= line else line)
            if len(found) == len(wanted):
                break
    return found
