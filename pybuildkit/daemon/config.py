"""The daemon's configuration file, from typed arguments and what the user adds."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit.daemon.toml import Table, Value
from pybuildkit.errors import ConfigError

__all__ = ["Mirrors", "Network", "ServerTLS", "Settings", "build_config", "merge"]

Mirrors: TypeAlias = Mapping[str, Sequence[str]]
"""Registry host to the hosts to ask first, as ``{"docker.io": ["http://localhost:5000"]}``."""

Network: TypeAlias = Literal["auto", "host", "cni", "bridge", "none"]
"""What a RUN's network is by default; ``auto`` is CNI when it is set up, the host's otherwise."""

_NETWORKS = ("auto", "host", "cni", "bridge", "none")
_ENTITLEMENTS = ("network.host", "security.insecure", "device")


@dataclass(frozen=True, slots=True)
class ServerTLS:
    """What a daemon that listens on tcp shows and demands.

    Attributes:
        cert: the daemon's certificate, a PEM file.
        key: its key, a PEM file.
        client_ca: clients must show a certificate of this authority; None lets everyone in.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def files(self) -> dict[str, Path]:
        """The daemon's name of each file to its absolute path."""
        named = {"cert": self.cert, "key": self.key, "ca": self.client_ca}
        return {name: Path(path).absolute() for name, path in named.items() if path is not None}

    def check(self) -> None:
        """Look whether the files are there.

        Raises:
            ConfigError: one is not.
        """
        for name, path in self.files().items():
            if not path.is_file():
                raise ConfigError(f"the daemon's TLS {name} file {str(path)!r} is not there")


@dataclass(frozen=True, slots=True)
class Settings:
    """The typed part of a daemon's configuration; see ``Buildkitd`` for what each one means."""

    mirrors: Mirrors = field(default_factory=dict)
    entitlements: Sequence[str] = ()
    max_parallelism: int | None = None
    gc: bool | None = None
    snapshotter: str | None = None
    network: Network | None = None
    worker: Table = field(default_factory=dict)
    tls: ServerTLS | None = None
    debug: bool = False


def build_config(
    settings: Settings, extra: Table | str | None, *, base: Table | None = None
) -> dict[str, Value]:
    """The configuration that a user asks for: the own one, with what the arguments say written over it.

    Args:
        settings: the typed arguments.
        extra: the user's own, a mapping or TOML text.
        base: what holds where the user says nothing.

    Raises:
        ConfigError: the text is not TOML, or an argument can not work.
    """
    config = merge(base or {}, _table(extra))
    if worker := _worker(settings):
        config = merge(config, {"worker": {"oci": worker}})
    if settings.entitlements:
        config = merge(config, {"insecure-entitlements": _entitlements(settings.entitlements)})
    if settings.mirrors:
        config = merge(config, {"registry": _registries(settings.mirrors)})
    if settings.debug:
        config = merge(config, {"log": {"level": "debug"}})
    if settings.tls is not None:
        config = merge(config, {"grpc": {"tls": _tls(settings.tls)}})
    return config


def merge(base: Table, over: Table) -> dict[str, Value]:
    """Two tables as one: tables are merged, anything else of the second wins."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _table(extra: Table | str | None) -> Table:
    if isinstance(extra, str):
        try:
            return tomllib.loads(extra)
        except tomllib.TOMLDecodeError as exc:
            raise ConfigError(f"the daemon's configuration is not TOML: {exc}") from exc
    return extra or {}


def _worker(settings: Settings) -> Table:
    worker: dict[str, Value] = {}
    if settings.max_parallelism is not None:
        if settings.max_parallelism < 1:
            raise ConfigError(
                f"max_parallelism is {settings.max_parallelism}; use 1 or more, None for no limit"
            )
        worker["max-parallelism"] = settings.max_parallelism
    if settings.gc is not None:
        worker["gc"] = settings.gc
    if settings.snapshotter is not None:
        worker["snapshotter"] = settings.snapshotter
    if settings.network is not None:
        if settings.network not in _NETWORKS:
            raise ConfigError(f"network is {settings.network!r}; use one of {', '.join(_NETWORKS)}")
        worker["networkMode"] = settings.network
    return merge(worker, settings.worker)


def _entitlements(names: Sequence[str]) -> list[Value]:
    for name in names:
        if name not in _ENTITLEMENTS:
            raise ConfigError(f"entitlement {name!r} is not known; use {', '.join(_ENTITLEMENTS)}")
    return list(names)


def _registries(mirrors: Mirrors) -> Table:
    """The registry sections: the mirrors of each host, and which mirrors speak plain HTTP."""
    sections: dict[str, Value] = {}
    for host, urls in mirrors.items():
        if isinstance(urls, str):
            raise ConfigError(f"mirrors of {host!r} is the text {urls!r}; give a list of hosts")
        names: list[Value] = []
        for url in urls:
            name, plain = _mirror(url)
            names.append(name)
            if plain:
                sections = merge(sections, {name.partition("/")[0]: {"http": True}})
        sections = merge(sections, {host: {"mirrors": names}})
    return sections


def _mirror(url: str) -> tuple[str, bool]:
    """A mirror's host (and path), and whether it speaks plain HTTP: said so, or on this machine."""
    if "@" in url:
        raise ConfigError(
            "a mirror has a user or password in it; mirrors are asked with the client's credentials"
        )
    scheme, _, rest = url.rpartition("://")
    name = rest.rstrip("/")
    if scheme not in ("", "http", "https") or not name:
        raise ConfigError(
            f"mirror {url!r} can not be read; write host:port, http://host:port or https://host"
        )
    if scheme:
        return name, scheme == "http"
    return name, _is_loopback(name.partition("/")[0])


def _is_loopback(host_port: str) -> bool:
    host = host_port.rpartition(":")[0] or host_port
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _tls(tls: ServerTLS) -> Table:
    return {name: str(path) for name, path in tls.files().items()}
