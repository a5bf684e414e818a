"""A broker for registries that is made when the daemon first asks: most builds need none, and its modules are many."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybuildkit.registry.auth import AuthBroker

__all__ = ["AuthOpener"]


class AuthOpener:
    """Gives the broker for what a user has given as ``auth=``; every time the same.

    Args:
        auth: see ``AuthLike``; docker's own configuration when None.

    Raises:
        ConfigError: it can not work; what is given is looked at at once.
    """

    def __init__(self, auth: object = None) -> None:
        self._auth = auth
        self._broker: AuthBroker | None = None
        self._lock = threading.Lock()
        if auth is not None and not isinstance(auth, bool):
            self()

    def __call__(self) -> AuthBroker:
        """The broker; the first time it takes as long as its modules take to be imported."""
        with self._lock:
            if self._broker is None:
                from pybuildkit.registry.auth import auth_broker

                self._broker = auth_broker(self._auth)
            return self._broker

    def forget(self) -> None:
        """Have the broker look everything up anew, if there is one yet."""
        if self._broker is not None:
            self._broker.forget()

    @property
    def nobody(self) -> bool:
        """Whether no registry is to be opened at all."""
        return self._auth is False
