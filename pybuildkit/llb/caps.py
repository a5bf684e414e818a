"""What a daemon can do, as it says itself (L79, L90)."""

from __future__ import annotations

from collections.abc import Iterable

from pybuildkit._values import dataclass
from pybuildkit.errors import Unsupported
from pybuildkit.llb import _caps

__all__ = ["KNOWN_CAPABILITIES", "CapSet", "Capability"]

KNOWN_CAPABILITIES: frozenset[str] = frozenset(_caps.ALL)
"""Ids of the capabilities that this library has a name for (appendix A)."""

# How texts call the capabilities that are not just experimental, or that have a name.
_FEATURES = {
    "file.base": "prerelease feature file.base",
    "exporter.sourcedateepoch": "experimental feature exporter.sourcedateepoch (source date epoch)",
}


@dataclass(frozen=True, slots=True)
class Capability:
    """One capability, as a daemon announces it.

    Attributes:
        id: its id, as ``mergeop``.
        enabled: whether the daemon lets graphs use it.
        deprecated: whether it will go away.
        reason: why it is off, as a code.
        message: why it is off, as a text.
        alternative: the id of what to use instead.
    """

    id: str
    enabled: bool = True
    deprecated: bool = False
    reason: str = ""
    message: str = ""
    alternative: str = ""


class CapSet:
    """The capabilities of one daemon.

    Args:
        capabilities: what it announced; a text is the id of an enabled one.
    """

    __slots__ = ("_by_id",)

    def __init__(self, capabilities: Iterable[Capability | str]) -> None:
        made = (cap if isinstance(cap, Capability) else Capability(cap) for cap in capabilities)
        self._by_id = {cap.id: cap for cap in made if cap.id}

    def __contains__(self, name: str) -> bool:
        """Whether the daemon announced it, enabled or not."""
        return name in self._by_id

    def supports(self, name: str) -> bool:
        """Whether graphs can use it: this library knows it, and the daemon has it enabled."""
        cap = self._by_id.get(name)
        return (
            cap is not None and cap.enabled and name in KNOWN_CAPABILITIES and name not in _caps.UNINITIALISED
        )

    def why_not(self, name: str) -> str:
        """Why graphs can not use it, empty when they can; the texts are the daemon's (L90)."""
        if name not in KNOWN_CAPABILITIES or name in _caps.UNINITIALISED:
            return f"unknown API capability {name}"
        cap = self._by_id.get(name)
        feature = _FEATURES.get(name, f"experimental feature {name}")
        if cap is None:
            return f"requested {feature} is not supported by build server, please update buildkitd"
        if not cap.enabled:
            text = f"requested {feature} has been disabled on the build server"
            return f"{text}: {cap.message}" if cap.message else text
        return ""

    def require(self, name: str) -> None:
        """Do nothing when graphs can use it.

        Raises:
            Unsupported: they can not.
        """
        if why := self.why_not(name):
            raise Unsupported(why, code="UNKNOWN", capability=name)

    def __repr__(self) -> str:
        return f"<CapSet of {len(self._by_id)}>"
