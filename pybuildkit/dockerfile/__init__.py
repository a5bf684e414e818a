"""Dockerfile builds: from the options people know to what the Dockerfile frontend is told (V51 to V59)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybuildkit.dockerfile.request import FrontendRequest, dockerfile_request

if TYPE_CHECKING:
    from pybuildkit.dockerfile.resources import Resources

__all__ = ["FrontendRequest", "Resources", "dockerfile_request"]


def __getattr__(name: str) -> Any:
    if name == "Resources":  # most builds limit nothing
        from pybuildkit.dockerfile.resources import Resources

        return Resources
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
