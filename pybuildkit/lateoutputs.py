"""What users decide on when the result is there: where it goes, and whether the build is good after all (S90)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from anyio import to_thread

from pybuildkit._values import dataclass
from pybuildkit.control.solve import ExporterEntry

if TYPE_CHECKING:
    from pybuildkit.content.solve import SolveContent
    from pybuildkit.outputs import Output
    from pybuildkit.session.filesend import FileSend

__all__ = ["BuiltResult", "ChooseOutputs", "LateOutputs", "OnExported", "call_user"]


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

OnExported: TypeAlias = Callable[[Mapping[str, str]], Awaitable[object] | object]
"""Is given the metadata of the result, when everything is exported. What it raises fails the build."""

T = TypeVar("T")


class LateOutputs:
    """Asks a function for outputs, and sees that they are received.

    Args:
        choose: the function.
        names: of the image, for outputs that have none.
        before: the outputs that were chosen before the build; these follow them (S66).
        files: receives what comes to this side as a stream.
        content: receives what comes blob by blob.
    """

    def __init__(
        self,
        choose: ChooseOutputs,
        names: Sequence[str],
        before: Sequence[Output],
        files: FileSend,
        content: SolveContent,
    ) -> None:
        self._choose = choose
        self._names = names
        self._before = tuple(before)
        self._files = files
        self._content = content

    async def find(self, metadata: Mapping[str, bytes], refs: Sequence[str]) -> list[ExporterEntry]:
        """See ``FindExporters``.

        Raises:
            ConfigError: an output can not work.
        """
        chosen = await call_user(self._choose, BuiltResult(metadata, tuple(refs)))
        return await to_thread.run_sync(self._receive, chosen)

    def _receive(self, chosen: OutputsLike | None) -> list[ExporterEntry]:
        from pybuildkit._output_text import resolve_outputs
        from pybuildkit.outputs import Output
        from pybuildkit.targets import StoreTarget

        if not chosen:
            return []
        given = [chosen] if isinstance(chosen, str | Output) else chosen
        # All together: two must not write to one place, and one at most goes blob by blob (S67).
        outputs = resolve_outputs([*self._before, *given], names=self._names)
        first = len(self._before)
        for index, output in enumerate(outputs[first:], first):
            if isinstance(output.target, StoreTarget):
                self._content.receive_image(output.target.path)
            elif output.target is not None:
                self._files.add(index, output.target)
        return [ExporterEntry(output.exporter, output.exporter_attrs()) for output in outputs[first:]]


async def call_user(function: Callable[[T], object], argument: T) -> Any:
    """Call a function of the user's: a coroutine function on the event loop, a plain one in a thread."""
    call_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    )
    found = function(argument) if call_async else await to_thread.run_sync(function, argument)
    return await found if inspect.isawaitable(found) else found
