"""Walking a tree in the order of the protocol, with what is filtered out left out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

from pybuildkit.errors import ConfigError
from pybuildkit.fsutil.filter import Filter
from pybuildkit.fsutil.stat import MODE_DIR, MODE_TYPE, Stat
from pybuildkit.fsutil.tree import Files, Folder, Found, Tree, failed

__all__ = ["RUN", "walk", "walk_in_runs"]

RUN = 2 << 10
"""Bytes of encoded entries in one run of files, roughly."""

_BREATH = 1000
"""After so many entries that are not sent the walk gives None, so that the caller can see to other things."""


class _Runs(Protocol):
    """The folders of a tree that has ``in_runs``."""

    def plain_files(
        self, rest: Iterator[Any], prefix: str, limit: int, judge: Callable[[str, Any], bool] | None
    ) -> tuple[Files, Any]:
        """See ``directory``."""
        ...


class _Level(NamedTuple):
    """A directory that we are in."""

    folder: Folder
    rest: Iterator[Any]
    prefix: str
    includes: int
    excludes: int


class _Late(NamedTuple):
    """A directory on the way that is sent only if something in it is."""

    depth: int
    folder: Folder
    item: Any
    path: str


def walk(tree: Tree, filter: Filter | None = None) -> Generator[Stat | None, None, None]:  # noqa: A002
    """Give what is sent of a tree, entry by entry: depth first, names sorted by their bytes (S29, T24).

    The second and later names of a file become hard links to its first that is sent (S32), by device and inode
    (X11). What vanishes meanwhile is left out (S30).

    Args:
        tree: the tree; it stays open.
        filter: leaves out what does not pass.

    Yields:
        Entries, and now and then None while nothing is found.

    Raises:
        TransferError: something that is to be sent can not be read.
        ConfigError: a pattern turns out to be wrong, or the tree's ``map`` changed what it must not.
    """
    walker = _Walker(tree, filter)
    try:
        for found in walker.run():
            assert not isinstance(found, Files)
            yield found
    finally:
        walker.close()


def walk_in_runs(
    tree: Tree,
    filter: Filter | None = None,  # noqa: A002
) -> Generator[Stat | Files | None, None, None]:
    """The same, with plain files in a row told as one where the tree can do that, and nothing is mapped."""
    walker = _Walker(tree, filter, in_runs=tree.map is None and getattr(tree, "in_runs", False))
    try:
        yield from walker.run()
    finally:
        walker.close()


class _Walker:
    def __init__(self, tree: Tree, filter: Filter | None, *, in_runs: bool = False) -> None:  # noqa: A002
        self._tree = tree
        self._in_runs = in_runs
        self._decide = filter.decide if filter else None
        self._map = tree.map
        self._levels: list[_Level] = []
        self._late: list[_Late] = []
        self._links: dict[tuple[int, int], str] = {}

    def run(self) -> Generator[Stat | Files | None, None, None]:
        self._push(self._tree.root(), "", "", 0, 0)
        levels, late, decide = self._levels, self._late, self._decide
        quiet = 0
        send = look = True
        within = without = 0
        while levels:
            folder, rest, prefix, includes, excludes = levels[-1]
            is_dir = folder.is_dir
            look_up = folder.stat if self._map is None else partial(self._mapped, folder)
            next_run = self._runs_of(levels[-1])
            while True:
                item = next(rest, None) if next_run is None or late else (yield from next_run())
                if item is None:
                    self._pop()
                    break
                path = prefix + item.name
                if decide is not None:
                    send, look, within, without = decide(path, includes, excludes, is_dir, item)
                if send:
                    found = look_up(item, path)
                    if found is None:
                        continue
                    if late:
                        parents = self._parents()
                        if parents is None:  # one is left out, and so is all that is in it
                            break
                        yield from parents
                    stat, key = found
                    yield stat if key is None else self._linked(stat, key)
                    quiet = 0
                    look = stat.mode & MODE_DIR != 0
                else:
                    quiet += 1
                    if quiet % _BREATH == 0:
                        yield None
                if not look:
                    continue
                if self._enter(folder, item, path, send=send, includes=within, excludes=without):
                    break

    def _runs_of(self, level: _Level) -> Callable[[], Generator[Files, None, Any]] | None:
        """What gives the plain files of a directory up to the next entry that is something else, and returns that one.

        None where all entries are taken one by one.
        """
        if not self._in_runs:
            return None
        plain_files = cast("_Runs", level.folder).plain_files
        judge = None if self._decide is None else partial(self._is_sent, level)

        def next_run() -> Generator[Files, None, Any]:
            files, item = plain_files(level.rest, level.prefix, RUN, judge)
            if files.paths:
                yield files
            return item

        return next_run

    def _is_sent(self, level: _Level, path: str, item: Any) -> bool:
        assert self._decide is not None
        return self._decide(path, level.includes, level.excludes, level.folder.is_dir, item)[0]

    def close(self) -> None:
        while self._levels:
            self._pop()

    def _mapped(self, folder: Folder, item: Any, path: str) -> Found | None:
        """An entry as it is sent; None when it is gone, or the map leaves it out."""
        found = folder.stat(item, path)
        if found is None or self._map is None:
            return found
        stat, key = found
        mapped = self._map(stat)
        return None if mapped is None else (_checked(stat, mapped), key)

    def _linked(self, stat: Stat, key: tuple[int, int]) -> Stat:
        """The entry, as a hard link if it is not the file's first. Asked when nothing can keep it from being sent."""
        first = self._links.setdefault(key, stat.path)
        return stat if first == stat.path else stat._replace(linkname=first)

    def _parents(self) -> list[Stat] | None:
        """The directories to be sent before an entry; None when one is gone or left out: we leave it then."""
        stats = []
        for late in self._late:
            found = self._mapped(late.folder, late.item, late.path)
            if found is None or not found[0].mode & MODE_DIR:
                while len(self._levels) > late.depth:
                    self._pop()
                return None
            stats.append(found[0])
        self._late.clear()
        return stats

    def _enter(
        self, folder: Folder, item: Any, path: str, *, send: bool, includes: int, excludes: int
    ) -> bool:
        """Go into a directory; False when there is nothing to go into."""
        depth = len(self._levels)
        try:
            inner = folder.enter(item)
        except PermissionError as exc:
            if not send:  # S30
                return False
            raise failed("read the directory", self._tree.show(path), exc) from exc
        except OSError as exc:
            raise failed("read the directory", self._tree.show(path), exc) from exc
        if inner is None:
            return False
        self._push(inner, path, path + "/", includes, excludes)
        if not send:
            self._late.append(_Late(depth, folder, item, path))
        return True

    def _push(self, folder: Folder, path: str, prefix: str, includes: int, excludes: int) -> None:
        try:
            items = iter(folder.items())
        except OSError as exc:
            folder.close()
            raise failed("read the directory", self._tree.show(path), exc) from exc
        self._levels.append(_Level(folder, items, prefix, includes, excludes))

    def _pop(self) -> None:
        self._levels.pop().folder.close()
        if self._late and self._late[-1].depth == len(self._levels):
            self._late.pop()


def _checked(before: Stat, after: Stat) -> Stat:
    """Refuse a map that changes what an entry is.

    Raises:
        ConfigError: it does.
    """
    for name in ("path", "size", "linkname"):
        if getattr(before, name) != getattr(after, name):
            raise ConfigError(
                f"the map changed the {name} of {before.path!r}: it may change no path, size or link"
            )
    if (before.mode ^ after.mode) & MODE_TYPE:
        raise ConfigError(
            f"the map made another kind of file of {before.path!r}: it may change permissions only"
        )
    return after
