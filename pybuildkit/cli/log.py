"""Warnings of our own, in the way ``--log-format`` says (B3)."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO

__all__ = ["show_warnings", "warn"]


class _Style:
    """How warnings are written; set once, when the arguments have been read."""

    json = False


def show_warnings(log_format: str) -> None:
    """Show warnings, the library's too, as lines for people or as JSON objects."""
    _Style.json = log_format == "json"
    warnings.showwarning = _show
    warnings.simplefilter("always", UserWarning)


def warn(text: str) -> None:
    """Print a warning to stderr."""
    if not _Style.json:
        print(f"warning: {text}", file=sys.stderr)
        return
    import json
    from datetime import UTC, datetime

    stamp = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    print(json.dumps({"level": "warning", "msg": text, "time": stamp}), file=sys.stderr)


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    warn(str(message))
