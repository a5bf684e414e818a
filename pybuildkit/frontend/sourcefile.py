"""``SourceFile``: the file that a frontend reads, for its lines in errors, warnings and steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from pybuildkit import llb
from pybuildkit._values import dataclass, field
from pybuildkit.details import SourceError
from pybuildkit.errors import FrontendError
from pybuildkit.events import Range, SourceInfo

if TYPE_CHECKING:
    from pybuildkit.gateway.gateway import Gateway

__all__ = ["Lines", "SourceFile"]

Lines: TypeAlias = Range | tuple[int, int] | int
"""A line, a pair of first and last line, or a range; lines count from 1."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a frontend reads, with the graph that it came from.

    Attributes:
        filename: its name, as the user gave it.
        data: what is in it.
        language: as GitHub calls it: ``YAML``, ``TOML``.
        definition: the graph that yields it; warnings are shown at its last step.
        map: the same for the option ``location=`` of steps.
    """

    filename: str
    data: bytes
    language: str
    definition: llb.Definition = field(repr=False)
    map: llb.SourceMap = field(repr=False)
    _gateway: Gateway = field(repr=False)

    @classmethod
    def make(
        cls, gateway: Gateway, filename: str, data: bytes, language: str, definition: llb.Definition
    ) -> SourceFile:
        """A file that was read out of what a graph yields."""
        source_map = llb.SourceMap(filename, data, language, definition)
        return cls(filename, data, language, definition, source_map, gateway)

    @property
    def text(self) -> str:
        """What is in it, as text.

        Raises:
            FrontendError: it is not UTF-8.
        """
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            line = self.data.count(b"\n", 0, exc.start) + 1
            raise self.error(f"{self.filename} is not UTF-8: {exc.reason} in line {line}", line) from None

    def location(self, *lines: Lines) -> llb.SourceLocation:
        """Lines of it, for the option ``location=`` of steps: a step that fails then shows them.

        Raises:
            DefinitionError: it is no line.
        """
        return self.map.location(*lines)

    def error(self, message: str, *lines: Lines) -> FrontendError:
        """An error that shows lines of it, in every client; to be raised.

        Args:
            message: what is wrong, and what to do.
            lines: the lines to blame.
        """
        blamed = SourceError(self._info(), self.location(*lines).ranges)
        return FrontendError(message, source=blamed, details=[blamed])

    async def warn(
        self, message: str, *lines: Lines, detail: Iterable[str] = (), url: str = "", level: int = 1
    ) -> None:
        """Show a warning in the build's progress.

        Args:
            message: one line.
            lines: the lines that it is about.
            detail: more lines.
            url: where more is written.
            level: 1 is the usual one.
        """
        await self._gateway.warn(
            message,
            vertex=self.definition.head,
            level=level,
            detail=detail,
            url=url,
            source=self._info(),
            ranges=self.location(*lines).ranges,
        )

    def _info(self) -> SourceInfo:
        return SourceInfo(self.filename, self.data, self.language, self.definition.to_bytes())
