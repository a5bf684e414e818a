"""What the frontend's image runs."""

from __future__ import annotations

from . import services

services.run()
