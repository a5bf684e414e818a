"""Source policies by a function: asked of each source of a build, with what the daemon knows of it (S91).

A function can look at more than rules can: at an image's configuration and attestations, a commit's signature, a file's
digest. It allows, denies, or replaces a source, or asks for more::

    def only_pinned(check: SourceCheck) -> Verdict:
        if check.identifier.startswith("docker-image://") and "@sha256:" not in check.identifier:
            return Deny("pin the image by its digest")
        return Allow()

    await buildkit.build(".", source_policy=only_pinned)
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from anyio import to_thread

from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError
from pybuildkit.platforms import Platform

if TYPE_CHECKING:
    from pybuildkit.gateway.sources import SourceMetadata

__all__ = ["Allow", "AskMore", "Convert", "Deny", "SourceCheck", "SourceChecker", "Verdict", "verifier"]

_ALLOW, _DENY, _CONVERT = range(3)


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """A source that a build wants to use.

    Attributes:
        source: what is known of it; an image's, a commit's or a file's data only after ``AskMore``.
        platform: for which it is wanted, None when that does not matter.
    """

    source: SourceMetadata
    platform: Platform | None = None

    @property
    def identifier(self) -> str:
        """As ``docker-image://docker.io/library/alpine:3``."""
        return self.source.identifier

    @property
    def attrs(self) -> Mapping[str, str]:
        """The source's attributes, as ``http.checksum``."""
        return self.source.attrs


@dataclass(frozen=True, slots=True)
class Allow:
    """The source may be used."""


class Deny:
    """The source may not be used.

    Args:
        reasons: what the build's error says, one line each.
    """

    __slots__ = ("reasons",)

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons

    def __repr__(self) -> str:
        """With the reasons."""
        return f"Deny({', '.join(map(repr, self.reasons))})"


@dataclass(frozen=True, slots=True)
class Convert:
    """Another source is to be used in its place; that one is checked as well.

    Attributes:
        identifier: the other source's.
        attrs: its attributes, all of them: none of the first one's are kept.
    """

    identifier: str
    attrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskMore:
    """The daemon is to look up more, and ask again; ten times at most for one source.

    Attributes:
        config: an image's configuration.
        attestation_chain: the blobs that lead to an image's attestations.
        attestations: predicate types of attestations whose content is wanted.
        git_objects: a commit's and a tag's objects, for their signatures.
        checksum: a file's digest: ``sha256``, ``sha384`` or ``sha512``.
        platform: of an image; the one that the build wants when None.
    """

    config: bool = False
    attestation_chain: bool = False
    attestations: tuple[str, ...] = ()
    git_objects: bool = False
    checksum: str = ""
    platform: Platform | None = None


Verdict: TypeAlias = "Allow | Deny | Convert | AskMore"
SourceChecker: TypeAlias = Callable[[SourceCheck], "Verdict | Awaitable[Verdict]"]
"""Decides on a source. A coroutine function runs on the event loop, a plain one in a thread, so that it may block."""


def verifier(check: SourceChecker) -> Callable[[bytes], Awaitable[bytes]]:
    """What answers the daemon by asking a function; for ``pybuildkit.session.policy``."""

    async def answer(request: bytes) -> bytes:
        # Only now: most builds have no such function, and the gateway's modules are many.
        from pybuildkit.control.workers import decode_platform
        from pybuildkit.gateway._proto import Message
        from pybuildkit.gateway.sources import decode_source

        found = Message(request)
        source = decode_source(found.message(2))
        platform = decode_platform(found.blob(1)) if 1 in found else None
        asked = SourceCheck(source, platform)
        return _encode(await _call(check, asked), asked)

    return answer


async def _call(check: SourceChecker, asked: SourceCheck) -> object:
    call_async = inspect.iscoroutinefunction(check) or inspect.iscoroutinefunction(
        getattr(check, "__call__", None)  # noqa: B004 - an object with an async __call__
    )
    found: object = check(asked) if call_async else await to_thread.run_sync(check, asked)
    return await found if inspect.isawaitable(found) else found


def _encode(verdict: object, asked: SourceCheck) -> bytes:
    """``CheckPolicyResponse``."""
    from pybuildkit.gateway import _proto as p

    if isinstance(verdict, Allow):
        return p.message(1, p.number(1, _ALLOW))
    if isinstance(verdict, Deny):
        reasons = b"".join(p.message(2, p.text(1, reason)) for reason in verdict.reasons)
        return p.message(1, p.number(1, _DENY) + reasons)
    if isinstance(verdict, Convert):
        update = p.text(1, verdict.identifier) + p.text_map(2, verdict.attrs)
        return p.message(1, p.number(1, _CONVERT) + p.message(3, update))
    if isinstance(verdict, AskMore):
        return p.message(2, _question(verdict, asked))
    raise ConfigError(
        f"a check of sources returned {type(verdict).__name__}: return Allow(), Deny(), Convert() or AskMore()"
    )


def _question(verdict: AskMore, asked: SourceCheck) -> bytes:
    """The question for more; the daemon wants the very same source in it (S91)."""
    from pybuildkit.gateway.sources import SourceQuery

    return SourceQuery(
        identifier=asked.identifier,
        attrs=asked.attrs,
        platform=verdict.platform or asked.platform,
        config=verdict.config,
        attestation_chain=verdict.attestation_chain,
        attestations=verdict.attestations,
        git_objects=verdict.git_objects,
        checksum=(verdict.checksum, b"") if verdict.checksum else None,  # type: ignore[arg-type]
    ).encode()
