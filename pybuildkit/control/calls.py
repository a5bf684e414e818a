"""What can be asked of a daemon beside builds: the part of ``AsyncClient`` that needs no session."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING

from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from datetime import timedelta

    from pybuildkit.control.content import Content
    from pybuildkit.control.records import History
    from pybuildkit.rpc.channel import Channel
    from pybuildkit.usage import UsageRecord
    from pybuildkit.workers import Info, Worker

__all__ = ["INFO", "ControlCalls"]

INFO = "/moby.buildkit.v1.Control/Info"


class ControlCalls:
    """The calls of the Control service; ``AsyncClient`` has the connection they go through."""

    def _connected(self) -> Channel:
        raise NotImplementedError

    async def info(self) -> Info:
        """The daemon's version (C12).

        Raises:
            Unsupported: the daemon is older than 0.11.
        """
        from pybuildkit.control.workers import decode_info

        return decode_info(await self._connected().unary(INFO))

    async def workers(self, filters: Iterable[str] = ()) -> tuple[Worker, ...]:
        """The daemon's workers with their platforms, labels and garbage collection (C11).

        Args:
            filters: containerd filters, as ``platform==linux/arm64``; a worker that one of them fits is listed.

        Raises:
            RPCError: the daemon can not read a filter.
        """
        from pybuildkit.control.workers import LIST_WORKERS, decode_workers, encode_workers_request

        request = encode_workers_request(_listed(filters))
        return decode_workers(await self._connected().unary(LIST_WORKERS, request))

    async def disk_usage(
        self, *, filters: str | Iterable[str] = (), age_limit: float | timedelta = 0
    ) -> tuple[UsageRecord, ...]:
        """What the daemon keeps in its cache, the smallest first (C6).

        Args:
            filters: containerd filters, as ``type==source.local``, ``description~=apt``, ``inuse==true``; a record that
                one of them fits is listed.
            age_limit: only records that were not used for so long: seconds or a timedelta.

        Raises:
            ConfigError: the age is negative.
            RPCError: the daemon can not read a filter.
        """
        from pybuildkit._time import nanoseconds
        from pybuildkit.control.usage import DISK_USAGE, decode_disk_usage, encode_disk_usage_request

        request = encode_disk_usage_request(_listed(filters), nanoseconds(age_limit, "age_limit"))
        return decode_disk_usage(await self._connected().unary(DISK_USAGE, request))

    async def prune(
        self,
        *,
        filters: str | Iterable[str] = (),
        all: bool = False,  # noqa: A002 - the daemon's and buildctl's word
        keep_duration: float | timedelta = 0,
        reserved_space: int = 0,
        max_used_space: int = 0,
        min_free_space: int = 0,
    ) -> tuple[UsageRecord, ...]:
        """Remove what is not in use from the daemon's cache, and wait until that is done (C7).

        Args:
            filters: as ``disk_usage`` takes them; everything without one.
            all: also internal records and those of frontends.
            keep_duration: leave what was used within so many seconds, or within that timedelta.
            reserved_space: bytes that are always left.
            max_used_space: bytes that may be left at most; 0 for no such rule.
            min_free_space: bytes that should be free on the disk; 0 for no such rule.

        Returns:
            The records that were removed.

        Raises:
            ConfigError: a number is negative.
            RPCError: the daemon can not read a filter.
        """
        removed = self.prune_each(
            filters=filters,
            all=all,
            keep_duration=keep_duration,
            reserved_space=reserved_space,
            max_used_space=max_used_space,
            min_free_space=min_free_space,
        )
        return tuple([record async for record in removed])

    async def prune_each(
        self,
        *,
        filters: str | Iterable[str] = (),
        all: bool = False,  # noqa: A002
        keep_duration: float | timedelta = 0,
        reserved_space: int = 0,
        max_used_space: int = 0,
        min_free_space: int = 0,
    ) -> AsyncGenerator[UsageRecord, None]:
        """The same as ``prune``, record by record as they are removed.

        Leaving the loop early stops the daemon; put ``contextlib.aclosing`` around it then.
        """
        from pybuildkit._time import nanoseconds
        from pybuildkit.control.usage import PRUNE, decode_usage_record, encode_prune_request

        sizes = {
            "reserved_space": reserved_space,
            "max_used_space": max_used_space,
            "min_free_space": min_free_space,
        }
        for name, size in sizes.items():
            if size < 0:
                raise ConfigError(f"{name}={size!r} must be a number of bytes from 0 on")
        request = encode_prune_request(
            _listed(filters),
            everything=all,
            keep_duration=nanoseconds(keep_duration, "keep_duration"),
            **sizes,
        )
        async with self._connected().server_stream(PRUNE, request) as stream:
            async for message in stream:
                yield decode_usage_record(message)

    @property
    def history(self) -> History:
        """Build history: records, logs, traces, and what can be done with them."""
        from pybuildkit.control.records import History

        return History(self._connected, self.content)

    @property
    def content(self) -> Content:
        """Blobs of the daemon's store, by digest."""
        from pybuildkit.control.content import Content

        return Content(self._connected)


def _listed(values: str | Iterable[str]) -> list[str]:
    return [values] if isinstance(values, str) else [*values]
