"""What buildkitd tells a frontend in its environment (V60)."""

from __future__ import annotations

from collections.abc import Mapping

from pybuildkit._values import dataclass, field

__all__ = ["Environment"]

_OPTION = "BUILDKIT_FRONTEND_OPT_"
_SESSION = "BUILDKIT_SESSION_ID"
_PRODUCT = "BUILDKIT_EXPORTEDPRODUCT"
_WORKERS = "BUILDKIT_WORKERS"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a frontend is told when it is started. The workers are there too, but the first call tells of them better.

    Attributes:
        options: the frontend's attributes.
        session: the id of the session of whoever started the build.
        product: what the daemon is part of, as ``buildkit`` or ``docker``; empty when it does not say.
        started: whether a daemon has made this environment.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    session: str = ""
    product: str = ""
    started: bool = False

    @classmethod
    def parse(cls, environ: Mapping[str, str]) -> Environment:
        """Read it out of the variables of a process."""
        options = {}
        for name, text in environ.items():
            if name.startswith(_OPTION):
                key, _, value = text.partition("=")
                options[key] = value
        started = _SESSION in environ and _WORKERS in environ
        return cls(options, environ.get(_SESSION, ""), environ.get(_PRODUCT, ""), started)
