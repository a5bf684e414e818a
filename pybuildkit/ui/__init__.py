"""Displays of progress. They know only the values of ``pybuildkit.events``."""

from __future__ import annotations

from pybuildkit.ui.display import MODES, Display, open_display

__all__ = ["MODES", "Display", "open_display"]
