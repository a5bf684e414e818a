"""The summary of a build's warnings, as buildx prints it (P22)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybuildkit.sourcetext import excerpt

if TYPE_CHECKING:
    from pybuildkit.events import VertexWarning

__all__ = ["print_warnings"]


def print_warnings(warnings: Sequence[VertexWarning], *, debug: bool) -> None:
    """Print all warnings to stderr; in full, with the lines they are about, when ``debug``."""
    from pybuildkit.ui.colors import palette

    colours = palette() if sys.stderr.isatty() else None
    count = "1 warning found" if len(warnings) == 1 else f"{len(warnings)} warnings found"
    head = f"{count}{'' if debug else ' (use --debug to expand)'}:"
    if colours is not None:
        head = f"{colours.warning}{head}{colours.reset}"
    lines = ["", f" {head}"]
    for warning in warnings:
        lines.append(f" - {warning.short}")
        if debug:
            lines += [*warning.detail, *([f"More info: {warning.url}"] if warning.url else [])]
            if warning.source is not None:
                lines.append(excerpt(warning.source.filename, warning.source.data, warning.ranges))
            lines.append("")
    print("\n".join(lines), file=sys.stderr)
