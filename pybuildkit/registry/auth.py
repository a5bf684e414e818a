"""How registries are opened: what users give as ``auth=``, and the one who looks it up while builds run."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio import to_thread

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError
from pybuildkit.registry.credentials import (
    ANONYMOUS,
    CredentialFunction,
    Credentials,
    CredentialsLike,
    CredentialSource,
    coerce_source,
)
from pybuildkit.registry.dockerconfig import DockerConfig
from pybuildkit.registry.hosts import canonical_host
from pybuildkit.registry.seeds import SEED_SIZE, TokenSeeds
from pybuildkit.registry.tokens import Token, TokenRequest
from pybuildkit.registrytls import RegistryTLS, parse_registry_tls

if TYPE_CHECKING:
    import ssl

__all__ = ["AuthBroker", "AuthLike", "RegistryAuth", "SourceLike", "auth_broker"]

CACHED_FOR = 290.0
"""Seconds that credentials are kept once looked up (S76): some clouds' live for five minutes."""

SourceLike: TypeAlias = "bool | Mapping[str, CredentialsLike | None] | CredentialFunction | CredentialSource | Sequence[SourceLike]"
"""True for docker's own configuration, False for nobody; credentials by host; a function of the host; a source; of
several the first that knows a host decides."""

AuthLike: TypeAlias = "SourceLike | RegistryAuth"
"""What ``auth=`` takes."""


@dataclass(frozen=True, slots=True, repr=False)
class RegistryAuth:
    """How registries are opened, with TLS towards their token servers.

    As ``RegistryAuth({"registry.example": ("ci", token)}, tls="host=registry.example,ca=ca.pem")``.

    Attributes:
        credentials: what ``auth=`` takes; docker's own configuration when None.
        tls: by registry host, or as buildctl's texts ``host=HOST,ca=FILE``. It is for the token servers, which this
            side talks to; the registries themselves are the daemon's business, and in its configuration.
    """

    credentials: SourceLike | None = None
    tls: Mapping[str, RegistryTLS] | str | Iterable[str] = ()

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            ConfigError: one can not work.
        """
        coerce_source(self.credentials)
        found = self.tls if isinstance(self.tls, Mapping) else parse_registry_tls(self.tls)
        object.__setattr__(self, "tls", {canonical_host(host): tls for host, tls in found.items()})

    def __repr__(self) -> str:
        """What kind of credentials, and for which hosts TLS is set up."""
        kind = type(self.credentials).__name__
        return f"RegistryAuth(<{kind}>, tls={sorted(self.tls)})"


class AuthBroker:
    """Looks up credentials, tokens and seeds, and keeps them for a while; for builds on one event loop.

    Args:
        auth: where they come from.
        environ: the environment; this process' when not given.
    """

    def __init__(self, auth: RegistryAuth, *, environ: Mapping[str, str] | None = None) -> None:
        self._source = coerce_source(auth.credentials)
        assert isinstance(auth.tls, Mapping)
        self._tls = auth.tls
        self._environ = os.environ if environ is None else environ
        self._lock: anyio.Lock | None = None  # made on the event loop
        self._known: dict[str, tuple[float, Credentials]] = {}
        self._tokens: dict[tuple[str, TokenRequest], tuple[float, Token]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._seeds: TokenSeeds | None = None
        self._own_seeds: dict[tuple[str, Credentials], bytes] = {}

    async def credentials(self, host: str) -> Credentials:
        """The credentials for a registry, anonymous ones when there are none.

        One look-up at a time: some credential helpers, macOS' above all, do not bear two (S76).

        Raises:
            ConfigError, SessionError: there should be some, and they can not be had.
        """
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            when, found = self._known.get(host, (-CACHED_FOR, ANONYMOUS))
            if time.monotonic() - when >= CACHED_FOR:
                found = await self._source.lookup(host) or ANONYMOUS
                self._known[host] = time.monotonic(), found
            return found

    def forget(self) -> None:
        """A registry has refused what it was given: look everything up anew, whoever corrects it need not wait."""
        self._known.clear()
        self._tokens.clear()

    def has_tls(self, host: str) -> bool:
        """Whether TLS towards the registry's token server was set up here."""
        return canonical_host(host) in self._tls

    async def token(self, host: str, request: TokenRequest, *, fresh: bool = False) -> Token:
        """A token for a registry: a known one as long as it lives, unless it must be fresh.

        Raises:
            ConfigError, SessionError: it can not be had.
        """
        now = time.time()
        until, token = self._tokens.get((host, request), (0.0, Token("")))
        if not fresh and now < until:
            return token
        credentials = await self.credentials(host)
        from pybuildkit.registry.fetching import fetch_token  # TLS and HTTP, for those who need them

        try:
            token = await fetch_token(request, credentials, tls=await self._context(host))
        except BaseException:
            self.forget()
            raise
        self._tokens = {key: value for key, value in self._tokens.items() if value[0] > now}
        self._tokens[host, request] = token.fresh_until(now), token
        return token

    async def seed(self, host: str) -> bytes:
        """What tells this client's identity for a registry from that of others; empty when it is anonymous (S70).

        For docker's own configuration it is the one that docker's tools use: they and this client share tokens in the
        daemon. Other credentials have one each, so that nobody is given what another one's password has opened.

        Raises:
            ConfigError, SessionError: the credentials can not be had.
        """
        credentials = await self.credentials(host)
        if not credentials:
            return b""
        if isinstance(self._source, DockerConfig):
            if self._seeds is None:
                self._seeds = TokenSeeds(self._source.folder)
            return await to_thread.run_sync(self._seeds.get, host)
        return self._own_seeds.setdefault((host, credentials), secrets.token_bytes(SEED_SIZE))

    async def _context(self, host: str) -> ssl.SSLContext | None:
        """One context a host: what is set up for one must not be used for another (X26)."""
        name = canonical_host(host)
        if name not in self._tls:
            return None
        if name not in self._contexts:
            self._contexts[name] = await to_thread.run_sync(_make_context, name, self._tls[name])
        return self._contexts[name]


def _make_context(host: str, tls: RegistryTLS) -> ssl.SSLContext:
    """The system's authorities and those that are named (S78)."""
    import ssl

    context = ssl.create_default_context()
    for file in tls.ca:
        with _naming(host, file):
            context.load_verify_locations(os.fspath(file))
    for certificate, key in tls.key_pairs:
        with _naming(host, certificate):
            # Without a function for the password, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(os.fspath(certificate), os.fspath(key), password=lambda: "")
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _naming(host: str, file: str | os.PathLike[str]) -> Generator[None]:
    """Say which file can not be used."""
    try:
        yield
    except (OSError, ValueError) as exc:  # ssl's own errors are OSErrors
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise ConfigError(f"registry TLS for {host}: {os.fspath(file)!r} can not be used: {reason}") from None


def auth_broker(value: object) -> AuthBroker:
    """A broker for what users give as ``auth=``; one that is there already stays.

    Raises:
        ConfigError: it can not work.
    """
    if isinstance(value, AuthBroker):
        return value
    return AuthBroker(value if isinstance(value, RegistryAuth) else RegistryAuth(value))  # type: ignore[arg-type]
