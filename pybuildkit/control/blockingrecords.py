"""The blocking twins of ``records`` and ``content``, for who asks for them: their values are many modules."""

# ruff: noqa: D102 - methods have their twins' texts

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pybuildkit._portal import borrow_texts
from pybuildkit.control.content import READ_LIMIT, Content
from pybuildkit.control.records import History

if TYPE_CHECKING:
    from pybuildkit.control.blocking import BlockingControl
    from pybuildkit.events import Event, SolveStatus
    from pybuildkit.history import HistoryError, HistoryEvent, HistoryRecord

__all__ = ["BlockingContent", "BlockingHistory"]


class BlockingHistory:
    """``client.history`` of a blocking client; see ``History``."""

    def __init__(self, control: BlockingControl) -> None:
        self._control = control
        self._call = control._call  # noqa: SLF001 - its own client
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


borrow_texts(BlockingHistory, History)
borrow_texts(BlockingContent, Content)
