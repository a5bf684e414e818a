"""The kinds of references: one that waits, one that blocks. Results are the same for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from pybuildkit.gateway.bridge import Bridge
    from pybuildkit.gateway.reference import Reference

    RefT = TypeVar("RefT", bound="AnyReference", default=Reference, covariant=True)
else:
    from typing import TypeVar

    RefT = TypeVar("RefT", covariant=True)

__all__ = ["AnyReference", "RefT"]


class AnyReference(Protocol):
    """A reference of either kind."""

    @property
    def id(self) -> str:
        """What the daemon calls it."""
        ...

    def encode(self, bridge: Bridge) -> bytes:
        """The message ``Ref``; ConfigError when it belongs to another build."""
        ...
