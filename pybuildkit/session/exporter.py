"""``moby.exporter.v1.Exporter``: decides what becomes of a result when it is there, and has the last word (S90)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from pybuildkit import _wire
from pybuildkit.control.solve import ExporterEntry, string_map
from pybuildkit.errors import BuildKitError
from pybuildkit.session.calls import AsyncCall, AsyncHandler, Code, MachineFactory, StatusError

__all__ = ["FINALIZE_EXPORT", "FIND_EXPORTERS", "ExporterService", "FinalizeExport", "FindExporters"]

FIND_EXPORTERS = "/moby.exporter.v1.Exporter/FindExporters"
FINALIZE_EXPORT = "/moby.exporter.v1.Exporter/FinalizeExport"

FindExporters: TypeAlias = Callable[[Mapping[str, bytes], Sequence[str]], Awaitable[Iterable[ExporterEntry]]]
"""Is given the result's metadata and the daemon's ids of its parts; gives exporters, which follow the request's (S66)."""

FinalizeExport: TypeAlias = Callable[[Mapping[str, str]], Awaitable[None]]
"""Is given what all exporters have said of what they made; the solve waits for it before it answers."""


class ExporterService:
    """The deciding side.

    Args:
        find: called once the result is there, None for no more exporters.
        finalize: called once everything is exported, None for nobody.

    Attributes:
        failed: what one of them raised; the daemon is told no more than its text, if it is this library's.
    """

    def __init__(self, find: FindExporters | None, finalize: FinalizeExport | None = None) -> None:
        self._find = find
        self._finalize = finalize
        self.failed: Exception | None = None

    @property
    def machines(self) -> Mapping[str, MachineFactory]:
        """See ``Service.machines``."""
        return {}

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {FIND_EXPORTERS: self._find_exporters, FINALIZE_EXPORT: self._finalize_export}

    async def _find_exporters(self, call: AsyncCall) -> None:
        request = await call.receive() or b""
        try:
            metadata = _bytes_map(request, 1)
            refs = _wire.strings(request, 2)
        except ValueError:
            raise StatusError(Code.INVALID_ARGUMENT, "not a FindExportersRequest") from None
        try:
            found = list(await self._find(metadata, refs)) if self._find is not None else []
        except Exception as exc:  # noqa: BLE001 - whatever it is, the build is told and goes wrong by it
            raise self._failure("the function that chooses outputs", exc) from None
        await call.send(b"".join(_wire.field_bytes(1, entry.encode()) for entry in found))

    async def _finalize_export(self, call: AsyncCall) -> None:
        request = await call.receive() or b""
        if self._finalize is None:
            raise StatusError(Code.UNIMPLEMENTED, "no exporter finalize callback registered")
        try:
            response = string_map(request, 1)
        except ValueError:
            raise StatusError(Code.INVALID_ARGUMENT, "not a FinalizeExportRequest") from None
        try:
            await self._finalize(response)
        except Exception as exc:  # noqa: BLE001 - likewise
            raise self._failure("the function for when all is exported", exc) from None
        await call.send()

    def _failure(self, what: str, error: Exception) -> StatusError:
        """What the daemon is told; UNAVAILABLE and UNIMPLEMENTED it would take for no exporters at all (S90)."""
        self.failed = error
        text = str(error) if isinstance(error, BuildKitError) else type(error).__name__
        return StatusError(Code.UNKNOWN, f"{what} failed: {text}")


def _bytes_map(data: bytes, number: int) -> dict[str, bytes]:
    """A ``map<string, bytes>`` field."""
    return {
        _wire.first(entry, 1).decode(): _wire.first(entry, 2)
        for seen, entry in _wire.fields(data)
        if seen == number and isinstance(entry, bytes)
    }
