"""Where a docker engine's API is: ``DOCKER_HOST``, docker contexts, or the usual socket."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError

__all__ = ["Engine", "find_engine"]

DEFAULT_HOST = "unix:///var/run/docker.sock"
_PLAIN_PORT, _TLS_PORT = 2375, 2376


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine's API: a unix socket, or a host and a port.

    Attributes:
        text: as it was named, for messages.
        socket_path: the unix socket, empty for tcp.
        host: the host, empty for a unix socket.
        port: the port.
        tls: what to speak TLS with; None for plain text.
    """

    text: str
    socket_path: str = ""
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class _Certificates:
    """A folder with ``ca.pem``, ``cert.pem`` and ``key.pem``, and whether the engine's is checked."""

    folder: Path
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """What the files say, those that are there.

        Raises:
            ConfigError: a file can not be used.
        """
        ca, cert, key = (self.folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
        try:
            context = ssl.create_default_context(cafile=str(ca) if ca.exists() else None)
            if cert.exists():
                context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"the docker certificates in {self.folder} can not be used: {exc}") from exc
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def find_engine(context: str = "", environ: Mapping[str, str] | None = None) -> Engine:
    """The engine that the docker command would use. Reads files: not for the event loop.

    In this order: the named context; ``DOCKER_HOST`` with ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH``;
    ``DOCKER_CONTEXT``; the current context of ``config.json``; ``/var/run/docker.sock``.

    Args:
        context: a docker context's name; empty for the usual engine.
        environ: the environment, ``os.environ`` by default.

    Raises:
        ConfigError: the context does not exist, or the engine is reached in a way that is not supported.
    """
    environ = os.environ if environ is None else environ
    home = Path(environ.get("HOME", "/"))
    config = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    if context and context != "default":
        return _from_context(config, context)
    if host := environ.get("DOCKER_HOST"):
        return _engine(host, "$DOCKER_HOST", _certificates(environ, config))
    name = "" if context else environ.get("DOCKER_CONTEXT") or _current_context(config)
    if name and name != "default":
        return _from_context(config, name)
    return _engine(DEFAULT_HOST, "the default", None)


def _certificates(environ: Mapping[str, str], config: Path) -> _Certificates | None:
    folder, verify = environ.get("DOCKER_CERT_PATH"), bool(environ.get("DOCKER_TLS_VERIFY"))
    return _Certificates(Path(folder or config), verify) if folder or verify else None


def _current_context(config: Path) -> str:
    try:
        value = json.loads((config / "config.json").read_bytes())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{config / 'config.json'} can not be read: {exc}") from exc
    return str(value.get("currentContext", "")) if isinstance(value, dict) else ""


def _from_context(config: Path, name: str) -> Engine:
    key = hashlib.sha256(name.encode()).hexdigest()
    path = config / "contexts" / "meta" / key / "meta.json"
    try:
        meta: dict[str, Any] = json.loads(path.read_bytes())
        endpoint = meta["Endpoints"]["docker"]
        host = str(endpoint["Host"])
    except FileNotFoundError:
        raise ConfigError(f"there is no docker context {name!r}; 'docker context ls' lists them") from None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"docker context {name!r} can not be read from {path}: {exc}") from exc
    tls = config / "contexts" / "tls" / key / "docker"
    skip = bool(endpoint.get("SkipTLSVerify"))
    certificates = _Certificates(tls, verify=not skip) if tls.is_dir() or skip else None
    return _engine(host, f"docker context {name!r}", certificates)


def _engine(host: str, where: str, certificates: _Certificates | None) -> Engine:
    try:
        url = urlsplit(host)
        port = url.port
    except ValueError as exc:
        raise ConfigError(f"the docker engine of {where}, {host!r}, can not be read: {exc}") from exc
    if url.scheme == "unix" and url.path and not url.netloc:
        return Engine(host, socket_path=url.path)
    if url.scheme in ("tcp", "http", "https") and url.hostname:
        tls = certificates or (_Certificates(Path("/")) if url.scheme == "https" else None)
        default = _TLS_PORT if tls else _PLAIN_PORT
        return Engine(host, host=url.hostname, port=port or default, tls=tls.context() if tls else None)
    raise ConfigError(
        f"the docker engine of {where}, {host!r}, can not be reached from here; only unix:///path and "
        "tcp://host:port are supported"
    )
