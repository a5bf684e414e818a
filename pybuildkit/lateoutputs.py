"""Outputs that are chosen when the result is there (S90)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from anyio import to_thread

from pybuildkit.control.solve import ExporterEntry
from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from pybuildkit.outputs import Output
    from pybuildkit.session.filesend import FileSend

__all__ = ["BuiltResult", "ChooseOutputs", "LateOutputs"]


@dataclass(frozen=True, slots=True)
class BuiltResult:
    """A result before it goes anywhere.

    Attributes:
        metadata: what the frontend says of it, as ``containerimage.config`` or ``refs.platforms``.
        refs: the daemon's ids of its parts, one a platform.
    """

    metadata: Mapping[str, bytes]
    refs: tuple[str, ...] = ()


OutputsLike: TypeAlias = "Output | str | Iterable[Output | str]"
ChooseOutputs: TypeAlias = Callable[[BuiltResult], "OutputsLike | Awaitable[OutputsLike | None] | None"]
"""Gives outputs for a result. A coroutine function runs on the event loop, a plain one in a thread."""


class LateOutputs:
    """Asks a function for outputs, and sees that they are received.

    Args:
        choose: the function.
        names: of the image, for outputs that have none.
        first: the number of the first of these outputs (S66).
        files: receives what comes to this side.
    """

    def __init__(self, choose: ChooseOutputs, names: Sequence[str], first: int, files: FileSend) -> None:
        self._choose = choose
        self._names = names
        self._first = first
        self._files = files

    async def find(self, metadata: Mapping[str, bytes], refs: Sequence[str]) -> list[ExporterEntry]:
        """See ``FindExporters``.

        Raises:
            ConfigError: an output can not work.
        """
        chosen = await self._ask(BuiltResult(metadata, tuple(refs)))
        return await to_thread.run_sync(self._receive, chosen)

    async def _ask(self, result: BuiltResult) -> object:
        choose = self._choose
        call_async = inspect.iscoroutinefunction(choose) or inspect.iscoroutinefunction(
            getattr(choose, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        found: object = choose(result) if call_async else await to_thread.run_sync(choose, result)
        return await found if inspect.isawaitable(found) else found

    def _receive(self, chosen: object) -> list[ExporterEntry]:
        from pybuildkit._output_text import resolve_outputs
        from pybuildkit.targets import StoreTarget

        outputs = resolve_outputs(chosen, names=self._names) if chosen else ()  # type: ignore[arg-type]
        for index, output in enumerate(outputs, self._first):
            if isinstance(output.target, StoreTarget):
                raise ConfigError(
                    "an image can not go into a directory blob by blob when it is chosen late: give a file"
                )
            if output.target is not None:
                self._files.add(index, output.target)
        return [ExporterEntry(output.exporter, output.exporter_attrs()) for output in outputs]
