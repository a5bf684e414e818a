"""``moby.filesync.v1.Auth``: opens registries for the daemon (T11, S68 to S74).

With credentials this side fetches the tokens itself, so that the daemon sees no password where a token will do. For that
the daemon must know whom a token belongs to: the client has a key pair for each registry, made from a seed and the
daemon's salt, and signs what the daemon asks it to (S70 to S72).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pybuildkit import _wire
from pybuildkit.csvattrs import parse_bool
from pybuildkit.errors import BuildKitError, ConfigError
from pybuildkit.registry.tokens import CLIENT_ID, TokenRequest
from pybuildkit.session.calls import AsyncCall, AsyncHandler, Code, MachineFactory, StatusError

if TYPE_CHECKING:
    from pybuildkit.registry.auth import AuthBroker

__all__ = ["CREDENTIALS", "FETCH_TOKEN", "GET_AUTHORITY", "VERIFY_AUTHORITY", "AuthService"]

# The package is filesync's, although the file is not (T11).
CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
FETCH_TOKEN = "/moby.filesync.v1.Auth/FetchToken"  # noqa: S105 - a method's name
GET_AUTHORITY = "/moby.filesync.v1.Auth/GetTokenAuthority"
VERIFY_AUTHORITY = "/moby.filesync.v1.Auth/VerifyTokenAuthority"

NO_TOKENS_VARIABLE = "BUILDKIT_NO_CLIENT_TOKEN"
"""Set to a true value, the daemon gets credentials and fetches tokens itself (S74)."""

_LOGGER = "pybuildkit.registry"


class AuthService:
    """The way to registries for one session.

    Args:
        opener: gives who has the credentials, every time the same; sessions may share it. Called in a thread when
            the daemon first asks.
        environ: the environment; this process' when not given.
        notice: told what is done for the daemon in one line each, as buildctl shows it (S79); never a secret.

    Attributes:
        failed: hosts whose credentials or tokens could not be had, with the reason.
    """

    def __init__(
        self,
        opener: Callable[[], AuthBroker],
        *,
        environ: Mapping[str, str] | None = None,
        notice: Callable[[str], object] | None = None,
    ) -> None:
        self._opener = opener
        self._environ = os.environ if environ is None else environ
        self._notice = notice
        self._noticed: set[str] = set()
        self._handed: set[tuple[str, TokenRequest]] = set()
        self.failed: dict[str, BuildKitError] = {}

    @property
    def machines(self) -> Mapping[str, MachineFactory]:
        """See ``Service.machines``."""
        return {}

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {
            CREDENTIALS: self._credentials,
            FETCH_TOKEN: self._fetch_token,
            GET_AUTHORITY: self._get_authority,
            VERIFY_AUTHORITY: self._verify_authority,
        }

    async def _credentials(self, call: AsyncCall) -> None:
        request = await _Request.receive(call)
        host = request.text(1)
        with self._explained(host):
            broker = await self._broker()
            user, secret = (await broker.credentials(host)).login
        if secret:
            self._tell(f"[auth] sharing credentials for {host}")
        await call.send(_text(1, user), _text(2, secret))

    async def _fetch_token(self, call: AsyncCall) -> None:
        request = await _Request.receive(call)
        host = request.text(2)
        wanted = TokenRequest(
            request.text(3), request.text(4), request.texts(5), client_id=request.text(1) or CLIENT_ID
        )
        # A daemon that asks twice in a session could do nothing with the first one.
        fresh = (host, wanted) in self._handed
        with self._explained(host):
            broker = await self._broker()
            if await broker.credentials(host):
                scopes = " ".join(scope.removeprefix("repository:") for scope in wanted.scopes)
                self._tell(f"[auth] {scopes} token for {host}")
            token = await broker.token(host, wanted, fresh=fresh)
        self._handed.add((host, wanted))
        await call.send(
            _text(1, token.value),
            _wire.field_varint(2, token.expires_in),
            _wire.field_varint(3, token.issued_at),
        )

    async def _get_authority(self, call: AsyncCall) -> None:
        request = await _Request.receive(call)
        host = request.text(1)
        with self._explained(host):
            seed = await self._authority_seed(host)
        key = _SigningKey(seed, request.blob(2))
        await call.send(_wire.field_bytes(1, key.public))

    async def _verify_authority(self, call: AsyncCall) -> None:
        request = await _Request.receive(call)
        host = request.text(1)
        with self._explained(host):
            seed = await self._authority_seed(host)
        key = _SigningKey(seed, request.blob(3))
        await call.send(_wire.field_bytes(1, key.sign(request.blob(2))))

    async def _authority_seed(self, host: str) -> bytes:
        """The seed for a host, empty for an anonymous one.

        Raises:
            StatusError: tokens are not this client's business: UNAVAILABLE and UNIMPLEMENTED the daemon takes for
                that, and goes on by itself (S72).
        """
        if _is_true(self._environ.get(NO_TOKENS_VARIABLE)):
            raise StatusError(Code.UNAVAILABLE, "client side tokens disabled")
        if not _SigningKey.possible():
            raise StatusError(Code.UNIMPLEMENTED, "this client has no cryptography to sign with")
        broker = await self._broker()
        seed = await broker.seed(host)
        if not seed and not broker.has_tls(host):
            # Anybody can fetch an anonymous token: the daemon can, which reaches the registry for sure.
            raise StatusError(Code.UNAVAILABLE, f"this client has no credentials for {host}")
        return seed

    async def _broker(self) -> AuthBroker:
        """Who has the credentials; made in a thread the first time, since that takes a while."""
        from anyio import to_thread  # a matter of start-up time

        return await to_thread.run_sync(self._opener)

    def _explained(self, host: str) -> _Explained:
        return _Explained(self.failed, host)

    def _tell(self, line: str) -> None:
        """Say once what is done."""
        if line in self._noticed:
            return
        self._noticed.add(line)
        import logging  # a matter of start-up time

        logging.getLogger(_LOGGER).info("%s", line)
        if self._notice is not None:
            self._notice(line)


class _Explained:
    """Turns errors into what the daemon may know: texts of this library hold no secrets, others might."""

    def __init__(self, failed: dict[str, BuildKitError], host: str) -> None:
        self._failed = failed
        self._host = host

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, StatusError) or not isinstance(error, Exception):
            return
        if not isinstance(error, BuildKitError):
            error = ConfigError(f"the credentials for {self._host} can not be had: {type(error).__name__}")
        self._failed[self._host] = error
        raise StatusError(Code.UNKNOWN, str(error)) from None


class _Request:
    """A request's fields."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        # Reading all once finds out whether it is one.
        for _ in _wire.fields(data):
            pass

    @classmethod
    async def receive(cls, call: AsyncCall) -> _Request:
        """The request of a call.

        Raises:
            StatusError: it is none.
        """
        try:
            return cls(await call.receive() or b"")
        except _wire.ProtoDecodeError:
            raise StatusError(Code.INVALID_ARGUMENT, f"not a request of {call.method}") from None

    def blob(self, number: int) -> bytes:
        return _wire.first(self._data, number)

    def text(self, number: int) -> str:
        return self.blob(number).decode("utf-8", "replace")

    def texts(self, number: int) -> tuple[str, ...]:
        return tuple(_wire.strings(self._data, number))


class _SigningKey:
    """The key pair of this client for a registry, which only this daemon knows: its salt is in it (S70)."""

    def __init__(self, seed: bytes, salt: bytes) -> None:
        import hmac

        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(hmac.digest(salt, seed, "sha256"))

    @staticmethod
    def possible() -> bool:
        """Whether there is a library to sign with."""
        try:
            import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
        except ImportError:
            return False
        return True

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, payload: bytes) -> bytes:
        """The signature with the payload behind it, as NaCl has it (S71)."""
        return self._key.sign(payload) + payload


def _text(number: int, value: str) -> bytes:
    return _wire.field_bytes(number, value.encode()) if value else b""


def _is_true(value: str | None) -> bool:
    try:
        return value is not None and parse_bool(value, what=NO_TOKENS_VARIABLE)
    except ConfigError:
        return False
