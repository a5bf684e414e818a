"""Trees that are not directories on disk: nodes in memory, with their content wherever it is."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Protocol

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError
from pybuildkit.fsutil._gopath import clean
from pybuildkit.fsutil.stat import MODE_DIR, MODE_SYMLINK, Stat
from pybuildkit.fsutil.tree import Found, MapFunc, failed

__all__ = ["BytesContent", "Content", "Node", "VirtualTree", "add", "encoded", "new_root"]

DEFAULT_TIME_NS = 315_532_800 * 10**9
"""1980-01-01, the first day that zip files can tell."""


class Content(Protocol):
    """The bytes of a file; may be read by several transfers, in several threads, at once."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """Those from an offset on, up to that many; empty behind the end.

        Raises:
            OSError: they can not be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class BytesContent:
    """Content in memory."""

    data: bytes | memoryview

    @property
    def size(self) -> int:
        """See ``Content.size``."""
        return len(self.data)

    def read_at(self, offset: int, size: int) -> memoryview:
        """See ``Content.read_at``."""
        return memoryview(self.data)[offset : offset + size]


@dataclass(slots=True)
class Node:
    """An entry of a tree.

    Attributes:
        name: in its directory.
        stat: what is told of it; the path is filled in by the walk.
        content: a file's content.
        children: a directory's entries by name, None for others.
        link: a number that the names of one file share; 0 for a file with one name.
    """

    name: str
    stat: Stat
    content: Content | None = None
    children: dict[str, Node] | None = None
    link: int = 0


def new_root() -> Node:
    """An empty tree."""
    return Node("", Stat("", MODE_DIR | 0o755), children={})


def add(root: Node, path: str, node: Node, *, replace: bool) -> None:
    """Put an entry at a path; missing directories are made. A directory that is there already keeps its entries.

    Raises:
        ConfigError: the path leaves the tree, a part of it is no directory, or something else is there and is not
            to be replaced.
    """
    cleaned = clean(path).lstrip("/")
    if cleaned == ".." or cleaned.startswith("../") or "\0" in cleaned:
        raise ConfigError(
            f"the path {path!r} is not inside the tree; give one without .. that is relative to its root"
        )
    if cleaned in {".", ""}:
        if node.children is None:
            raise ConfigError(f"{path!r} is the tree's root, which must be a directory")
        return
    *parts, name = cleaned.split("/")
    parent = root
    for part in parts:
        children = _children(parent, path)
        if part not in children:
            children[part] = Node(part, Stat("", MODE_DIR | 0o755, mtime_ns=DEFAULT_TIME_NS), children={})
        parent = children[part]
    children = _children(parent, path)
    old = children.get(name)
    if old is not None and old.children is not None and node.children is not None:
        node.children = old.children
    elif old is not None and not replace:
        raise ConfigError(f"{path!r} is in the tree twice; leave one out")
    node.name = name
    children[name] = node


def _children(node: Node, path: str) -> dict[str, Node]:
    if node.children is None:
        raise ConfigError(
            f"the path {path!r} leads through {node.name!r}, which is no directory in this tree"
        )
    return node.children


def find(root: Node, path: str) -> Node | None:
    """The entry at a path; None when there is none."""
    node = root
    for part in path.split("/") if path else ():
        inner = node.children.get(part) if node.children else None
        if inner is None:
            return None
        node = inner
    return node


class VirtualTree:
    """Nodes as a tree that can be sent; see ``Tree``. It has nothing to close: it is opened once for all."""

    def __init__(self, root: Node, label: str, map: MapFunc | None = None) -> None:  # noqa: A002
        self.map = map
        self._root = root
        self._label = label

    def root(self) -> VirtualFolder:
        """See ``Tree.root``."""
        return VirtualFolder(self._root)

    def show(self, path: str) -> str:
        """See ``Tree.show``."""
        return f"{self._label}:{path}"

    def readlink(self, path: str) -> str | None:
        """See ``Tree.readlink``."""
        node = find(self._root, path)
        return node.stat.linkname if node is not None and node.stat.mode & MODE_SYMLINK else None

    def list(self, path: str) -> Sequence[str]:
        """See ``Tree.list``."""
        node = find(self._root, path)
        return sorted(node.children or (), key=encoded) if node is not None else ()

    def read(self, path: str, size: int) -> bytes | memoryview:
        """See ``Tree.read``."""
        content = self._content(path)
        try:
            return content.read_at(0, size)
        except OSError as exc:
            raise failed("read", self.show(path), exc) from exc

    def open(self, path: str) -> VirtualSource:
        """See ``Tree.open``."""
        return VirtualSource(self._content(path), self.show(path))

    def close(self) -> None:
        """See ``Tree.close``."""

    def _content(self, path: str) -> Content:
        node = find(self._root, path)
        if node is None or node.content is None:
            raise failed("open", self.show(path), FileNotFoundError(errno.ENOENT, "no such file"))
        return node.content


@dataclass(frozen=True, slots=True)
class VirtualFolder:
    """See ``Folder``."""

    node: Node

    def items(self) -> list[Node]:
        """See ``Folder.items``."""
        children = self.node.children or {}
        return [children[name] for name in sorted(children, key=encoded)]

    def is_dir(self, item: Node) -> bool:
        """See ``Folder.is_dir``."""
        return item.children is not None

    def stat(self, item: Node, path: str) -> Found:
        """See ``Folder.stat``."""
        return item.stat._replace(path=path), ((0, item.link) if item.link else None)

    def enter(self, item: Node) -> VirtualFolder:
        """See ``Folder.enter``."""
        return VirtualFolder(item)

    def close(self) -> None:
        """See ``Folder.close``."""


class VirtualSource:
    """See ``Source``."""

    __slots__ = ("_content", "_offset", "_path")

    def __init__(self, content: Content, path: str) -> None:
        self._content = content
        self._path = path
        self._offset = 0

    def read(self, size: int) -> bytes | memoryview:
        """See ``Source.read``."""
        try:
            data = self._content.read_at(self._offset, size)
        except OSError as exc:
            raise failed("read", self._path, exc) from exc
        self._offset += len(data)
        return data

    def close(self) -> None:
        """See ``Source.close``."""


def encoded(name: str) -> bytes:
    """A name's bytes, by which it is sorted (S29)."""
    return name.encode(errors="surrogateescape")
