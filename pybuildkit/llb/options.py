"""The options that every op takes: how it is named, cached, limited and placed.

They are keyword arguments of every constructor: ``state.run("make", name="compile", ignore_cache=True)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from pybuildkit.errors import ConfigError, DefinitionError
from pybuildkit.events import ProgressGroup
from pybuildkit.llb._encode import check_bool, field, text, text_field, texts
from pybuildkit.llb.metadata import OpMetadata, Resources, check_description
from pybuildkit.llb.sourcemap import SourceLocation, as_locations
from pybuildkit.platforms import Platform, PlatformLike

__all__ = ["OpOptions", "PlatformOptions"]


class CommonOptions(TypedDict, total=False):
    """Options of every op (L74 to L83).

    Attributes:
        description: free texts for the daemon's history.
        ignore_cache: run it even when its result is cached.
        export_cache: whether its result goes into exported caches; None leaves that to the build.
        progress_group: the group it is shown in.
        resources: limits of its container; they do not change its cache key.
        require: filters that a worker must match, as ``label.region==eu``.
        location: where in the source it comes from, instead of the Python line that made it.
    """

    description: Mapping[str, str]
    ignore_cache: bool
    export_cache: bool | None
    progress_group: ProgressGroup
    resources: Resources
    require: str | Iterable[str]
    location: SourceLocation | Iterable[SourceLocation]


class OpOptions(CommonOptions, total=False):
    """Options of ops that have no platform.

    Attributes:
        name: what progress shows as the step's name.
    """

    name: str


class PlatformOptions(OpOptions, total=False):
    """Options of ops that have a platform.

    Attributes:
        platform: what it runs on, as ``linux/arm64``; it also becomes the resulting state's platform.
    """

    platform: PlatformLike


class Constraints:
    """Checked options. Most ops have none, and share the absence of this object."""

    __slots__ = ("filters", "locations", "metadata", "platform", "unique_id")

    def __init__(
        self,
        platform: Platform | None = None,
        filters: tuple[str, ...] = (),
        metadata: OpMetadata | None = None,
        locations: tuple[SourceLocation, ...] | None = None,
        unique_id: str = "",
    ) -> None:
        self.platform = platform
        self.filters = filters
        self.metadata = metadata
        self.locations = locations
        self.unique_id = unique_id


def constraints(options: Mapping[str, Any], *, platform: bool = False, where: str) -> Constraints | None:
    """Check options; None when there are none.

    Args:
        options: what a constructor got as ``**options``.
        platform: whether the op can have a platform.
        where: the constructor, for the error of an unknown option.

    Raises:
        DefinitionError: a value is bad.
        TypeError: there is no such option.
    """
    if not options:
        return None
    rest = dict(options)
    made = Constraints()
    if platform and (value := rest.pop("platform", None)) is not None:
        made.platform = as_platform(value)
    if (value := rest.pop("require", None)) is not None:
        made.filters = tuple(texts([value] if isinstance(value, str) else value, "worker filter"))
    if (value := rest.pop("location", None)) is not None:
        made.locations = as_locations(value)
    made.metadata = _metadata(rest)
    if rest:
        raise TypeError(f"{where} has no option {next(iter(rest))!r}")
    return made


def lay_over(defaults: Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options on top of others, as Go applies both in turn: filters and descriptions add up (L19)."""
    made = {**(defaults or {}), **options}
    if defaults and "require" in defaults and "require" in options:
        made["require"] = [*_listed(defaults["require"]), *_listed(options["require"])]
    if defaults and "description" in defaults and "description" in options:
        made["description"] = {**defaults["description"], **options["description"]}
    return made


def _listed(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def as_platform(value: PlatformLike) -> Platform:
    """A platform from a text or a ``Platform``, as it was written.

    Raises:
        DefinitionError: it is none.
    """
    if isinstance(value, Platform):
        for part in (value.os, value.architecture, value.variant, value.os_version, *value.os_features):
            text(part, "platform part")
        return value
    try:
        return Platform.parse(value)
    except (ConfigError, TypeError, AttributeError) as exc:
        raise DefinitionError(f"platform {value!r} can not be used: {exc}") from exc


def encode_platform(platform: Platform) -> bytes:
    """The field ``Op.platform``."""
    body = text_field(b"\n", platform.architecture, "architecture") + text_field(b"\x12", platform.os, "os")
    body += text_field(b"\x1a", platform.variant, "variant") + text_field(
        b"\x22", platform.os_version, "os version"
    )
    return field(
        b"\x52", body + b"".join(field(b"\x2a", text(f, "os feature")) for f in platform.os_features)
    )


def encode_filters(filters: Iterable[str]) -> bytes:
    """The field ``Op.constraints``, which is there even when empty (§3.7 item 3)."""
    return field(b"\x5a", b"".join(field(b"\n", text(f, "worker filter")) for f in filters))


def _metadata(rest: dict[str, Any]) -> OpMetadata | None:
    """Take the metadata out of the options."""
    description = check_description(rest.pop("description", None) or {})
    if (name := rest.pop("name", None)) is not None:
        text(name, "name")
        description["llb.customname"] = name
    ignore_cache = check_bool(rest.pop("ignore_cache", False), "ignore_cache")
    if (export_cache := rest.pop("export_cache", None)) is not None:
        check_bool(export_cache, "export_cache")
    group, resources = rest.pop("progress_group", None), rest.pop("resources", None)
    if group is not None and not isinstance(group, ProgressGroup):
        raise DefinitionError(f"progress_group {group!r} is a {type(group).__name__}, give a ProgressGroup")
    if group is not None:
        text(group.id, "progress group id")
        text(group.name, "progress group name")
    if resources is not None and not isinstance(resources, Resources):
        raise DefinitionError(f"resources {resources!r} is a {type(resources).__name__}, give a Resources")
    if not (description or ignore_cache or export_cache is not None or group or resources):
        return None
    return OpMetadata(
        ignore_cache=ignore_cache,
        description=description,
        export_cache=export_cache,
        progress_group=group,
        resources=resources,
    )
