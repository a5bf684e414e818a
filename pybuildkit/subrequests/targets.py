"""``frontend.targets``: what a Dockerfile can build (V78)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybuildkit._json import items, string, strings
from pybuildkit._values import dataclass, field
from pybuildkit.subrequests.places import Place, columns, data_of, place_of, read
from pybuildkit.subrequests.requests import Answer

__all__ = ["Target", "Targets"]


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Attributes:
        name: its name; empty for the last stage when that has none.
        default: whether it is built when none is asked for.
        description: from the comment before it.
        base: the image or the stage that it begins with.
        platform: as the Dockerfile says it.
        place: where it begins.
    """

    name: str = ""
    default: bool = False
    description: str = ""
    base: str = ""
    platform: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """What a Dockerfile can build.

    Attributes:
        targets: in the Dockerfile's order.
        sources: the contents of the files that places are in.
        answer: as it came.
    """

    targets: tuple[Target, ...] = ()
    sources: tuple[bytes, ...] = ()
    answer: Answer = field(default_factory=Answer, repr=False)

    @classmethod
    def read(cls, answer: Answer) -> Targets:
        """Read the answer to ``frontend.targets``.

        Raises:
            RPCError: it can not be read.
            FrontendError: there is none.
        """

        def listed(document: Mapping[str, Any]) -> Targets:
            return cls(
                tuple(_target(target) for target in items(document, "targets")),
                tuple(data_of(text) for text in strings(document, "sources")),
                answer,
            )

        return read(answer.json, "frontend.targets", listed)

    def text(self) -> str:
        """As buildx prints it."""
        if self.answer.newer_than("1.0.0"):
            return self.answer.text
        rows = [("TARGET", "DESCRIPTION")]
        for target in self.targets:
            name = f"{target.name} (default)".strip() if target.default else target.name
            rows.append((name, target.description))
        return columns(rows, 1)


def _target(fields: Mapping[str, Any]) -> Target:
    return Target(
        string(fields, "name"),
        fields.get("default") is True,
        string(fields, "description"),
        string(fields, "base"),
        string(fields, "platform"),
        place_of(fields),
    )
