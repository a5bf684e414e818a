"""From what users give as a directory to a tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from pybuildkit.fsutil.tree import FS

__all__ = ["as_tree"]


def as_tree(value: object, what: str) -> FS:
    """A directory as a tree, a tree as it is.

    Raises:
        ConfigError: there is no such directory.
    """
    if isinstance(value, str | os.PathLike):
        from pybuildkit.fsutil.directory import Directory

        path: str | os.PathLike[str] = value
        found: FS = Directory(os.path.expanduser(path))  # noqa: PTH111 - pathlib is slow to import
    elif all(callable(getattr(value, name, None)) for name in ("check", "identity", "open")):
        found = cast("FS", value)
    else:
        raise ConfigError(f"{what} can not be {type(value).__name__}: give a directory, a URL or a tree")
    try:
        found.check()
    except ConfigError as exc:
        raise ConfigError(f"{what}: {exc}") from None
    return found
