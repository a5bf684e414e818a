"""The daemon's configuration file, from typed arguments and what the user adds."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pybuildkit.daemon.toml import Table, Value
from pybuildkit.errors import ConfigError

__all__ = ["Mirrors", "Network", "ServerTLS", "Settings", "build_config"]

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
    settings: Settings,
    extra: Table | str | None,
    *,
    root: Path,
    addresses: Sequence[str],
    trace_socket: Path,
    cgroup: str,
) -> dict[str, Value]:
    """The whole configuration: the user's, with what the arguments say written over it.

    Args:
        settings: the typed arguments.
        extra: the user's own, a mapping or TOML text.
        root: where the daemon keeps its state.
        addresses: where it listens.
        trace_socket: where builds hand in traces; the daemon's default is one path for all daemons.
        cgroup: the parent of all containers' cgroups.

    Raises:
        ConfigError: the text is not TOML, or an argument can not work.
    """
    oci: dict[str, Value] = {"defaultCgroupParent": cgroup}
    # buildkitd would take in a containerd that happens to run on this machine.
    base: dict[str, Value] = {"worker": {"oci": oci, "containerd": {"enabled": False}}}
    base["otel"] = {"socketPath": str(trace_socket)}
    config = merge(base, _table(extra))
    config = merge(config, {"worker": {"oci": _worker(settings)}})
    if settings.entitlements:
        config = merge(config, {"insecure-entitlements": _entitlements(settings.entitlements)})
    if settings.mirrors:
        config = merge(config, {"registry": _registries(settings.mirrors)})
    if settings.debug:
        config = merge(config, {"log": {"level": "debug"}})
    grpc: dict[str, Value] = {"address": list(addresses)}
    if settings.tls is not None:
        grpc["tls"] = _tls(settings.tls)
    return merge(config, {"root": str(root), "grpc": grpc})


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
    scheme, _, rest = url.rpartition("://")
    name = rest.rstrip("/")
    if scheme not in ("", "http", "https") or not name or "@" in name:
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
    files = {"cert": tls.cert, "key": tls.key, "ca": tls.client_ca}
    for name, path in files.items():
        if path is not None and not Path(path).is_file():
            raise ConfigError(f"the daemon's TLS {name} file {str(path)!r} is not there")
    return {name: str(Path(path).absolute()) for name, path in files.items() if path is not None}
