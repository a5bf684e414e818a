"""Frontend options out of their texts, as the Dockerfile frontend reads them (V52 to V57)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

from pybuildkit import csvattrs
from pybuildkit.control.solve import CacheEntry
from pybuildkit.dockerfile.resources import check_cpuset
from pybuildkit.errors import ConfigError
from pybuildkit.platforms import Platform

if TYPE_CHECKING:
    from pybuildkit.llb import Resources
    from pybuildkit.llb.resolve import ResolveMode
    from pybuildkit.llb.values import Network, UlimitName

Options = Mapping[str, str]

_NUMBERS = {
    "memory": "memory",
    "memswap": "memory_swap",
    "cpushares": "cpu_shares",
    "cpuperiod": "cpu_period",
    "cpuquota": "cpu_quota",
}
_SETS = {"cpusetcpus": "cpuset_cpus", "cpusetmems": "cpuset_mems"}

_ATTESTATION_ARGS = {
    "build-arg:BUILDKIT_ATTEST_SBOM": "sbom",
    "build-arg:BUILDKIT_ATTEST_PROVENANCE": "provenance",
}


def prefixed(options: Options, prefix: str) -> dict[str, str]:
    """The options whose names begin so, without that beginning."""
    return {key[len(prefix) :]: value for key, value in options.items() if key.startswith(prefix)}


def platforms(options: Options) -> tuple[Platform, ...]:
    text = options.get("platform", "")
    return tuple(Platform.parse(part).normalized() for part in text.split(",")) if text else ()


def multi_platform(options: Options, asked: int) -> bool:
    text = options.get("build-arg:BUILDKIT_MULTI_PLATFORM") or options.get("multi-platform") or ""
    if not text:
        return asked > 1
    wanted = csvattrs.parse_bool(text, what="multi-platform")
    if asked > 1 and not wanted:
        raise ConfigError(
            f"multi-platform={text} does not go with {asked} platforms; name one, or leave it out"
        )
    return wanted


def no_cache(options: Options) -> tuple[str, ...] | None:
    text = options.get("no-cache")
    return None if text is None else tuple(text.split(",")) if text else ()


def resolve_mode(options: Options) -> ResolveMode:
    value = options.get("image-resolve-mode") or "default"
    return cast("ResolveMode", _one_of("image-resolve-mode", value, ("default", "pull", "local")))


def network(options: Options) -> Network | Literal[""]:
    value = options.get("force-network-mode", "")
    return cast("Network", _one_of("force-network-mode", value, ("sandbox", "host", "none"))) if value else ""


def integer(options: Options, key: str) -> int:
    text = options.get(key) or "0"
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{key}={text!r} is no number") from None


def extra_hosts(options: Options) -> tuple[tuple[str, str], ...]:
    from pybuildkit.llb.values import check_host

    found = []
    for part in _csv(options, "add-hosts"):
        host, equals, address = part.lower().partition("=")
        if not equals:
            raise ConfigError(f"add-hosts: {part!r} is not HOST=ADDRESS")
        try:
            found.append(check_host(host, address))
        except ValueError as exc:
            raise ConfigError(f"add-hosts: {exc}") from None
    return tuple(found)


def ulimits(options: Options) -> tuple[tuple[UlimitName, int, int], ...]:
    from pybuildkit.llb.values import check_ulimit

    found = []
    for part in _csv(options, "ulimit"):
        name, _, limits = part.partition("=")
        soft, colon, hard = limits.partition(":")
        try:
            made = check_ulimit(name, int(soft), int(hard) if colon else None)
        except ValueError as exc:
            raise ConfigError(f"ulimit: {part!r} is not NAME=SOFT:HARD: {exc}") from None
        if made[1] > made[2] >= 0:
            raise ConfigError(f"ulimit: {part!r}: the soft limit is above the hard one")
        found.append(cast("tuple[UlimitName, int, int]", made))
    return tuple(found)


def resources(options: Options) -> Resources | None:
    from pybuildkit.llb import Resources

    found: dict[str, int] = {}
    for key, name in _NUMBERS.items():
        value = integer(options, key)
        if options.get(key) and value <= 0 and not (key == "memswap" and value == -1):
            raise ConfigError(f"{key}={value} must be more than 0")
        if value:
            found[name] = value
    sets = {name: check_cpuset(key, options[key]) for key, name in _SETS.items() if options.get(key)}
    return Resources(**found, **sets) if found or sets else None  # type: ignore[arg-type]


def cache_imports(options: Options) -> tuple[CacheEntry, ...]:
    text = options.get("cache-imports") or "[]"
    try:
        listed = [
            CacheEntry(entry["Type"], dict(entry.get("Attrs") or {})) for entry in json.loads(text) or ()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        # The text may hold credentials: it is not shown.
        raise ConfigError(
            "cache-imports can not be read: it must be a list of Type and Attrs in JSON"
        ) from None
    old = options.get("cache-from")
    return (*listed, *(CacheEntry("registry", {"ref": ref}) for ref in (old.split(",") if old else ())))


def attestations(options: Options) -> dict[str, str]:
    found = {kind: options[key] for key, kind in _ATTESTATION_ARGS.items() if key in options}
    return {**found, **prefixed(options, "attest:")}


def _csv(options: Options, key: str) -> list[str]:
    text = options.get(key)
    return csvattrs.split(text) if text else []


def _one_of(key: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigError(f"{key}={value!r} is not known; give one of {', '.join(known)}")
    return value
