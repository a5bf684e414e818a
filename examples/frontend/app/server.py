"""What the example's image runs."""

from __future__ import annotations

import os

print(f"listening on {os.environ['PORT']}")
