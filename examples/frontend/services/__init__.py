"""A small language for images of Python services, as a BuildKit frontend. See ``service.yaml`` beside this package."""

from __future__ import annotations

from .graph import services

__all__ = ["services"]
