"""buildctl's text for caches (B25), and the checks over all caches of one build."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from pybuildkit import csvattrs
from pybuildkit._attrs import absorb
from pybuildkit.caches import (
    AzureBlobCache,
    Cache,
    CacheInactiveWarning,
    GHACache,
    InlineCache,
    LocalCache,
    RegistryCache,
    S3Cache,
)
from pybuildkit.errors import ConfigError

__all__ = ["CacheLike", "parse_cache", "resolve_exports", "resolve_imports"]

CacheLike = Cache | str

_CLASSES: dict[str, type[Cache]] = {
    "inline": InlineCache,
    "local": LocalCache,
    "registry": RegistryCache,
    "gha": GHACache,
    "s3": S3Cache,
    "azblob": AzureBlobCache,
}


def parse_cache(text: str, *, export: bool) -> Cache:
    """See ``Cache.parse``."""
    if "type=" not in text:
        return RegistryCache(text)
    attrs = dict(csvattrs.pairs(text, what="cache", confidential=True))
    kind = attrs.pop("type", "")
    if not kind:
        raise ConfigError("cache: type= is empty, write type=registry,ref=NAME or another type")
    given: dict[str, Any] = {}
    if kind == "local":
        key, other = ("dest", "src") if export else ("src", "dest")
        if not attrs.get(key):
            hint = f", not {other}=" if other in attrs else ""
            direction = "exported to" if export else "imported from"
            raise ConfigError(f"cache local: a directory that is {direction} is named by {key}={hint}")
        given["path"] = attrs.pop(key)
    if kind == "registry":
        if not attrs.get("ref"):
            raise ConfigError("cache registry: it needs ref=NAME")
        given["ref"] = attrs.pop("ref")
    cls = _CLASSES.get(kind)
    if cls is None:
        values, rest = absorb(Cache, attrs)
        return Cache(kind, rest, **values)
    try:
        values, rest = absorb(cls, attrs)
    except ConfigError as exc:
        raise ConfigError(f"cache {kind}: {exc}") from None
    return cls(attrs=rest, **values, **given)


def resolve_imports(
    caches: CacheLike | Iterable[CacheLike] | None, *, environ: Mapping[str, str] | None = None
) -> tuple[tuple[Cache, dict[str, str]], ...]:
    """The caches to import from, each with its attributes.

    Raises:
        ConfigError: one can not be read or can not work here.
    """
    active = _active(caches, environ, export=False)
    return tuple((cache, cache.import_attrs(environ)) for cache in active)


def resolve_exports(
    caches: CacheLike | Iterable[CacheLike] | None, *, environ: Mapping[str, str] | None = None
) -> tuple[tuple[Cache, dict[str, str]], ...]:
    """The caches to export to, each with its attributes.

    Raises:
        ConfigError: one can not be read or can not work here, or two are the same (C20).
    """
    found: list[tuple[Cache, dict[str, str]]] = []
    for cache in _active(caches, environ, export=True):
        attrs = cache.export_attrs(environ)
        if any((cache.type, attrs) == (other.type, others) for other, others in found):
            raise ConfigError(f"the same {cache.type} cache is exported to twice, name it once")
        found.append((cache, attrs))
    return tuple(found)


def _active(
    caches: CacheLike | Iterable[CacheLike] | None, environ: Mapping[str, str] | None, *, export: bool
) -> list[Cache]:
    if caches is None:
        return []
    given = [caches] if isinstance(caches, str | Cache) else list(caches)
    found: list[Cache] = []
    for item in given:
        cache = item if isinstance(item, Cache) else Cache.parse(item, export=export)
        reason = "" if cache.required else cache.inactive(environ)
        if reason:
            warnings.warn(f"cache {cache.type} is left out: {reason}", CacheInactiveWarning, stacklevel=3)
            continue
        found.append(cache)
    return found
