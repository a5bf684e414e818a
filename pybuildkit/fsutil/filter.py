"""What of a tree is sent: include and exclude patterns, as fsutil's filter applies them (S36)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pybuildkit.errors import ConfigError
from pybuildkit.fsutil.patterns import Pattern, PatternMatcher

__all__ = ["Filter", "Verdict", "drop_children", "merge_followed"]

Verdict = tuple[bool, bool, int, int]
"""Whether to send it, whether it is worth looking into, and what its own entries' includes and excludes start from."""

_SPECIAL = frozenset("*[]?^\\")


class Filter:
    """Decides on each entry of a walk.

    An entry is sent when an include pattern matches it (if there are any) and no exclude pattern does. A directory
    that is not sent is still looked into while something in it might be; it is then sent late, just before the
    first such entry.

    Args:
        includes: patterns; None, or none, includes all.
        excludes: patterns.

    Raises:
        ConfigError: a pattern is wrong.
    """

    __slots__ = ("_exceptions", "_excludes", "_includes", "_targets")

    def __init__(self, includes: Sequence[str] | None = None, excludes: Sequence[str] | None = None) -> None:
        # A list of nothing but empty patterns is a list: it includes nothing.
        self._includes = _matcher("include", includes) if includes else None
        self._excludes = _matcher("exclude", excludes) if excludes else None
        self._targets = (
            _ways(p for p in self._includes.patterns if not p.exclusion) if self._includes else None
        )
        self._exceptions = (
            _ways(p for p in self._excludes.patterns if p.exclusion) if self._excludes else None
        )

    def __bool__(self) -> bool:
        """Whether it may leave anything out."""
        return self._includes is not None or self._excludes is not None

    def decide(
        self, path: str, includes: int, excludes: int, is_dir: Callable[[Any], bool], item: Any
    ) -> Verdict:
        """Judge an entry.

        Args:
            path: its path in the tree.
            includes: the third value of its directory's verdict, 0 at the root.
            excludes: the fourth.
            is_dir: tells whether ``item``, the entry, is a directory; asked only when it is not to be sent.
            item: see ``is_dir``.

        Raises:
            ConfigError: a pattern turns out to be wrong.
        """
        send = True
        if self._includes is not None:
            send, includes = self._includes.match(path, includes)
            if not send and self._targets is not None and path not in self._targets and is_dir(item):
                return False, False, 0, 0
        if self._excludes is not None:
            matched, excludes = self._excludes.match(path, excludes)
            if matched:
                if self._exceptions is not None and path not in self._exceptions:
                    return False, False, 0, 0
                send = False
        return send, send or is_dir(item), includes, excludes


def _matcher(kind: str, patterns: Sequence[str]) -> PatternMatcher:
    try:
        return PatternMatcher(patterns)
    except ConfigError as exc:
        raise ConfigError(f"invalid {kind} patterns: {exc}") from exc


def _ways(patterns: Iterable[Pattern]) -> frozenset[str] | None:
    """The directories on the way to what the patterns name; None when one has wildcards before its end.

    Other directories that are not matched themselves need not be looked into.
    """
    ways: set[str] = set()
    for pattern in patterns:
        target = pattern.text.removesuffix("/**").removesuffix("/*")
        if not _SPECIAL.isdisjoint(target):
            return None
        parts = target.split("/")
        ways.update("/".join(parts[:count]) for count in range(1, len(parts) + 1))
    return frozenset(ways)


def merge_followed(includes: Sequence[str] | None, followed: Sequence[str] | None) -> Sequence[str] | None:
    """Add what ``followpaths`` led to (see ``follow_links``) to the include patterns."""
    if followed is None:
        return includes
    return drop_children([*(includes or ()), *followed])


def drop_children(paths: Iterable[str]) -> list[str] | None:
    """Leave out what lies in the path before it; None when one of them is the root, ``.``: no filter then.

    The first is compared with nothing, as in Go: one that begins with ``/`` is left out.
    """
    kept: list[str] = []
    last = ""
    for path in paths:
        if path == ".":
            return None
        if not path.startswith(last + "/"):
            kept.append(path)
            last = path
    return kept
