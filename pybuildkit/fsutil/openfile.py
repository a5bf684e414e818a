"""One open file of a directory that is sent."""

from __future__ import annotations

import os
from contextlib import suppress

from pybuildkit.fsutil.tree import failed

__all__ = ["OpenFile"]


class OpenFile:
    """See ``Source``."""

    __slots__ = ("_fd", "_path")

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # advice only
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read(self, size: int) -> bytes:
        """See ``Source.read``."""
        try:
            return os.read(self._fd, size)
        except OSError as exc:
            raise failed("read", self._path, exc) from exc

    def close(self) -> None:
        """See ``Source.close``."""
        os.close(self._fd)
