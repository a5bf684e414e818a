"""Dockerfile builds: from the options people know to what the Dockerfile frontend is told (V51 to V59)."""

from __future__ import annotations

from pybuildkit.dockerfile.request import FrontendRequest, dockerfile_request
from pybuildkit.dockerfile.resources import Resources

__all__ = ["FrontendRequest", "Resources", "dockerfile_request"]
