"""Which paths a build needs to have for some paths to be readable: symbolic links chased (S38)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pybuildkit.fsutil._gopath import BadPatternError, clean, has_wildcards, join, match_name
from pybuildkit.fsutil.filter import drop_children
from pybuildkit.fsutil.tree import Tree

__all__ = ["follow_links"]


def follow_links(tree: Tree, paths: Iterable[str]) -> list[str] | None:
    """Resolve each path part by part; every link on the way, and what it leads to, becomes an include pattern.

    A part may have wildcards. A link out of the tree, or an absolute one, is taken to start at the tree's root.
    What is missing is kept as it is written.

    The daemon asks for this (``followpaths``), and the result is Go's to the letter, its one flaw included: a link
    that was passed once is not passed again with another path behind it. ``COPY link/a link/b`` with a link to
    a directory therefore sends ``a`` only.

    Returns:
        The paths, sorted, none in another; None when the root is among them: there is nothing to leave out.

    Raises:
        TransferError: a directory can not be read.
    """
    resolved: set[str] = set()
    waiting = [*paths][::-1]
    while waiting:
        waiting.extend(reversed(_resolve(tree, waiting.pop(), resolved)))
    return drop_children(sorted(resolved, key=lambda path: path.encode(errors="surrogateescape")))


def _resolve(tree: Tree, path: str, resolved: set[str]) -> Sequence[str]:
    """Go along a path up to its first link; the paths to go on with."""
    rest = join(".", path)
    current = "."
    while True:
        part, _, rest = rest.partition("/")
        current = join(current, part)
        targets = _targets(tree, current)
        if (not rest or targets) and current in resolved:
            return ()
        if targets:
            resolved.add(current)
            return [join(target, rest) for target in targets]
        if not rest:
            resolved.add(current)
            return ()


def _targets(tree: Tree, path: str) -> list[str]:
    """Where the links lead that a path names; its last part may have wildcards."""
    parent, _, name = path.rpartition("/")
    if path == ".." or parent == ".." or parent.startswith("../"):
        return []  # Go would look outside the tree
    if not has_wildcards(name):
        target = _target(tree, path)
        return [] if target is None else [target]
    found = (
        _target(tree, f"{parent}/{child}" if parent else child)
        for child in tree.list(parent)
        if _matches(name, child)
    )
    return [target for target in found if target is not None]


def _matches(pattern: str, name: str) -> bool:
    try:
        return match_name(pattern, name)
    except BadPatternError:
        return False


def _target(tree: Tree, path: str) -> str | None:
    """Where a link leads, from the tree's root; None when there is no link."""
    if path == ".":
        return None
    target = tree.readlink(path)
    if target is None:
        return None
    target = clean(target)
    if target.startswith("/"):
        return target
    return join("/", join(path.rpartition("/")[0] or ".", target))
