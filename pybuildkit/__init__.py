"""A pure-Python client for BuildKit: graphs, solves, sessions, caches and progress, straight to buildkitd.

Names are imported when they are first used: ``import pybuildkit`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybuildkit import llb as llb
    from pybuildkit._version import __version__ as __version__
    from pybuildkit.build import Build as Build
    from pybuildkit.client import AsyncClient as AsyncClient
    from pybuildkit.daemon import Buildkitd as Buildkitd
    from pybuildkit.sync import Client as Client

_HOMES = {
    "AsyncClient": "client",
    "Build": "build",
    "Buildkitd": "daemon",
    "Client": "sync",
    "__version__": "_version",
}
"""Public name to the module that has it."""

__all__ = sorted([*_HOMES, "llb"])


def __getattr__(name: str) -> object:
    if name == "llb":
        return importlib.import_module("pybuildkit.llb")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pybuildkit' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"pybuildkit.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
