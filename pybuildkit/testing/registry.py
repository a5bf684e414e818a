"""A registry on loopback for tests: the distribution project's own program."""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pybuildkit._values import dataclass
from pybuildkit.daemon.binary import search_path
from pybuildkit.daemon.guarded import DaemonLog, Guarded
from pybuildkit.errors import ConfigError, DaemonError

__all__ = ["REGISTRY_VARIABLE", "Registry", "TokenAuth", "find_registry"]

REGISTRY_VARIABLE = "PYBUILDKIT_REGISTRY"
"""Names the registry binary to use."""

_BINARY_NAMES = ("registry", "docker-registry")
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """A registry that sends its clients to a token server.

    Attributes:
        realm: the token server's URL.
        service: the service's name, which tokens must be for.
        issuer: who must have signed them.
        root_certificates: PEM file with the certificate of the signing key.
    """

    realm: str
    service: str
    issuer: str
    root_certificates: Path


class Registry:
    """A registry on a free port of 127.0.0.1, empty at first, gone at the end.

    ::

        with Registry() as registry:
            push(busybox(), f"{registry.host}/library/busybox:latest")

    Args:
        binary: the program; see ``find_registry`` for what is done without.
        certificate: PEM file; with it and ``key`` the registry speaks HTTPS.
        key: PEM file.
        users: name to password of who may use it, by HTTP basic authentication; everybody by default.
        token: send clients to a token server instead.
        delete: whether manifests and blobs may be deleted.
        start_timeout: seconds until it must listen.

    Raises:
        ConfigError: an argument can not work.
    """

    def __init__(
        self,
        binary: str | os.PathLike[str] | None = None,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        users: Mapping[str, str] | None = None,
        token: TokenAuth | None = None,
        delete: bool = True,
        start_timeout: float = 20.0,
    ) -> None:
        if (certificate is None) != (key is None):
            raise ConfigError("certificate and key of a registry go together; give both or none")
        if users and token:
            raise ConfigError("users and token exclude each other; give one of them")
        self._binary = find_registry(binary)
        self._certificate, self._key = certificate, key
        self._users = dict(users or {})
        self._token = token
        self._delete = delete
        self._start_timeout = start_timeout
        self._guarded: Guarded | None = None
        self._host = ""

    @property
    def host(self) -> str:
        """As ``127.0.0.1:40001``: the first part of a reference.

        Raises:
            DaemonError: it is not running.
        """
        if self._guarded is None:
            raise DaemonError("this registry is not running; use it in a with block, or call start()")
        return self._host

    @property
    def url(self) -> str:
        """As ``http://127.0.0.1:40001``, which also says how a mirror is spoken to.

        Raises:
            DaemonError: it is not running.
        """
        return f"{'https' if self._certificate else 'http'}://{self.host}"

    def start(self) -> Self:
        """Start it, and wait until it listens.

        Raises:
            DaemonError: it can not be started, or ended; with its log.
        """
        if self._guarded is not None:
            raise DaemonError("this registry is running already")
        if self._binary is None:
            raise DaemonError(
                "there is no registry binary: install the distribution project's 'registry' (the package "
                f"'docker-registry'), put it on PATH or name it in ${REGISTRY_VARIABLE}"
            )
        with ExitStack() as undo:
            folder = Path(tempfile.mkdtemp(prefix="pybuildkit-registry-"))
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            log = DaemonLog(None)
            undo.callback(log.close)
            config = self._write_config(folder)
            self._guarded = Guarded(
                [str(self._binary), "serve", str(config)],
                environ=_environ(),
                log=log,
                isolate=False,
                remove=[folder],
                grace=5.0,
            )
            undo.pop_all()
        try:
            self._host = self._wait(self._guarded)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it, and wait until nothing of it is left. Does nothing when it does not run."""
        guarded, self._guarded = self._guarded, None
        if guarded is not None:
            try:
                guarded.stop()
            finally:
                guarded.log.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self, guarded: Guarded) -> str:
        """The host and port it says it listens on; it chooses the port itself, so nobody can be quicker."""
        deadline = time.monotonic() + self._start_timeout
        while True:
            said = guarded.log.tail()
            if found := _LISTENING.search(said):
                return found[1]
            if not guarded.alive:
                raise DaemonError(
                    f"the registry ended with code {guarded.code} instead of starting", log=said
                )
            if time.monotonic() > deadline:
                raise DaemonError(f"the registry did not listen within {self._start_timeout:g} s", log=said)
            time.sleep(_POLL_SECONDS)

    def _write_config(self, folder: Path) -> Path:
        # JSON is YAML, and needs no library to write.
        import json

        http: dict[str, object] = {"addr": "127.0.0.1:0", "secret": secrets.token_hex(16)}
        if self._certificate is not None:
            http["tls"] = {"certificate": str(self._certificate), "key": str(self._key)}
        config: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "data")},
                "delete": {"enabled": self._delete},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": http,
        }
        if auth := self._auth(folder):
            config["auth"] = auth
        path = folder / "config.yml"
        path.write_text(json.dumps(config))
        return path

    def _auth(self, folder: Path) -> dict[str, object]:
        if self._token is not None:
            return {
                "token": {
                    "realm": self._token.realm,
                    "service": self._token.service,
                    "issuer": self._token.issuer,
                    "rootcertbundle": str(self._token.root_certificates),
                }
            }
        if self._users:
            path = folder / "htpasswd"
            path.write_text(
                "".join(f"{user}:{_bcrypt(password)}\n" for user, password in self._users.items())
            )
            return {"htpasswd": {"realm": "pybuildkit tests", "path": str(path)}}
        return {}


def find_registry(binary: str | os.PathLike[str] | None = None) -> Path | None:
    """Find the registry binary: the argument, else ``$PYBUILDKIT_REGISTRY``, else the PATH.

    Returns:
        The binary's path; None when none is named and none is found.

    Raises:
        ConfigError: one is named, and is not an executable file.
    """
    path = search_path(os.environ)
    named = binary or os.environ.get(REGISTRY_VARIABLE)
    for name in [named] if named else _BINARY_NAMES:
        if found := shutil.which(os.fspath(name), path=path):
            return Path(found).absolute()
    if named:
        raise ConfigError(f"the registry binary {os.fspath(named)!r} is not an executable file")
    return None


def _environ() -> dict[str, str]:
    # Variables named REGISTRY_* override the configuration file; traces would go to a collector on loopback.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    return {**kept, "OTEL_TRACES_EXPORTER": "none"}


def _bcrypt(password: str) -> str:
    """A password as the registry wants it in its htpasswd file.

    By the C library's crypt: Python's own module for it is gone since 3.13, and a dependency for the
    tests of one option would be too much.

    Raises:
        ConfigError: this machine's libcrypt can not do it.
    """
    try:
        crypt = ctypes.CDLL("libcrypt.so.1").crypt
    except OSError as exc:
        raise ConfigError(f"users need the C library 'libcrypt.so.1': {exc}") from exc
    crypt.restype = ctypes.c_char_p
    alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    salt = "".join(secrets.choice(alphabet) for _ in range(21)) + "."
    hashed: bytes | None = crypt(password.encode(), f"$2b$04${salt}".encode())
    if hashed is None or not hashed.startswith(b"$2b$"):
        raise ConfigError("this machine's libcrypt does not know bcrypt, which users need")
    return hashed.decode()
