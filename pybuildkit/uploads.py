"""Streams that builds read as if they were behind a URL (S89)."""

from __future__ import annotations

from pybuildkit.session.upload import Uploads, UploadSource

__all__ = ["UploadSource", "Uploads"]
