"""The calls on build history: ``client.history`` (C13, C14, C37)."""

from __future__ import annotations

import builtins
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

from pybuildkit.control.history import (
    LISTEN,
    UPDATE,
    decode_error,
    decode_event,
    encode_listen_request,
    encode_update_request,
)
from pybuildkit.control.status import STATUS, decode_status_response, encode_status_request
from pybuildkit.errors import ConfigError, NotFound, RPCError

if TYPE_CHECKING:
    from pybuildkit.control.content import Content
    from pybuildkit.events import Event, SolveStatus
    from pybuildkit.history import HistoryError, HistoryEvent, HistoryRecord
    from pybuildkit.rpc.channel import Channel

__all__ = ["History", "texts"]

_PLAIN_REF = r"[A-Za-z0-9_.-]+"


class History:
    """What the daemon remembers of builds: ``client.history``.

    A build is in it from its start on, unless it was run with ``internal=True``. The daemon forgets old ones by its own
    rules; a pinned one stays.
    """

    def __init__(self, connected: Callable[[], Channel], content: Content) -> None:
        self._connected = connected
        self._content = content

    async def list(
        self, *, filters: str | Iterable[str] = (), limit: int = 0, active_only: bool = False
    ) -> tuple[HistoryRecord, ...]:
        """The records, newest first.

        Args:
            filters: as ``status==error``, ``ref==X``, ``repository~=github``, ``startedAt>=1h``, ``duration>10s``; commas in
                one mean *and*, several mean *or* (C36). The daemon does not apply them to builds that run.
            limit: how many at most; all when 0.
            active_only: only builds that run.

        Raises:
            ConfigError: the limit is negative.
            RPCError: the daemon can not read a filter.
        """
        if limit < 0:
            raise ConfigError(f"limit={limit!r} must be 0 for all, or more")
        request = encode_listen_request(
            active_only=active_only, early_exit=True, filters=texts(filters), limit=limit
        )
        records = await self._records(request)
        records.sort(key=lambda record: (record.created_ns, record.ref), reverse=True)
        return tuple(records[: limit or None])

    async def get(self, ref: str) -> HistoryRecord:
        """One record.

        Raises:
            NotFound: there is none.
        """
        request = encode_listen_request(early_exit=True, ref=_by_ref(ref), filters=_by_filter(ref))
        found = [record for record in await self._records(request) if record.ref == ref]
        if not found:
            raise _unknown(ref)
        return found[-1]

    async def follow(self, ref: str = "", *, active_only: bool = False) -> AsyncGenerator[HistoryEvent, None]:
        """What is there, and then every change as it happens; it ends with the daemon.

        Leave it with ``contextlib.aclosing`` around it, so that the call ends with the loop.

        Args:
            ref: only events of this build.
            active_only: begin with builds that run, not with all that are remembered.
        """
        request = encode_listen_request(active_only=active_only, ref=_by_ref(ref), filters=_by_filter(ref))
        async with self._connected().server_stream(LISTEN, request) as stream:
            async for message in stream:
                event = decode_event(message)
                if not ref or event.record.ref == ref:
                    yield event

    async def logs(self, ref: str) -> AsyncGenerator[SolveStatus, None]:
        """The progress of a build: all of one that has ended, again; one that runs is followed to its end (C9).

        Raises:
            NotFound: there is no such build; the daemon waits six seconds for one to come.
        """
        async with self._connected().server_stream(STATUS, encode_status_request(ref)) as stream:
            async for message in stream:
                yield decode_status_response(message)

    async def events(self, ref: str) -> AsyncGenerator[Event, None]:
        """The same as ``logs``, as events."""
        from pybuildkit.progress import Progress

        progress = Progress()
        async with aclosing(self.logs(ref)) as batches:
            async for batch in batches:
                for event in progress.feed(batch):
                    yield event

    async def error(self, ref: str) -> HistoryError | None:
        """Why a build failed, with all details; None when it did not.

        Raises:
            NotFound: there is no such build.
        """
        record = await self.get(ref)
        if record.external_error is None:
            return record.error
        return decode_error(await self._content.read(record.external_error.digest))

    async def trace(self, ref: str) -> bytes:
        """The build's trace: a JSON object for each OpenTelemetry span, one behind the other.

        The daemon waits some three seconds after the end for spans of clients; this tells it not to (C37).

        Raises:
            NotFound: there is no such build, it still runs, or the daemon does not trace.
        """
        record = await self.get(ref)
        if record.trace is None and record.completed_ns is not None:
            await self.finalize(ref)
            record = await self.get(ref)
        if record.trace is None:
            reason = "it still runs" if record.completed_ns is None else "the daemon did not keep one"
            raise NotFound(f"build {ref} has no trace: {reason}", code="NOT_FOUND", method=LISTEN)
        return await self._content.read(record.trace.digest)

    async def pin(self, ref: str) -> None:
        """Keep a record, whatever the daemon's rules say.

        Raises:
            NotFound: there is no such record of a build that has ended.
        """
        await self._update(ref, encode_update_request(ref, pinned=True))

    async def unpin(self, ref: str) -> None:
        """Let the daemon forget a record.

        Raises:
            NotFound: there is no such record of a build that has ended.
        """
        await self._update(ref, encode_update_request(ref, pinned=False))

    async def finalize(self, ref: str) -> None:
        """Have the daemon complete a record now: it waits some seconds for the spans of clients (C37).

        It does nothing for a record that is complete, or that does not exist.
        """
        await self._update(ref, encode_update_request(ref, finalize=True))

    async def delete(self, ref: str) -> None:
        """Forget a record, pinned or not.

        Raises:
            NotFound: there is no such record of a build that has ended.
        """
        await self._update(ref, encode_update_request(ref, delete=True))

    async def prune(self, *, filters: str | Iterable[str] = ()) -> tuple[HistoryRecord, ...]:
        """Forget all builds that have ended and are not pinned.

        Args:
            filters: as ``list`` takes them; all without one.

        Returns:
            The records that were deleted.
        """
        deleted = []
        for record in await self.list(filters=filters):
            if record.pinned or record.completed_ns is None:
                continue
            try:
                await self.delete(record.ref)
            except NotFound:  # somebody was faster
                continue
            deleted.append(record)
        return tuple(deleted)

    async def _records(self, request: bytes) -> builtins.list[HistoryRecord]:
        async with self._connected().server_stream(LISTEN, request) as stream:
            return [decode_event(message).record async for message in stream]

    async def _update(self, ref: str, request: bytes) -> None:
        try:
            await self._connected().unary(UPDATE, request)
        except RPCError as exc:
            # The daemon has no code for it, but these words (T13).
            if "not found" in exc.message or "does not exist" in exc.message:
                raise _unknown(ref) from None
            raise


def texts(values: str | Iterable[str]) -> list[str]:
    """One text or several, as a list."""
    return [values] if isinstance(values, str) else [*values]


def _unknown(ref: str) -> NotFound:
    return NotFound(
        f"there is no build {ref!r} in the daemon's history; `pybuildkit history ls` lists what there is",
        code="NOT_FOUND",
        method=LISTEN,
    )


def _by_filter(ref: str) -> tuple[str, ...]:
    """The filter that asks for one record.

    It stands in for the request's own Ref: whoever listens with that keeps the daemon from deleting the record, even
    afterwards. Daemons that know no filters send everything; the caller looks at the refs.
    """
    return (f"ref=={ref}",) if re.fullmatch(_PLAIN_REF, ref) else ()


def _by_ref(ref: str) -> str:
    """The ref, where it can not be written as a filter."""
    return "" if re.fullmatch(_PLAIN_REF, ref) else ref
