"""Tokens of registries: which one is wanted, and one that was given."""

from __future__ import annotations

from pybuildkit._values import dataclass

__all__ = ["CLIENT_ID", "DEFAULT_LIFE", "Token", "TokenRequest"]

CLIENT_ID = "buildkit-client"

DEFAULT_LIFE = 60
"""Seconds that a token lives when the server does not say (S69)."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Which token is wanted, in the registry's own words.

    Attributes:
        realm: the token server's URL.
        service: for which service.
        scopes: what for, as ``repository:library/busybox:pull``.
        client_id: who asks, to the server's logs.
    """

    realm: str
    service: str = ""
    scopes: tuple[str, ...] = ()
    client_id: str = CLIENT_ID


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token. Its ``repr`` does not show it.

    Attributes:
        value: the token.
        expires_in: seconds that it lives from its issue.
        issued_at: Unix time of its issue; 0 when the server does not say.
    """

    value: str
    expires_in: int = DEFAULT_LIFE
    issued_at: int = 0

    def fresh_until(self, now: float) -> float:
        """The Unix time up to which it should be used: a tenth of its life is kept in reserve, as the daemon does."""
        return (self.issued_at or now) + self.expires_in * 0.9

    def __repr__(self) -> str:
        """Its life."""
        return f"Token(<hidden>, expires_in={self.expires_in}, issued_at={self.issued_at})"
