"""The blocking twins of what is in ``calls``, ``records`` and ``content``: same names, same arguments."""

# ruff: noqa: D102 - methods have their twins' texts

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pybuildkit._portal import borrow_texts
from pybuildkit.control.calls import ControlCalls
from pybuildkit.control.content import READ_LIMIT, Content
from pybuildkit.control.records import History

if TYPE_CHECKING:
    from pybuildkit.events import Event, SolveStatus
    from pybuildkit.history import HistoryError, HistoryEvent, HistoryRecord
    from pybuildkit.usage import UsageRecord
    from pybuildkit.workers import Info, Worker

__all__ = ["BlockingContent", "BlockingControl", "BlockingHistory"]


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
        return BlockingHistory(self)

    @property
    def content(self) -> BlockingContent:
        """Blobs of the daemon's store, by digest."""
        return BlockingContent(self)


class BlockingHistory:
    """``client.history`` of a blocking client; see ``History``."""

    def __init__(self, control: BlockingControl) -> None:
        self._control = control
        self._call = control._call  # noqa: SLF001 - one module
        self._pull = control._pull  # noqa: SLF001

    @property
    def _twin(self) -> History:
        return self._control._twin.history  # noqa: SLF001

    def list(
        self, *, filters: str | Iterable[str] = (), limit: int = 0, active_only: bool = False
    ) -> tuple[HistoryRecord, ...]:
        records: tuple[HistoryRecord, ...] = self._call(
            self._twin.list, filters=filters, limit=limit, active_only=active_only
        )
        return records

    def get(self, ref: str) -> HistoryRecord:
        record: HistoryRecord = self._call(self._twin.get, ref)
        return record

    def follow(self, ref: str = "", *, active_only: bool = False) -> Iterator[HistoryEvent]:
        return self._pull(self._twin.follow(ref, active_only=active_only))

    def logs(self, ref: str) -> Iterator[SolveStatus]:
        return self._pull(self._twin.logs(ref))

    def events(self, ref: str) -> Iterator[Event]:
        return self._pull(self._twin.events(ref))

    def error(self, ref: str) -> HistoryError | None:
        error: HistoryError | None = self._call(self._twin.error, ref)
        return error

    def trace(self, ref: str) -> bytes:
        trace: bytes = self._call(self._twin.trace, ref)
        return trace

    def pin(self, ref: str) -> None:
        self._call(self._twin.pin, ref)

    def unpin(self, ref: str) -> None:
        self._call(self._twin.unpin, ref)

    def finalize(self, ref: str) -> None:
        self._call(self._twin.finalize, ref)

    def delete(self, ref: str) -> None:
        self._call(self._twin.delete, ref)

    def prune(self, *, filters: str | Iterable[str] = ()) -> tuple[HistoryRecord, ...]:
        records: tuple[HistoryRecord, ...] = self._call(self._twin.prune, filters=filters)
        return records


class BlockingContent:
    """``client.content`` of a blocking client; see ``Content``."""

    def __init__(self, control: BlockingControl) -> None:
        self._control = control
        self._call = control._call  # noqa: SLF001
        self._pull = control._pull  # noqa: SLF001

    @property
    def _twin(self) -> Content:
        return self._control._twin.content  # noqa: SLF001

    def size(self, digest: str) -> int:
        size: int = self._call(self._twin.size, digest)
        return size

    def stream(self, digest: str) -> Iterator[bytes]:
        return self._pull(self._twin.stream(digest))

    def read(self, digest: str, *, limit: int = READ_LIMIT) -> bytes:
        data: bytes = self._call(self._twin.read, digest, limit=limit)
        return data


borrow_texts(BlockingControl, ControlCalls)
borrow_texts(BlockingHistory, History)
borrow_texts(BlockingContent, Content)
