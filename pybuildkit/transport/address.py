"""Addresses of a daemon: what forms there are, and which one is used when none is given (N1 to N9)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = [
    "SYSTEM_SOCKET",
    "Address",
    "DockerContainerAddress",
    "TCPAddress",
    "UnixAddress",
    "default_address",
    "parse_address",
]

SYSTEM_SOCKET = "/run/buildkit/buildkitd.sock"
"""Where a system-wide daemon listens on Linux (N1)."""

SOCKET_PATH_LIMIT = 107
"""The longest path of a unix socket in bytes: ``sun_path`` less its closing zero."""

_FORMS = "unix:///path/to/buildkitd.sock, tcp://host:port or docker-container://name"
_CONTAINER_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket on this machine."""

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


@dataclass(frozen=True, slots=True)
class TCPAddress:
    """A host, by name or IP address (an IPv6 one without brackets), and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://{self.host_port}"

    @property
    def host_port(self) -> str:
        """As ``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class DockerContainerAddress:
    """A container of a docker engine, in which ``buildctl dial-stdio`` is run.

    Attributes:
        name: the container's name or id.
        context: the docker context that says where the engine is; empty for the usual one.
    """

    name: str
    context: str = ""

    def __str__(self) -> str:
        return f"docker-container://{self.name}" + (f"?context={self.context}" if self.context else "")


Address: TypeAlias = UnixAddress | TCPAddress | DockerContainerAddress


def parse_address(text: str) -> Address:
    """Read an address.

    Args:
        text: as ``unix:///run/buildkit/buildkitd.sock``, ``tcp://127.0.0.1:1234`` or
            ``docker-container://buildkitd?context=remote``.

    Raises:
        ConfigError: no such form, or a part of it can not be.
    """
    if text.startswith("unix:///") and not any(mark in text for mark in "?#@"):
        return _unix(text)
    from urllib.parse import urlsplit  # a matter of start-up time, as below

    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as exc:
        raise ConfigError(f"address {text!r} can not be read: {exc}; use {_FORMS}") from exc
    if url.username is not None or url.password is not None:
        raise ConfigError(f"address of scheme {url.scheme!r} has a user or password; leave it out")
    if url.fragment:
        raise ConfigError(f"address {text!r} has a fragment; leave #{url.fragment} out")
    if url.scheme == "unix":
        if url.netloc or url.query:
            raise _no_path(text)
        return _unix(text)
    if url.scheme == "tcp":
        return _tcp(text, url, port)
    if url.scheme == "docker-container":
        return _docker_container(text, url)
    if not url.scheme or "://" not in text:
        hint = f"did you mean unix://{text}?" if text.startswith("/") else f"use {_FORMS}"
        raise ConfigError(f"address {text!r} has no scheme; {hint}")
    raise ConfigError(f"address {text!r} has the unknown scheme {url.scheme!r}; use {_FORMS}")


def _no_path(text: str) -> ConfigError:
    return ConfigError(f"address {text!r} has no absolute path; write unix:///path/to/buildkitd.sock")


def _unix(text: str) -> UnixAddress:
    # The path is taken as it is, without URL decoding, as Go does: a file may be called "a%20b".
    path = text.removeprefix("unix://")
    if not path.startswith("/"):
        raise _no_path(text)
    size = len(os.fsencode(path))
    if size > SOCKET_PATH_LIMIT:
        raise ConfigError(
            f"address {text!r} has a path of {size} bytes; a unix socket's has at most {SOCKET_PATH_LIMIT}"
        )
    return UnixAddress(path)


def _tcp(text: str, url: SplitResult, port: int | None) -> TCPAddress:
    if not url.hostname or not port:
        raise ConfigError(f"address {text!r} needs a host and a port; write tcp://host:1234")
    if url.path not in ("", "/") or url.query:
        raise ConfigError(f"address {text!r} has something behind the port; write tcp://host:1234")
    return TCPAddress(url.hostname, port)


def _docker_container(text: str, url: SplitResult) -> DockerContainerAddress:
    from urllib.parse import parse_qsl, unquote

    name = unquote(url.netloc)
    if not re.fullmatch(_CONTAINER_NAME, name) or url.path not in ("", "/"):
        raise ConfigError(f"address {text!r} names no container; write docker-container://name")
    context = ""
    for key, value in parse_qsl(url.query, keep_blank_values=True):
        if key != "context":
            raise ConfigError(f"address {text!r} has the unknown parameter {key!r}; only context= is known")
        context = value
    return DockerContainerAddress(name, context)


def default_address(environ: Mapping[str, str] | None = None) -> str | None:
    """The address to use when none is given.

    ``BUILDKIT_HOST``, else the system-wide daemon's socket, else the rootless one of this user; None
    when there is none of them, which means: start a private daemon. A socket counts when it is there
    and this user may write to it: a root-only one must not hide one's own.

    Args:
        environ: the environment, ``os.environ`` by default.
    """
    environ = os.environ if environ is None else environ
    if host := environ.get("BUILDKIT_HOST"):
        return host
    candidates = [SYSTEM_SOCKET]
    if runtime_dir := environ.get("XDG_RUNTIME_DIR"):
        candidates.append(f"{runtime_dir}/buildkit/buildkitd.sock")
    for path in candidates:
        if _is_usable_socket(path):
            return f"unix://{path}"
    return None


def _is_usable_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode) and os.access(path, os.W_OK)  # noqa: PTH116 - see above
    except OSError:
        return False
