"""What a frontend can be asked (V77), and what it answers to anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybuildkit._json import Malformed, items, string
from pybuildkit._values import dataclass, field
from pybuildkit.errors import FrontendError
from pybuildkit.subrequests.places import columns, read

__all__ = ["Answer", "Description", "Named", "Request"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a frontend answered, as it came.

    Attributes:
        metadata: everything: ``result.json``, ``result.txt``, ``version`` and whatever else.
    """

    metadata: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def json(self) -> str:
        """The answer as JSON, to the byte as the frontend wrote it.

        Raises:
            FrontendError: it did not answer in JSON.
        """
        if "result.json" not in self.metadata:
            raise FrontendError(
                "the frontend gave no answer; the stage, or a '# syntax=' line, names one that can not be asked"
            )
        return self.metadata["result.json"].decode(errors="replace")

    @property
    def text(self) -> str:
        """The answer as the frontend would print it; empty when it says none."""
        return self.metadata.get("result.txt", b"").decode(errors="replace")

    @property
    def status_code(self) -> int:
        """The exit code that a program should end with: not 0 when there is something to complain about."""
        found = self.metadata.get("result.statuscode", b"")
        return int(found) if found.isdigit() else 0

    def newer_than(self, version: str) -> bool:
        """Whether the frontend answers in a newer form than this library prints, and can print it itself."""
        theirs = self.metadata.get("version", b"").decode(errors="replace")
        return bool(theirs and self.text) and _parts(theirs) > _parts(version)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


@dataclass(frozen=True, slots=True)
class Named:
    """Something that belongs to a request."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that a frontend can be asked.

    Attributes:
        name: as ``frontend.outline``.
        version: of the answer's form.
        type: always ``rpc``.
        description: what it is.
        options: attributes that it takes.
        inputs: graphs that it takes.
        metadata: what the answer's metadata has.
        refs: references that the answer has.
    """

    name: str
    version: str = ""
    type: str = ""
    description: str = ""
    options: tuple[Named, ...] = ()
    inputs: tuple[Named, ...] = ()
    metadata: tuple[Named, ...] = ()
    refs: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """What a frontend can be asked. Dockerfile frontends answer more than they say: also ``frontend.lint`` (V77).

    Attributes:
        requests: what it says.
        answer: as it came.
    """

    requests: tuple[Request, ...]
    answer: Answer = field(default_factory=Answer, repr=False)

    @classmethod
    def read(cls, answer: Answer) -> Description:
        """Read the answer to ``frontend.subrequests.describe``.

        Raises:
            RPCError: it can not be read.
            FrontendError: there is none.
        """
        return cls(read(answer.json, "frontend.subrequests.describe", _requests), answer)

    def text(self) -> str:
        """As buildx prints it."""
        if self.answer.newer_than("1.0.0"):
            return self.answer.text
        rows = [("NAME", "VERSION", "DESCRIPTION")]
        rows += [(r.name.removeprefix("frontend."), r.version, r.description) for r in self.requests]
        return columns(rows, 1)


def _requests(document: Any) -> tuple[Request, ...]:
    if not isinstance(document, list):
        raise Malformed("no list")
    return tuple(
        Request(
            string(r, "name"),
            string(r, "version"),
            string(r, "type"),
            string(r, "description"),
            *(_named(r, key) for key in ("opts", "inputs", "metadata", "refs")),
        )
        for r in items({"requests": document}, "requests")
    )


def _named(fields: Mapping[str, Any], key: str) -> tuple[Named, ...]:
    return tuple(Named(string(n, "name"), string(n, "description")) for n in items(fields, key))
