"""What a sender of a tree may say, and in which order (S54, S55).

A tree comes depth first, each directory before its entries, siblings in ascending byte order. Whoever
keeps to that can not name a place that it did not announce, nor name one twice: no ``..``, no absolute
path, no parent that is a link.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from pybuildkit.errors import ProtocolError

__all__ = ["MAX_PATH", "PathOrder", "shown"]

D = TypeVar("D")

MAX_PATH = 4096
"""The longest path in bytes; no sender can open a longer one, and it bounds the depth."""


def shown(path: bytes) -> str:
    """A path from the wire, fit for an error's text: whatever is odd in it is escaped."""
    text = ascii(path.decode("utf-8", "surrogateescape"))
    return text if len(text) <= 200 else f"{text[:197]}...'"


class PathOrder(Generic[D]):
    """Follows a stream of paths with a stack of the directories that are still open.

    Each level carries a value of the caller's (what it knows of that directory).

    Args:
        root: the root's value.
    """

    __slots__ = ("_dirs", "_last", "_values")

    def __init__(self, root: D) -> None:
        self._dirs = [b""]
        self._last = [b""]
        self._values = [root]

    def place(self, path: bytes) -> tuple[D, bytes, list[D]]:
        """Take the next path of the stream.

        Returns:
            The value of the directory it is in, its name there, and the values of the directories that are
            over now, innermost first.

        Raises:
            ProtocolError: the path is not a plain relative one, its directory was not announced or is over, or
                it does not come after its last sibling.
        """
        cut = path.rfind(b"/")
        name = path[cut + 1 :]
        if not name or name in (b".", b"..") or b"\0" in name or cut == 0 or len(path) > MAX_PATH:
            raise _bad_path(path)
        directory = path[:cut] if cut > 0 else b""
        closed: list[D] = []
        if directory != self._dirs[-1]:
            if directory not in self._dirs:
                raise _bad_order(path, self._dirs[-1], self._last[-1])
            while self._dirs[-1] != directory:
                self._dirs.pop()
                self._last.pop()
                closed.append(self._values.pop())
        if self._last[-1] >= name:
            raise _bad_order(path, self._dirs[-1], self._last[-1])
        self._last[-1] = name
        return self._values[-1], name, closed

    def enter(self, path: bytes, value: D) -> None:
        """The path that was placed last is a directory: its entries may come now."""
        self._dirs.append(path)
        self._last.append(b"")
        self._values.append(value)

    def end(self) -> list[D]:
        """No path comes any more: the values of all open directories, innermost first, the root's last."""
        values = self._values[::-1]
        self._dirs.clear()
        self._last.clear()
        self._values.clear()
        return values


def _bad_path(path: bytes) -> ProtocolError:
    if len(path) > MAX_PATH:
        why = f"it is longer than {MAX_PATH} bytes"
    elif path.startswith(b"/"):
        why = "it is absolute"
    elif b"\0" in path:
        why = "it has a NUL in it"
    else:
        why = "it is not a plain relative path"
    return ProtocolError(f"the daemon sent the path {shown(path)}: {why}")


def _bad_order(path: bytes, directory: bytes, last: bytes) -> ProtocolError:
    after = b"/".join(part for part in (directory, last) if part)
    if any(part in (b"", b".", b"..") for part in path.split(b"/")):
        return ProtocolError(f"the daemon sent the path {shown(path)}: it is not a plain relative path")
    if not after:
        return ProtocolError(f"the daemon sent the path {shown(path)} without its directory")
    return ProtocolError(f"the daemon sent paths out of order: {shown(path)} after {shown(after)}")
