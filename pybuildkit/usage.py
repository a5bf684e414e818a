"""What the daemon keeps in its cache (C6, C7)."""

from __future__ import annotations

from datetime import datetime

from pybuildkit._time import moment
from pybuildkit._values import dataclass

__all__ = ["UsageRecord"]


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One record of the daemon's cache: a layer, a context, a cache mount (C6, C47).

    Attributes:
        id: the record's id.
        size: in bytes.
        in_use: a build or another record needs it now; otherwise it can be pruned.
        mutable: it may still change, as a context or a cache mount does.
        shared: its content is also held by something outside of the cache, as an image.
        created_ns: when it was made, in nanoseconds since the epoch; ``created_at`` is the same as a time.
        last_used_ns: when it was last used, None when it never was.
        usage_count: how often it was used.
        description: what it is, for people.
        record_type: ``regular``, ``internal``, ``frontend``, ``source.local``, ``source.git.checkout`` or
            ``exec.cachemount``; a newer daemon may have more.
        parents: ids of the records below it.
    """

    id: str
    size: int = 0
    in_use: bool = False
    mutable: bool = False
    shared: bool = False
    created_ns: int = 0
    last_used_ns: int | None = None
    usage_count: int = 0
    description: str = ""
    record_type: str = ""
    parents: tuple[str, ...] = ()

    @property
    def reclaimable(self) -> bool:
        """Whether pruning may remove it."""
        return not self.in_use

    @property
    def created_at(self) -> datetime | None:
        """When it was made, in UTC."""
        return moment(self.created_ns)

    @property
    def last_used_at(self) -> datetime | None:
        """When it was last used, in UTC; None when it never was."""
        return moment(self.last_used_ns)
