"""OCI annotations on what an image exporter writes (V42)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError
from pybuildkit.platforms import Platform

__all__ = ["AnnotationKey", "AnnotationKind", "annotation_attrs", "parse_annotations"]

AnnotationKind: TypeAlias = Literal["manifest", "index", "manifest-descriptor", "index-descriptor"]

_KINDS: tuple[AnnotationKind, ...] = get_args(AnnotationKind)
_KIND_NAMES: dict[str, AnnotationKind] = {kind: kind for kind in _KINDS}
_PLATFORM = r"[A-Za-z0-9_/-]+"
_FLAG = r"(?P<kind>[a-z-]+)(?:\[(?P<platform>[^\]]*)\])?"


@dataclass(frozen=True, slots=True)
class AnnotationKey:
    """Which annotation, and where it goes.

    Attributes:
        key: as ``org.opencontainers.image.title``.
        kind: on the image manifest, on the index, or on the descriptor by which either is referred to.
        platform: only that platform's manifest; None for all.
    """

    key: str
    kind: AnnotationKind = "manifest"
    platform: Platform | None = None

    def __post_init__(self) -> None:
        """Check what the daemon would drop in silence."""
        if not self.key or re.search(r"\s", self.key):
            raise ConfigError(f"annotation key {self.key!r} is empty or has blanks")
        if self.kind not in _KINDS:
            raise ConfigError(f"annotation {self.key!r}: {self.kind!r} is not one of {', '.join(_KINDS)}")
        if self.platform is None:
            return
        if self.kind.startswith("index"):
            raise ConfigError(f"annotation {self.key!r}: an {self.kind} annotation has no platform")
        if not re.fullmatch(_PLATFORM, str(self.platform)):
            raise ConfigError(
                f"annotation {self.key!r}: the daemon does not read annotations for the platform {self.platform}"
            )

    @property
    def attr(self) -> str:
        """The exporter attribute, as ``annotation-manifest[linux/amd64].some.key``."""
        where = f"[{self.platform}]" if self.platform is not None else ""
        return f"annotation-{self.kind}{where}.{self.key}"


def annotation_attrs(annotations: Mapping[str | AnnotationKey, str]) -> dict[str, str]:
    """Annotations as exporter attributes; a plain string is the key of a manifest annotation."""
    keys = {
        key if isinstance(key, AnnotationKey) else AnnotationKey(key): v for key, v in annotations.items()
    }
    return {key.attr: value for key, value in keys.items()}


def parse_annotations(text: str) -> dict[str | AnnotationKey, str]:
    """Read buildx's form, ``[kind[platform],...:]key=value``: one annotation in one place or several.

    Raises:
        ConfigError: there is no ``=``, or a kind or platform is unknown.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"annotation {text!r} has no value, write [kind:]key=value")
    kinds, colon, key = name.rpartition(":")
    if not colon:
        return {AnnotationKey(name): value}
    return {_key(word, key, text): value for word in kinds.split(",")}


def _key(word: str, key: str, text: str) -> AnnotationKey:
    match = re.fullmatch(_FLAG, word)
    kind = _KIND_NAMES.get(match["kind"]) if match is not None else None
    if match is None or kind is None:
        raise ConfigError(f"annotation {text!r}: {word!r} is not one of {', '.join(_KINDS)}")
    platform = Platform.parse(match["platform"]) if match["platform"] is not None else None
    return AnnotationKey(key, kind, platform)
