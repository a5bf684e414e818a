"""The general form of a cache, on which all kinds stand."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

from pybuildkit._attrs import attr, boolean, choice, integer, render
from pybuildkit._imageoutputs import Compression
from pybuildkit._values import KW_ONLY, dataclass, field, fields
from pybuildkit.errors import ConfigError

__all__ = ["Cache", "CacheInactiveWarning", "CacheMode", "holds_credentials"]

CacheMode: TypeAlias = Literal["min", "max"]

_CONFIDENTIAL = r"(?i:secret|token|password|signature)"
_QUERY = r"(?<=\?)\S+"
_USERINFO = r"://[^/@\s]+@"

_EXPORT_ONLY = frozenset(
    {
        "mode",
        "ignore-error",
        "compression",
        "compression-level",
        "force-compression",
        "oci-mediatypes",
        "image-manifest",
        "reset",
    }
)


class CacheInactiveWarning(UserWarning):
    """A cache that was asked for is left out, because what it needs is not there."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Cache:
    """A cache by its type and attributes: the general form, for types that this library does not know.

    Attributes:
        type: its name, as the daemon knows it.
        attrs: its attributes; they win over typed fields.
        mode: exported are the layers of the result (``min``, default), or those of all steps (``max``).
        ignore_error: a failed export does not fail the build.
        compression: of exported layers.
        compression_level: 0 to 9 for gzip and estargz, 0 to 22 for zstd.
        force_compression: compress all layers anew, also those that are compressed otherwise.
        required: raise when what the cache needs is not there, as the variables of ``GHACache``; False leaves
            it out with a ``CacheInactiveWarning``.
    """

    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    _: KW_ONLY
    mode: CacheMode | None = field(default=None, metadata=attr("mode", choice("min", "max")))
    ignore_error: bool | None = field(default=None, metadata=attr("ignore-error", boolean))
    compression: Compression | None = field(
        default=None, metadata=attr("compression", choice("uncompressed", "gzip", "estargz", "zstd"))
    )
    compression_level: int | None = field(default=None, metadata=attr("compression-level", integer))
    force_compression: bool | None = field(default=None, metadata=attr("force-compression", boolean))

    required: bool = True

    exports_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check what needs no environment."""
        if not self.type:
            raise ConfigError("a cache needs a type, as registry or local")
        for key, value in self.attrs.items():
            if not isinstance(value, str):
                raise ConfigError(f"cache {self.type}: the attribute {key} must be a string")
        self._rendered()

    @classmethod
    def parse(cls, text: str, *, export: bool) -> Cache:
        """Read buildctl's ``type=…[,key=value…]``, or its old form, a registry reference alone (B25).

        Args:
            text: the option.
            export: whether it is to export to; else to import from.

        Raises:
            ConfigError: it can not be read. Its text is not quoted: it may hold credentials.
        """
        from pybuildkit._cache_text import parse_cache

        return parse_cache(text, export=export)

    def import_attrs(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """The attributes for an import.

        Args:
            environ: where defaults may come from; this process' environment when not given.

        Raises:
            ConfigError: something is missing, or this cache can not be imported.
        """
        if self.exports_only:
            raise ConfigError(
                f"cache {self.type} can only be exported; import the image with RegistryCache(name)"
            )
        attrs = {k: v for k, v in self._rendered().items() if k not in _EXPORT_ONLY or k in self.attrs}
        return self._completed(attrs, os.environ if environ is None else environ, export=False)

    def export_attrs(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """The attributes for an export; ``mode`` is always said, as buildctl does.

        Args:
            environ: where defaults may come from; this process' environment when not given.

        Raises:
            ConfigError: something is missing.
        """
        attrs = {"mode": "min", **self._rendered()}
        return self._completed(attrs, os.environ if environ is None else environ, export=True)

    def inactive(self, environ: Mapping[str, str] | None = None) -> str:
        """Why this cache can not work here, empty when it can."""
        return ""

    def _rendered(self) -> dict[str, str]:
        try:
            return {**render(self), **self.attrs}
        except ConfigError as exc:
            raise ConfigError(f"cache {self.type}: {exc}") from None

    def _completed(
        self, attrs: dict[str, str], environ: Mapping[str, str], *, export: bool
    ) -> dict[str, str]:
        """Add what has no field, or comes from the environment."""
        return attrs

    def __eq__(self, other: object) -> bool:
        """Same kind, same values. Written once for all kinds: generating it for each costs start-up time."""
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in fields(self))

    def __repr__(self) -> str:
        """What differs from the defaults, credentials hidden."""
        shown = []
        for spec in fields(self):
            value = getattr(self, spec.name)
            default = spec.default_factory() if callable(spec.default_factory) else spec.default
            if spec.init and value != default:
                shown.append(f"{spec.name}={_masked(spec.name, value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def holds_credentials(attrs: Mapping[str, str]) -> bool:
    """Whether something among a cache's attributes must not be kept anywhere: a key, a token, a signed URL."""
    return any(
        value and (re.search(_CONFIDENTIAL, key) or re.search(_QUERY, value) or re.search(_USERINFO, value))
        for key, value in attrs.items()
    )


def _masked(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {_masked(k, v)}" for k, v in value.items()) + "}"
    if re.search(_CONFIDENTIAL, key):
        return "<hidden>"
    if isinstance(value, str):
        return repr(re.sub(_USERINFO, "://<hidden>@", re.sub(_QUERY, "<hidden>", value)))
    return repr(value)
