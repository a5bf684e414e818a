"""Build secrets: where they come from. The bytes are fetched only when the build asks, and rest nowhere.

A secret can be bytes, a file, an environment variable, or a function that fetches it. A plain string is refused
on purpose: it would be unclear whether it is the secret or a path to it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from pybuildkit import csvattrs
from pybuildkit.errors import ConfigError

__all__ = ["MAX_SECRET_SIZE", "Secret", "SecretLike", "Secrets", "coerce_secrets"]

MAX_SECRET_SIZE = 500 * 1024
"""What the daemon accepts, in bytes (R12)."""

SecretFunction: TypeAlias = Callable[[], "bytes | Awaitable[bytes]"]


class Secret:
    """Where one secret comes from. Make one with ``file``, ``env``, ``value`` or ``call``.

    Its ``repr`` names the source and never the value.
    """

    __slots__ = ("_kind", "_source")

    def __init__(self, kind: str, source: object) -> None:
        self._kind = kind
        self._source = source

    @classmethod
    def file(cls, path: str | os.PathLike[str]) -> Secret:
        """The contents of a file, read when the build asks; ``~`` is expanded."""
        return cls("file", Path(path).expanduser())

    @classmethod
    def env(cls, name: str) -> Secret:
        """The value of an environment variable of this process, read when the build asks."""
        if not name:
            raise ConfigError("a secret from the environment needs the variable's name")
        return cls("env", name)

    @classmethod
    def value(cls, data: bytes | bytearray | memoryview) -> Secret:
        """Those bytes."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ConfigError(
                f"a secret's value must be bytes, not {type(data).__name__}; encode a text: text.encode()"
            )
        return cls("value", bytes(data))

    @classmethod
    def call(cls, function: SecretFunction) -> Secret:
        """What a function returns, called each time the build asks.

        A coroutine function runs on the event loop, a plain one in a thread, so that it may block.
        """
        if not callable(function):
            raise ConfigError(f"a secret's function must be callable, not {type(function).__name__}")
        return cls("call", function)

    @classmethod
    def of(cls, value: SecretLike) -> Secret:
        """A secret from whatever users write: bytes, a ``Path``, a function, a ``Secret``.

        Raises:
            ConfigError: it is none of these; above all a plain string.
        """
        if isinstance(value, Secret):
            return value
        if isinstance(value, str):
            raise ConfigError(
                "a secret can not be a plain string: give bytes for the value or a Path for a file"
            )
        if isinstance(value, bytes | bytearray | memoryview):
            return cls.value(value)
        if isinstance(value, os.PathLike):
            return cls.file(value)
        if callable(value):
            return cls.call(value)
        raise ConfigError(
            f"a secret can not be {type(value).__name__}: give bytes, a Path, a function or a pybuildkit.Secret"
        )

    @classmethod
    def parse(cls, text: str, *, environ: Mapping[str, str] | None = None) -> tuple[str, Secret]:
        """Read buildctl's ``id=ID[,src=PATH][,env=NAME][,type=file|env]``; gives the id and the secret (B26).

        With neither ``src`` nor ``env`` it is the variable called like the id, else the file called like it
        (S87). With both the variable is taken, as buildctl does. Unlike there a variable that is not set is
        an error, found by ``check``.

        Args:
            text: the option.
            environ: the environment to look into; this process' when not given.

        Raises:
            ConfigError: a key is unknown, or the id is missing.
        """
        values = _parse_fields(text)
        name = values.get("id", "")
        if not name:
            raise ConfigError(f"secret {text!r} has no id, write id=NAME")
        kind, path, variable = values.get("type", ""), values.get("src", ""), values.get("env", "")
        if kind == "env":
            return name, cls.env(variable or path or name)
        if variable:
            return name, cls.env(variable)
        if path:
            return name, cls.file(path)
        if kind != "file" and name in (os.environ if environ is None else environ):
            return name, cls.env(name)
        return name, cls.file(name)

    def check(self, secret_id: str) -> None:
        """Find out before the build whether the secret can be had at all.

        Calls no function. May block on a stat.

        Raises:
            ConfigError: the file is missing, unreadable or too big, the variable is not set, the value is too
                big.
        """
        if isinstance(self._source, Path):
            self._check_file(secret_id, self._source)
        elif self._kind == "env":
            self._sized(self._from_env(secret_id), secret_id)
        elif isinstance(self._source, bytes):
            self._sized(self._source, secret_id)

    async def resolve(self, secret_id: str) -> bytes:
        """Fetch the value; files and plain functions in a thread.

        Raises:
            ConfigError: it can not be had, or is bigger than the daemon accepts. What a function raises
                passes.
        """
        source = self._source
        if isinstance(source, bytes):
            return self._sized(source, secret_id)
        if self._kind == "env":
            return self._sized(self._from_env(secret_id), secret_id)
        from anyio import to_thread  # a matter of start-up time

        if isinstance(source, Path):
            path = source
            return self._sized(await to_thread.run_sync(lambda: _read(path, secret_id)), secret_id)
        assert callable(source)
        call_async = inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(
            getattr(source, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        data = source() if call_async else await to_thread.run_sync(source)
        if inspect.isawaitable(data):
            data = await data
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ConfigError(
                f"secret {secret_id!r}: its function returned {type(data).__name__}, it must return bytes"
            )
        return self._sized(bytes(data), secret_id)

    def _check_file(self, secret_id: str, path: Path) -> None:
        try:
            size = path.stat().st_size
        except OSError as exc:
            raise ConfigError(
                f"secret {secret_id!r}: the file {str(path)!r} can not be read: {exc.strerror}"
            ) from exc
        if path.is_dir():
            raise ConfigError(f"secret {secret_id!r}: {str(path)!r} is a directory, name a file")
        if not os.access(path, os.R_OK):
            raise ConfigError(
                f"secret {secret_id!r}: the file {str(path)!r} can not be read: Permission denied"
            )
        if size > MAX_SECRET_SIZE:
            raise _too_big(secret_id, size)

    def _from_env(self, secret_id: str) -> bytes:
        name = str(self._source)
        value = os.environ.get(name)
        if value is None:
            raise ConfigError(f"secret {secret_id!r}: the environment variable {name} is not set")
        return os.fsencode(value)

    @staticmethod
    def _sized(data: bytes, secret_id: str) -> bytes:
        if len(data) > MAX_SECRET_SIZE:
            raise _too_big(secret_id, len(data))
        return data

    def __eq__(self, other: object) -> bool:
        """Same source."""
        if not isinstance(other, Secret):
            return NotImplemented
        return (self._kind, self._source) == (other._kind, other._source)

    def __hash__(self) -> int:
        return hash((self._kind, self._source))

    def __repr__(self) -> str:
        """The source, never the value."""
        if self._kind == "file":
            return f"Secret.file({str(self._source)!r})"
        if self._kind == "env":
            return f"Secret.env({self._source!r})"
        if self._kind == "value":
            return "Secret.value(<hidden>)"
        return f"Secret.call({getattr(self._source, '__qualname__', type(self._source).__qualname__)})"

    def __reduce__(self) -> tuple[type[Secret], tuple[str, object]]:
        """Refuse to be pickled with a value: pickles come to rest somewhere."""
        if self._kind == "value":
            raise TypeError("a secret's value is not pickled, use Secret.file, Secret.env or Secret.call")
        return Secret, (self._kind, self._source)


SecretLike: TypeAlias = Secret | bytes | bytearray | memoryview | os.PathLike[str] | SecretFunction
Secrets: TypeAlias = "Mapping[str, SecretLike] | Iterable[str] | str"
"""By id; or buildctl's texts, one or several."""


def coerce_secrets(value: Secrets | None) -> dict[str, Secret]:
    """Secrets by id from whatever users write.

    Raises:
        ConfigError: one of them can not be a secret.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        out: dict[str, Secret] = {}
        for name, item in value.items():
            if not name:
                raise ConfigError("a secret's id is empty")
            try:
                out[name] = Secret.of(item)
            except ConfigError as exc:
                raise ConfigError(f"secret {name!r}: {exc}") from None
        return out
    return dict(Secret.parse(text) for text in ([value] if isinstance(value, str) else value))


def _parse_fields(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in csvattrs.pairs(text, what="secret"):
        key = {"source": "src"}.get(key, key)
        if key not in {"id", "src", "env", "type"}:
            raise ConfigError(f"secret {text!r}: the key {key!r} is not one of id, src, source, env, type")
        if key == "type" and value not in {"file", "env"}:
            raise ConfigError(f"secret {text!r}: type={value} is not file or env")
        values[key] = value
    return values


def _read(path: Path, secret_id: str) -> bytes:
    """One byte more than allowed at most: enough to know."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_SECRET_SIZE + 1)
    except OSError as exc:
        raise ConfigError(
            f"secret {secret_id!r}: the file {str(path)!r} can not be read: {exc.strerror}"
        ) from exc


def _too_big(secret_id: str, size: int) -> ConfigError:
    return ConfigError(
        f"secret {secret_id!r} has {size:,} bytes, BuildKit allows {MAX_SECRET_SIZE:,}; send big files as a context"
    )
