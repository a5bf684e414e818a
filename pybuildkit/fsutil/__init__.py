"""Trees of files: walking, matching, sending and receiving them, as fsutil does in Go.

Nothing here knows of gRPC or HTTP/2: the machines take and give the messages' bytes. Names are imported when
they are first used, since a build seldom needs them all.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybuildkit.fsutil.directory import Directory as Directory
    from pybuildkit.fsutil.memory import MemoryDirectory as MemoryDirectory
    from pybuildkit.fsutil.memory import MemoryFile as MemoryFile
    from pybuildkit.fsutil.memory import MemorySymlink as MemorySymlink
    from pybuildkit.fsutil.memory import MemoryTree as MemoryTree
    from pybuildkit.fsutil.stat import Stat as Stat
    from pybuildkit.fsutil.tartree import TarTree as TarTree
    from pybuildkit.fsutil.tree import FS as FS
    from pybuildkit.fsutil.tree import MapFunc as MapFunc

_HOMES = {
    "FS": "tree",
    "Directory": "directory",
    "MapFunc": "tree",
    "MemoryDirectory": "memory",
    "MemoryFile": "memory",
    "MemorySymlink": "memory",
    "MemoryTree": "memory",
    "Stat": "stat",
    "TarTree": "tartree",
}

__all__ = [
    "FS",
    "Directory",
    "MapFunc",
    "MemoryDirectory",
    "MemoryFile",
    "MemorySymlink",
    "MemoryTree",
    "Stat",
    "TarTree",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pybuildkit.fsutil' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"pybuildkit.fsutil.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
