"""``python -m pybuildkit``."""

from __future__ import annotations

from pybuildkit.cli import run

if __name__ == "__main__":
    run()
