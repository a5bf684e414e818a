"""The blocking twin of what is in ``calls``: same names, same arguments."""

# ruff: noqa: D102 - methods have their twins' texts

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pybuildkit._portal import borrow_texts
from pybuildkit.control.calls import ControlCalls

if TYPE_CHECKING:
    from datetime import timedelta

    from pybuildkit.control.blockingrecords import BlockingContent, BlockingHistory
    from pybuildkit.usage import UsageRecord
    from pybuildkit.workers import Info, Worker

__all__ = ["BlockingControl"]


class BlockingControl:
    """The calls of the Control service; ``Client`` has the event loop they run in."""

    @property
    def _twin(self) -> ControlCalls:
        raise NotImplementedError

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _pull(self, source: AsyncIterator[Any]) -> Iterator[Any]:
        raise NotImplementedError

    def info(self) -> Info:
        info: Info = self._call(self._twin.info)
        return info

    def workers(self, filters: Iterable[str] = ()) -> tuple[Worker, ...]:
        workers: tuple[Worker, ...] = self._call(self._twin.workers, filters)
        return workers

    def disk_usage(
        self, *, filters: str | Iterable[str] = (), age_limit: float | timedelta = 0
    ) -> tuple[UsageRecord, ...]:
        records: tuple[UsageRecord, ...] = self._call(
            self._twin.disk_usage, filters=filters, age_limit=age_limit
        )
        return records

    def prune(
        self,
        *,
        filters: str | Iterable[str] = (),
        all: bool = False,  # noqa: A002
        keep_duration: float | timedelta = 0,
        reserved_space: int = 0,
        max_used_space: int = 0,
        min_free_space: int = 0,
    ) -> tuple[UsageRecord, ...]:
        records: tuple[UsageRecord, ...] = self._call(
            self._twin.prune,
            filters=filters,
            all=all,
            keep_duration=keep_duration,
            reserved_space=reserved_space,
            max_used_space=max_used_space,
            min_free_space=min_free_space,
        )
        return records

    def prune_each(
        self,
        *,
        filters: str | Iterable[str] = (),
        all: bool = False,  # noqa: A002
        keep_duration: float | timedelta = 0,
        reserved_space: int = 0,
        max_used_space: int = 0,
        min_free_space: int = 0,
    ) -> Iterator[UsageRecord]:
        return self._pull(
            self._twin.prune_each(
                filters=filters,
                all=all,
                keep_duration=keep_duration,
                reserved_space=reserved_space,
                max_used_space=max_used_space,
                min_free_space=min_free_space,
            )
        )

    @property
    def history(self) -> BlockingHistory:
        """Build history: records, logs, traces, and what can be done with them."""
        from pybuildkit.control.blockingrecords import BlockingHistory

        return BlockingHistory(self)

    @property
    def content(self) -> BlockingContent:
        """Blobs of the daemon's store, by digest."""
        from pybuildkit.control.blockingrecords import BlockingContent

        return BlockingContent(self)


borrow_texts(BlockingControl, ControlCalls)
