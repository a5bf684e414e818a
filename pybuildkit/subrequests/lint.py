"""``frontend.lint``: what is wrong with a Dockerfile (V78)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybuildkit._json import items, string, struct
from pybuildkit._values import dataclass, field
from pybuildkit.events import SourceInfo
from pybuildkit.subrequests.places import Place, lines_of, place_of, read, source_of
from pybuildkit.subrequests.requests import Answer

__all__ = ["Lint", "LintError", "LintWarning"]


@dataclass(frozen=True, slots=True)
class LintWarning:
    """Something that should be otherwise.

    Attributes:
        rule: the rule's name, as ``StageNameCasing``.
        description: what the rule is about.
        url: where more is written.
        detail: what is wrong here.
        place: where; None when it is not said.
    """

    rule: str
    description: str = ""
    url: str = ""
    detail: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class LintError:
    """Why the Dockerfile can not be built at all."""

    message: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Lint:
    """The result of a check.

    Attributes:
        warnings: in the frontend's order.
        error: why the Dockerfile can not be built at all, None when it can.
        sources: the files that places are in.
        answer: as it came.
    """

    warnings: tuple[LintWarning, ...] = ()
    error: LintError | None = None
    sources: tuple[SourceInfo, ...] = ()
    answer: Answer = field(default_factory=Answer, repr=False)

    @classmethod
    def read(cls, answer: Answer) -> Lint:
        """Read the answer to ``frontend.lint``.

        Raises:
            RPCError: it can not be read.
            FrontendError: there is none.
        """
        warnings, error, sources = read(answer.json, "frontend.lint", _results)
        return cls(warnings, error, sources, answer)

    @property
    def ok(self) -> bool:
        """Whether there is nothing to complain about."""
        return not self.warnings and self.error is None

    def text(self, filename: str = "") -> str:
        """As buildx prints it, without the error.

        Args:
            filename: what the file is called, instead of what the frontend calls it.
        """
        if self.answer.newer_than("1.0.0"):
            return self.answer.text
        if not self.warnings:
            return "" if self.error is not None else "Check complete, no warnings found.\n"
        count = len(self.warnings)
        what = "1 warning has" if count == 1 else f"{count} warnings have"
        return f"Check complete, {what} been found!\n" + "".join(
            self._printed(warning, filename) for warning in sorted(self.warnings, key=self._order)
        )

    def error_text(self, filename: str = "") -> str:
        """The error with its lines, as buildx prints it; empty when there is none.

        Args:
            filename: what the file is called, instead of what the frontend calls it.
        """
        if self.error is None:
            return ""
        return f"{self.error.message}\n{lines_of(self.error.place, self.sources, filename)}"

    def _printed(self, warning: LintWarning, filename: str) -> str:
        url = f" - {warning.url}" if warning.url else ""
        lines = lines_of(warning.place, self.sources, filename)
        return f"\nWARNING: {warning.rule}{url}\n{warning.detail}\n{lines}"

    def _order(self, warning: LintWarning) -> tuple[int, str, int, int, str]:
        """Without a place first, then by file and line."""
        place = warning.place
        if place is None or not 0 <= place.index < len(self.sources):
            return (0, "", 0, 0, warning.rule)
        filename = self.sources[place.index].filename
        if not place.ranges:
            return (1, filename, 0, 0, warning.rule)
        return (1, filename, 1, place.line, "")


def _results(
    document: Mapping[str, Any],
) -> tuple[tuple[LintWarning, ...], LintError | None, tuple[SourceInfo, ...]]:
    warnings = tuple(
        LintWarning(
            string(w, "ruleName"),
            string(w, "description"),
            string(w, "url"),
            string(w, "detail"),
            place_of(w),
        )
        for w in items(document, "warnings")
    )
    error = None
    if document.get("buildError") is not None:
        found = struct(document, "buildError")
        error = LintError(string(found, "message"), place_of(found))
    return warnings, error, tuple(source_of(source) for source in items(document, "sources"))
