"""``frontend.outline``: what a Dockerfile's target takes (V78)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pybuildkit._json import items, string, strings
from pybuildkit._values import dataclass, field
from pybuildkit.subrequests.places import Place, columns, data_of, place_of, read
from pybuildkit.subrequests.requests import Answer

__all__ = ["Argument", "CacheMount", "Outline", "SSHUse", "SecretUse"]


@dataclass(frozen=True, slots=True)
class Argument:
    """A build argument.

    Attributes:
        name: its name.
        description: from the comment before it.
        value: its value, given or by default.
        place: where it is declared.
    """

    name: str
    description: str = ""
    value: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class SecretUse:
    """A secret that a step uses; without ``required`` the step runs without it as well."""

    name: str
    required: bool = False
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class SSHUse:
    """An SSH agent that a step uses, likewise."""

    name: str
    required: bool = False
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class CacheMount:
    """A cache that a step mounts."""

    id: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """What a target takes.

    Attributes:
        name: the target, empty for the last stage when that has no name.
        description: from the comment before it.
        args: its build arguments.
        secrets: the secrets that its steps use.
        ssh: the SSH agents that they use.
        caches: the caches that they mount.
        sources: the contents of the files that places are in.
        answer: as it came.
    """

    name: str = ""
    description: str = ""
    args: tuple[Argument, ...] = ()
    secrets: tuple[SecretUse, ...] = ()
    ssh: tuple[SSHUse, ...] = ()
    caches: tuple[CacheMount, ...] = ()
    sources: tuple[bytes, ...] = ()
    answer: Answer = field(default_factory=Answer, repr=False)

    @classmethod
    def read(cls, answer: Answer) -> Outline:
        """Read the answer to ``frontend.outline``.

        Raises:
            RPCError: it can not be read.
            FrontendError: there is none.
        """

        def outline(document: Mapping[str, Any]) -> Outline:
            return cls(
                string(document, "name"),
                string(document, "description"),
                tuple(
                    Argument(string(a, "name"), string(a, "description"), string(a, "value"), place_of(a))
                    for a in items(document, "args")
                ),
                tuple(
                    SecretUse(string(s, "name"), s.get("required") is True, place_of(s))
                    for s in items(document, "secrets")
                ),
                tuple(
                    SSHUse(string(s, "name"), s.get("required") is True, place_of(s))
                    for s in items(document, "ssh")
                ),
                tuple(CacheMount(string(c, "ID"), place_of(c)) for c in items(document, "cache")),
                tuple(data_of(text) for text in strings(document, "sources")),
                answer,
            )

        return read(answer.json, "frontend.outline", outline)

    def text(self) -> str:
        """As buildx prints it."""
        if self.answer.newer_than("1.0.0"):
            return self.answer.text
        blocks = []
        if self.name or self.description:
            rows = [("TARGET:", self.name or "(default)")]
            rows += [("DESCRIPTION:", self.description)] if self.description else []
            blocks.append(columns(rows, 1))
        if self.args:
            args = [(a.name, a.value, a.description) for a in self.args]
            blocks.append(columns([("BUILD ARG", "VALUE", "DESCRIPTION"), *args], 3))
        if self.secrets:
            blocks.append(_uses("SECRET", self.secrets))
        if self.ssh:
            blocks.append(_uses("SSH", self.ssh))
        return "".join(f"{block}\n" for block in blocks)


def _uses(what: str, uses: Sequence[SecretUse | SSHUse]) -> str:
    return columns([(what, "REQUIRED"), *((use.name, "true" if use.required else "") for use in uses)], 3)
