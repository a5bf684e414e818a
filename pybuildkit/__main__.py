"""``python -m pybuildkit``."""

from __future__ import annotations

import sys

from pybuildkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
