"""For tests: daemons, registries and base images that need no network.

This package imports nothing by itself: the pytest plugin is loaded in every pytest run of whoever has
pybuildkit installed. Import what you need from its modules.

- ``pybuildkit.testing.pytest_plugin``: the fixtures ``buildkitd``, ``buildkit`` and ``buildkit_client``
- ``pybuildkit.testing.container``: ``BuildkitContainer``, on testcontainers
- ``pybuildkit.testing.registry``: ``Registry``, a registry on loopback
- ``run_frontend``, ``open_frontend``: frontends in Python, run without an image of them
- ``pybuildkit.testing.images``, ``pybuildkit.testing.push``: images made on the spot, and their way into it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybuildkit.testing.frontends import open_frontend as open_frontend
    from pybuildkit.testing.frontends import run_frontend as run_frontend

__all__ = ["open_frontend", "run_frontend"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'pybuildkit.testing' has no attribute {name!r}")
    from pybuildkit.testing import frontends

    return getattr(frontends, name)
