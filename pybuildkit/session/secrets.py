"""``moby.buildkit.secrets.v1.Secrets``: gives the daemon the secrets that a build asks for, when it asks (S86)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeAlias

from pybuildkit import _wire
from pybuildkit.errors import BuildKitError
from pybuildkit.session.calls import AsyncCall, AsyncHandler, Code, MachineFactory, StatusError

__all__ = ["GET_SECRET", "MAX_SECRET_SIZE", "SecretSource", "SecretsService"]

GET_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"  # noqa: S105 - a method's name

MAX_SECRET_SIZE = 500 * 1024
"""Bytes of one secret (R12)."""

SecretSource: TypeAlias = Callable[[], Awaitable[bytes]]
"""Fetches a secret. Called anew each time the build asks: nothing is kept here."""


class SecretsService:
    """The secrets of a session.

    Args:
        sources: by id.

    Attributes:
        missing: ids that were asked for and are not among the sources, in the order of the first asking.
        failed: ids whose source raised, with what it raised; the daemon is told only what can not hold a value.
    """

    def __init__(self, sources: Mapping[str, SecretSource]) -> None:
        self._sources = sources
        self._missing: dict[str, None] = {}
        self._refusals: Counter[str] = Counter()
        self.failed: dict[str, Exception] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """See the class."""
        return tuple(self._missing)

    @property
    def ids(self) -> Collection[str]:
        """All that there are."""
        return self._sources.keys()

    def refusals(self, id: str) -> int:  # noqa: A002 - what it is called
        """How often one was asked for and could not be had."""
        return self._refusals[id]

    @property
    def machines(self) -> Mapping[str, MachineFactory]:
        """See ``Service.machines``."""
        return {}

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {GET_SECRET: self._get}

    async def _get(self, call: AsyncCall) -> None:
        request = await call.receive()
        try:
            name = _wire.first(request or b"", 1).decode()
        except ValueError:
            raise StatusError(Code.INVALID_ARGUMENT, "not a GetSecretRequest") from None
        source = self._sources.get(name)
        if source is None:
            self._missing[name] = None
            self._refusals[name] += 1
            raise StatusError(Code.NOT_FOUND, "not found")
        value = await self._fetch(name, source)
        if len(value) > MAX_SECRET_SIZE:
            self._refusals[name] += 1
            raise StatusError(Code.UNKNOWN, f"invalid secret size {len(value)}")
        # proto3 leaves an empty value out.
        await call.send(_wire.field_bytes(1, value) if value else b"")

    async def _fetch(self, name: str, source: SecretSource) -> bytes:
        try:
            value = await source()
            if not isinstance(value, bytes):
                raise TypeError(f"a secret must be bytes, not {type(value).__name__}")
        except Exception as exc:  # noqa: BLE001 - whatever it is, the build is told and goes wrong by it
            self.failed[name] = exc
            self._refusals[name] += 1
            raise StatusError(Code.UNKNOWN, f"secret {name!r} can not be had: {_harmless(exc)}") from None
        return value


def _harmless(error: Exception) -> str:
    """What of an error may travel: texts of this library and of the system hold no values, others might."""
    if isinstance(error, BuildKitError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
