"""Docker's own configuration as a place for credentials: ``config.json``, and what stands beside it (S77)."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from anyio import to_thread

from pybuildkit._values import replace
from pybuildkit.errors import ConfigError
from pybuildkit.registry.credentials import Credentials
from pybuildkit.registry.helper import HELPER_TIMEOUT, ask_helper, helper_program
from pybuildkit.registry.hosts import canonical_host, config_key

__all__ = ["AUTH_VARIABLE", "FOLDER_VARIABLE", "DockerConfig", "docker_folder"]

FOLDER_VARIABLE = "DOCKER_CONFIG"
"""Names the folder with ``config.json``."""

AUTH_VARIABLE = "DOCKER_AUTH_CONFIG"
"""Holds entries that come before those of the file."""

_FILE = "config.json"
_log = logging.getLogger("pybuildkit.registry")


def docker_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of docker's configuration: ``$DOCKER_CONFIG``, else ``~/.docker``. It need not exist."""
    named = (os.environ if environ is None else environ).get(FOLDER_VARIABLE, "")
    return Path(named or os.path.expanduser("~/.docker"))  # noqa: PTH111 - without a home it stays as it is


class DockerConfig:
    """The credentials that ``docker login`` has stored, or has its helpers store.

    In this order: ``$DOCKER_AUTH_CONFIG``; the registry's helper in ``credHelpers``; the helper in ``credsStore``;
    ``auths``. The file is read anew each time.

    Args:
        folder: where ``config.json`` is; ``$DOCKER_CONFIG``, else ``~/.docker``, when not given.
        environ: the environment; this process' when not given.
        helper_timeout: seconds that a credential helper may take.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        helper_timeout: float = HELPER_TIMEOUT,
    ) -> None:
        self._folder = Path(folder).expanduser() if folder is not None else None
        self._environ = environ
        self._helper_timeout = helper_timeout

    @property
    def folder(self) -> Path:
        """Where ``config.json`` is looked for."""
        return self._folder or docker_folder(self._variables())

    def _variables(self) -> Mapping[str, str]:
        return os.environ if self._environ is None else self._environ

    async def lookup(self, host: str) -> Credentials | None:
        """See ``CredentialSource``.

        Raises:
            ConfigError: the file or the variable can not be understood.
            SessionError: a credential helper fails.
        """
        environ = self._variables()
        key = config_key(host)
        from_environ = (
            _entry(_parse(environ[AUTH_VARIABLE], _VARIABLE), key) if environ.get(AUTH_VARIABLE) else None
        )
        if from_environ is not None:
            return _credentials(from_environ, key, _VARIABLE)
        path = self.folder / _FILE
        config = await to_thread.run_sync(_load, path)
        entry = _entry(config, key)
        stored = _credentials(entry, key, str(path)) if entry is not None else None
        helper = await to_thread.run_sync(_helper, config, key, environ)
        if not helper:
            return stored
        found = await ask_helper(helper, key, environ=environ, timeout=self._helper_timeout)
        if stored is not None and stored.registry_token:
            return replace(found or Credentials(), registry_token=stored.registry_token)
        return found

    def __repr__(self) -> str:
        """With the folder, if one was given."""
        return f"DockerConfig({str(self._folder)!r})" if self._folder else "DockerConfig()"


_VARIABLE = f"${AUTH_VARIABLE}"


def _load(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError:
        # As with docker: the home may be somebody else's, and most builds need no credentials.
        _log.warning("%s can not be read, so registries are used without credentials", path)
        return {}
    except OSError as exc:
        raise ConfigError(f"{path} can not be read: {exc.strerror}") from None
    return _parse(data, str(path)) if data.strip() else {}


def _parse(text: str | bytes, where: str) -> dict[str, Any]:
    """The configuration with its keys in lower case: Go reads them in any."""
    found: object = None
    trouble = ""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as exc:
        trouble = f"JSON (line {exc.lineno})"
    except ValueError:
        trouble = "UTF-8"
    if trouble or not isinstance(found, dict):
        # Not from within the handlers: those exceptions have the document, and are kept as the new one's context.
        kind = trouble or "a JSON object"
        raise ConfigError(f"{where} is not {kind}; correct it, or give auth= to the client")
    config = {str(key).lower(): value for key, value in found.items()}
    for key in ("auths", "credhelpers"):
        if not isinstance(config.setdefault(key, {}) or {}, dict):
            raise ConfigError(f"{where}: {key} must be an object by registry")
        config[key] = config[key] or {}
    return config


def _entry(config: Mapping[str, Any], key: str) -> object:
    """The entry of a registry, None when there is none."""
    return _by_host(cast("Mapping[str, object]", config.get("auths", {})), key)


def _by_host(entries: Mapping[str, object], key: str) -> object:
    """What stands for a registry: under the exact key, else under any other way to write its name."""
    if key in entries:
        return entries[key]
    host = canonical_host(key)
    return next((entry for name, entry in entries.items() if canonical_host(name) == host), None)


def _credentials(entry: object, key: str, where: str) -> Credentials | None:
    """What an entry of ``auths`` says; ``auth`` goes before a plain name and password."""
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: the entry of {key} must be an object")
    values = {str(name).lower(): value for name, value in entry.items()}

    def text(name: str) -> str:
        value = values.get(name) or ""
        if not isinstance(value, str):
            raise ConfigError(f"{where}: {name} of {key} must be a string")
        return value

    user, password = text("username"), text("password")
    if auth := text("auth"):
        user, password = _decode_auth(auth, key, where)
    found = Credentials(user, password, text("identitytoken"), text("registrytoken"))
    return found or None


def _decode_auth(auth: str, key: str, where: str) -> tuple[str, str]:
    try:
        user, colon, password = base64.b64decode("".join(auth.split()), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = colon = password = ""
    if not colon or not user:
        raise ConfigError(f"{where}: auth of {key} is not base64 of user:password; run docker login {key}")
    return user, password.strip("\0")


def _helper(config: Mapping[str, Any], key: str, environ: Mapping[str, str]) -> str:
    """The helper that knows a registry, empty for none."""
    helpers = cast("Mapping[str, object]", config.get("credhelpers", {}))
    named = _by_host(helpers, key)
    if named is None:
        named = config.get("credsstore") or ""
        if not named and not helpers and not config.get("auths"):
            named = _default_helper(environ)
    if not isinstance(named, str):
        raise ConfigError(f"docker's configuration: the credential helper of {key} must be a string")
    return named


def _default_helper(environ: Mapping[str, str]) -> str:
    """What docker would store credentials in, where it has not been told and its helper is installed."""
    import shutil

    if sys.platform == "darwin":
        name = "osxkeychain"
    else:
        name = "pass" if shutil.which("pass", path=environ.get("PATH", os.defpath)) else "secretservice"
    return name if helper_program(name, environ) else ""
