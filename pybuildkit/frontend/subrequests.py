"""Questions about a frontend's input, answered in place of a build (V77 to V80)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from pybuildkit._values import dataclass
from pybuildkit.details import Subrequest as SubrequestDetail
from pybuildkit.errors import FrontendError
from pybuildkit.gateway.results import GatewayResult

__all__ = ["DESCRIBE", "Subrequest", "describe", "subrequest_result", "unsupported"]

DESCRIBE = "frontend.subrequests.describe"
_DESCRIBE_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class Subrequest:
    """A question that a frontend answers.

    Attributes:
        name: as ``frontend.lint``.
        version: of the answer's format.
        description: what it answers.
        function: answers it.
    """

    name: str
    version: str
    description: str
    function: Callable[[Any], Awaitable[Any]]

    def document(self) -> dict[str, Any]:
        """How the list of requests names it."""
        return {
            "name": self.name,
            "version": self.version,
            "type": "rpc",
            "description": self.description,
            "opts": None,
            "inputs": None,
            "metadata": [{"name": name, "description": ""} for name in ("result.json", "result.txt")],
            "refs": None,
        }


def subrequest_result(
    document: Any, *, text: str = "", version: str = "1.0.0", **metadata: str
) -> GatewayResult:
    """An answer.

    Args:
        document: for programs: what JSON can hold.
        text: for people; buildctl prints it.
        version: of the document's format.
        **metadata: more of it, whose names begin with ``result.`` in what clients get.
    """
    made: Mapping[str, bytes] = {
        "result.json": json.dumps(document, indent=2, ensure_ascii=False).encode(),
        "result.txt": text.encode(),
        "version": version.encode(),
        **{f"result.{name}": value.encode() for name, value in metadata.items()},
    }
    return GatewayResult(metadata=made)


def describe(known: Iterable[Subrequest]) -> GatewayResult:
    """The answer to the question which questions there are."""
    itself = Subrequest(DESCRIBE, _DESCRIBE_VERSION, "List available subrequest types", _never)
    listed = [*known, itself]
    names = [each.name.removeprefix("frontend.") for each in listed]
    width = max(map(len, names))
    lines = [f"{'NAME':<{width}} VERSION DESCRIPTION"]
    lines += [
        f"{n:<{width}} {each.version:<7} {each.description}" for n, each in zip(names, listed, strict=True)
    ]
    documents = [each.document() for each in listed]
    return subrequest_result(documents, text="\n".join(lines) + "\n", version=_DESCRIBE_VERSION)


def unsupported(name: str) -> FrontendError:
    """The error for a question that is not known (C56)."""
    return FrontendError(
        f"unsupported request {name}", code="UNIMPLEMENTED", details=[SubrequestDetail(name)]
    )


async def _never(_: object) -> GatewayResult:
    raise AssertionError("the frontend itself describes its requests")
