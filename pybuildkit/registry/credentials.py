"""Credentials for registries, and the places they can come from.

They are looked up when the daemon asks, host by host, and rest nowhere.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeAlias, cast, runtime_checkable

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError
from pybuildkit.registry.hosts import canonical_host

__all__ = [
    "ANONYMOUS",
    "CredentialFunction",
    "CredentialSource",
    "Credentials",
    "CredentialsLike",
    "coerce_source",
]


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What opens a registry. Its ``repr`` shows no secret.

    Mostly a name and a password; instead of the password some registries take an access token in its place.

    Attributes:
        username: who.
        password: the password, or a personal access token.
        identity_token: what an OAuth login gave instead of both; the token server turns it into tokens.
        registry_token: a finished token for the registry itself, handed over as it is.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __post_init__(self) -> None:
        """Check what could not be sent, without ever showing it."""
        for name in ("username", "password", "identity_token", "registry_token"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise ConfigError(f"Credentials: {name}= must be a string, not {type(value).__name__}")
        if ":" in self.username:
            raise ConfigError(f"Credentials: the user name {self.username!r} can not have a colon")

    @property
    def login(self) -> tuple[str, str]:
        """The name and the secret as the daemon wants them; an identity token has no name (S68)."""
        return ("", self.identity_token) if self.identity_token else (self.username, self.password)

    @property
    def secret(self) -> str:
        """The password or the identity token."""
        return self.login[1]

    def __bool__(self) -> bool:
        """Whether there is anything secret in it: without, it is anonymous."""
        return bool(self.secret or self.registry_token)

    def __repr__(self) -> str:
        """The name, and of which kind the secrets are."""
        shown = [f"username={self.username!r}"] if self.username else []
        hidden = ("password", "identity_token", "registry_token")
        shown += [f"{name}=<hidden>" for name in hidden if getattr(self, name)]
        return f"Credentials({', '.join(shown)})"


ANONYMOUS = Credentials()
"""No credentials."""

CredentialsLike: TypeAlias = Credentials | tuple[str, str]
"""Credentials, or a user name and a password."""

CredentialFunction: TypeAlias = Callable[[str], "CredentialsLike | Awaitable[CredentialsLike | None] | None"]
"""Is given a registry's host, as ``ghcr.io`` or ``docker.io``; None passes."""


@runtime_checkable
class CredentialSource(Protocol):
    """A place where credentials come from; ``DockerConfig`` is one."""

    async def lookup(self, host: str) -> Credentials | None:
        """Credentials for a registry, None when it has none.

        Args:
            host: as the daemon calls it, as ``registry-1.docker.io`` or ``127.0.0.1:5000``.

        Raises:
            ConfigError, SessionError: it should have some, and they can not be had.
        """
        ...


def as_credentials(value: object, host: str) -> Credentials | None:
    """Credentials from what users write for a host; its text never shows the value.

    Raises:
        ConfigError: it is nothing of the kind.
    """
    if value is None or isinstance(value, Credentials):
        return value
    if isinstance(value, tuple):
        pair = cast("tuple[object, ...]", value)
        if len(pair) == 2 and all(isinstance(part, str) for part in pair):
            return Credentials(cast("str", pair[0]), cast("str", pair[1]))
    raise ConfigError(
        f"auth for {host!r} can not be {type(value).__name__}: give Credentials, or (user, password)"
    )


class MappingSource:
    """Credentials by host, in memory."""

    def __init__(self, hosts: Mapping[str, CredentialsLike | None]) -> None:
        self._hosts: dict[str, Credentials | None] = {}
        for name, value in hosts.items():
            if not isinstance(name, str) or not (host := canonical_host(name)):
                raise ConfigError(f"auth: {name!r} is not the name of a registry, as 'ghcr.io'")
            if host in self._hosts:
                raise ConfigError(f"auth: {host} is given twice, the second time as {name!r}")
            self._hosts[host] = as_credentials(value, name)

    async def lookup(self, host: str) -> Credentials | None:
        """See ``CredentialSource``."""
        return self._hosts.get(canonical_host(host))


class FunctionSource:
    """Credentials from a function; a plain one is called in a thread, so it may block."""

    def __init__(self, function: CredentialFunction) -> None:
        self._function = function

    async def lookup(self, host: str) -> Credentials | None:
        """See ``CredentialSource``. What the function raises passes."""
        from anyio import to_thread

        name = canonical_host(host)
        function = self._function
        call_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        found = function(name) if call_async else await to_thread.run_sync(function, name)
        if inspect.isawaitable(found):
            found = await found
        return as_credentials(found, name)


class Chain:
    """Several sources; the first that knows a host decides."""

    def __init__(self, sources: Iterable[CredentialSource]) -> None:
        self._sources = tuple(sources)

    async def lookup(self, host: str) -> Credentials | None:
        """See ``CredentialSource``."""
        for source in self._sources:
            found = await source.lookup(host)
            if found is not None:
                return found
        return None


def coerce_source(value: object) -> CredentialSource:
    """A source from what users write as ``auth=``.

    None and True are docker's own configuration, False is nobody; a mapping goes by host; a function is asked with the
    host; of a list the first that knows a host decides.

    Raises:
        ConfigError: it is none of these.
    """
    if value is None or value is True:
        from pybuildkit.registry.dockerconfig import DockerConfig

        return DockerConfig()
    if value is False:
        return MappingSource({})
    if isinstance(value, CredentialSource):
        return value
    if isinstance(value, Mapping):
        return MappingSource(cast("Mapping[str, CredentialsLike | None]", value))
    if callable(value):
        return FunctionSource(cast("CredentialFunction", value))
    if isinstance(value, list | tuple) and not _is_login(cast("list[object] | tuple[object, ...]", value)):
        return Chain([coerce_source(item) for item in cast("list[object]", value)])
    raise ConfigError(
        f"auth= can not be {type(value).__name__}: give credentials by host, as {{'ghcr.io': (user, password)}}, "
        f"a function{', DockerConfig(folder)' if isinstance(value, str | os.PathLike) else ''}, or False for none"
    )


def _is_login(value: list[object] | tuple[object, ...]) -> bool:
    """Whether somebody forgot to say for which host."""
    return any(isinstance(item, str) for item in value)
