"""The request that a Dockerfile build makes of its frontend."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pybuildkit import csvattrs
from pybuildkit._values import dataclass, field
from pybuildkit.dockerfile.contexts import (
    Context,
    DockerfileSource,
    Gathered,
    add_context,
    add_named_contexts,
)
from pybuildkit.entitlements import NETWORK_HOST
from pybuildkit.errors import ConfigError
from pybuildkit.platforms import PlatformLike, join_platforms, parse_platforms
from pybuildkit.references import Reference

if TYPE_CHECKING:
    from pathlib import Path

    from pybuildkit.attestations import SBOM, Provenance
    from pybuildkit.dockerfile.resources import Hosts, Resources, Ulimits
    from pybuildkit.fsutil import FS

__all__ = ["FrontendRequest", "Network", "dockerfile_request"]

Network: TypeAlias = Literal["default", "sandbox", "none", "host"]

FORWARDED = ("SOURCE_DATE_EPOCH",)
"""Variables that become build arguments when nothing else is said (B12)."""


@dataclass(frozen=True, slots=True)
class FrontendRequest:
    """What a frontend is told, and what it may ask for.

    Attributes:
        frontend: its name.
        attrs: its attributes.
        locals: trees, by name.
        oci_layouts: directories with OCI layouts, by store id; the session serves them as ``oci:<id>`` (S93).
        entitlements: what the attributes need.
        names: the image's names, for outputs that have none.
        inline_cache: export the cache inside the image too, as the build argument ``BUILDKIT_INLINE_CACHE``
            asks.
        wants_ssh: a context is a git repository over SSH, so that the daemon will ask for an agent.
    """

    frontend: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    locals: Mapping[str, FS] = field(default_factory=dict)
    oci_layouts: Mapping[str, Path] = field(default_factory=dict)
    entitlements: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    inline_cache: bool = False
    wants_ssh: bool = False


def dockerfile_request(
    context: Context = ".",
    *,
    file: DockerfileSource = None,
    target: str = "",
    build_args: Mapping[str, str | None] | None = None,
    labels: Mapping[str, str] | None = None,
    platforms: PlatformLike | Iterable[PlatformLike] | None = None,
    tags: str | Iterable[str] = (),
    contexts: Mapping[str, Context] | None = None,
    no_cache: bool | str | Iterable[str] = False,
    pull: bool = False,
    add_hosts: Hosts = (),
    network: Network | str = "",
    hostname: str = "",
    shm_size: int | str = 0,
    ulimits: Ulimits = (),
    cgroup_parent: str = "",
    resources: Resources | None = None,
    sbom: bool | str | SBOM | None = None,
    provenance: bool | str | Provenance | None = None,
    syntax: str = "",
    attrs: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> FrontendRequest:
    """Turn options into a request. Blocks on a few stats.

    Args:
        context: a directory, a git or http URL, or a tree in memory.
        file: the Dockerfile: a path, or its text as bytes; by default ``Dockerfile`` in the context.
        target: the stage to build; the last when empty.
        build_args: values of ARG; None takes the variable from the environment, and is left out when that is
            not set.
        labels: labels of the image.
        platforms: what to build for; several make an index.
        tags: names of the image.
        contexts: named contexts.
        no_cache: run all steps again, or those of some stages.
        pull: resolve images anew.
        add_hosts: host names for steps.
        network: of steps; ``host`` also asks for the entitlement.
        hostname: of steps.
        shm_size: of /dev/shm, in bytes or as ``64m``.
        ulimits: of steps.
        cgroup_parent: of steps.
        resources: of each step.
        sbom: attach a bill of materials.
        provenance: attach provenance.
        syntax: the frontend image, over the Dockerfile's own ``# syntax=`` line.
        attrs: further attributes; they win.
        environ: the environment; this process' when not given.

    Raises:
        ConfigError: an option can not work, or a directory or file is not there.
    """
    environ = os.environ if environ is None else environ
    into = Gathered()
    add_context(into, context, file)
    add_named_contexts(into, contexts or {})
    args = _build_args(build_args or {}, environ)
    if syntax:
        args["BUILDKIT_SYNTAX"] = syntax
    into.attrs |= {f"build-arg:{name}": value for name, value in args.items()}
    into.attrs |= {f"label:{key}": value for key, value in _strings(labels or {}, "labels").items()}
    into.attrs |= {
        key: value
        for key, value in {
            "target": target,
            "platform": join_platforms(parse_platforms(platforms)),
            "image-resolve-mode": "pull" if pull else "",
            "force-network-mode": _network(network),
            "hostname": hostname,
            "cgroup-parent": cgroup_parent,
        }.items()
        if value
    }
    into.attrs |= _container(add_hosts, shm_size, ulimits)
    into.attrs |= _no_cache(no_cache)
    into.attrs |= resources.attrs() if resources is not None else {}
    if sbom is not None or provenance is not None:
        from pybuildkit.attestations import attestation_attrs  # a matter of start-up time, as below

        into.attrs |= attestation_attrs(sbom, provenance)
    if into.caps:
        into.attrs["frontend.caps"] = ",".join(sorted(into.caps))
    into.attrs |= _strings(attrs or {}, "attrs")
    return FrontendRequest(
        "dockerfile.v0",
        into.attrs,
        into.locals,
        into.oci_layouts,
        entitlements=(NETWORK_HOST,) if into.attrs.get("force-network-mode") == "host" else (),
        names=_names(tags),
        inline_cache=_is_on(args.get("BUILDKIT_INLINE_CACHE")),
        wants_ssh=into.wants_ssh,
    )


def _build_args(given: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, str]:
    found = {name: environ[name] for name in FORWARDED if name in environ}
    for name, value in given.items():
        if not name or "=" in name:
            raise ConfigError(f"build_args: {name!r} is not a name")
        if value is None:
            value = environ.get(name)
            if value is None:
                continue
        if not isinstance(value, str):
            raise ConfigError(f"build_args: {name}={value!r} must be a string, write str(...)")
        found[name] = value
    return found


def _strings(values: Mapping[str, Any], what: str) -> dict[str, str]:
    for key, value in values.items():
        if not key or not isinstance(value, str):
            raise ConfigError(f"{what}: {key!r}: {value!r} must be a name with a string")
    return dict(values)


def _network(network: str) -> str:
    """The frontend's word; empty for the default."""
    if network not in {"", "default", "sandbox", "none", "host"}:
        raise ConfigError(
            f"network={network!r} is not one of default, none, host: BuildKit knows no other networks"
        )
    return "" if network == "default" else network


def _container(hosts: Hosts, shm_size: int | str, ulimits: Ulimits) -> dict[str, str]:
    """What steps find in their containers."""
    if not (hosts or shm_size or ulimits):
        return {}
    from pybuildkit.dockerfile.resources import host_list, size_in_bytes, ulimit_list

    size = size_in_bytes(shm_size, what="shm_size")
    if size < 0:
        raise ConfigError(f"shm_size={shm_size!r} can not be negative")
    found = {
        "add-hosts": host_list(hosts),
        "shm-size": str(size) if size else "",
        "ulimit": ulimit_list(ulimits),
    }
    return {key: value for key, value in found.items() if value}


def _no_cache(no_cache: bool | str | Iterable[str]) -> dict[str, str]:
    """All steps, or those of some stages (V52)."""
    if isinstance(no_cache, bool):
        return {"no-cache": ""} if no_cache else {}
    stages = [no_cache] if isinstance(no_cache, str) else list(no_cache)
    if not all(stages):
        raise ConfigError("no_cache: a stage's name is empty; True means all stages")
    return {"no-cache": ",".join(stages)} if stages else {}


def _names(tags: str | Iterable[str]) -> tuple[str, ...]:
    names = tuple([tags] if isinstance(tags, str) else tags)
    for name in names:
        try:
            Reference.parse(name)
        except ConfigError as exc:
            raise ConfigError(f"tags: {exc}") from None
    return names


def _is_on(value: str | None) -> bool:
    try:
        return value is not None and csvattrs.parse_bool(value, what="BUILDKIT_INLINE_CACHE")
    except ConfigError:
        return False
