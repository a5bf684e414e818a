"""The command line: one file a command, each imported only when it is used."""

from __future__ import annotations

from pybuildkit.cli.main import main, run

__all__ = ["main", "run"]
