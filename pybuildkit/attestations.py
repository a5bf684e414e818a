"""Attestations: statements about an image that are stored beside it (V83 to V85)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self, TypeVar

from pybuildkit import csvattrs
from pybuildkit._attrs import absorb, attr, boolean, choice, render, text
from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError
from pybuildkit.references import Reference

__all__ = ["SBOM", "Provenance", "attestation_attrs"]


@dataclass(frozen=True, slots=True)
class _Attestation:
    """What both kinds share: a CSV of attributes."""

    attrs: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    def attr_value(self) -> str:
        """The frontend attribute's value, one line of CSV."""
        fields = {**render(self), **self.attrs}
        return csvattrs.join(f"{key}={value}" for key, value in fields.items()) if fields else ""

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read the attribute's value, as ``mode=max,reproducible=true``; empty for the defaults.

        Raises:
            ConfigError: it can not be read.
        """
        name = cls.__name__.lower()
        given = dict(csvattrs.pairs(value, what=name)) if value else {}
        try:
            values, rest = absorb(cls, given)
        except ConfigError as exc:
            raise ConfigError(f"{name}: {exc}") from None
        return cls(attrs=rest, **values)


_A = TypeVar("_A", bound=_Attestation)


@dataclass(frozen=True, slots=True)
class SBOM(_Attestation):
    """A software bill of materials, made by a scanner image that the daemon runs on the result.

    Attributes:
        generator: the scanner's image; ``docker/buildkit-syft-scanner:stable-1`` when not given.
        attrs: what the scanner is told, as environment variables.
    """

    generator: str | None = field(default=None, metadata=attr("generator", text))

    def __post_init__(self) -> None:
        """Check the scanner's name."""
        if self.generator is not None:
            try:
                Reference.parse(self.generator)
            except ConfigError as exc:
                raise ConfigError(f"sbom: generator: {exc}") from None


@dataclass(frozen=True, slots=True)
class Provenance(_Attestation):
    """How the result was made.

    Attributes:
        mode: ``min``, or ``max`` with the build's graph and arguments: that can show what build arguments
            hold.
        version: of the SLSA predicate, ``v1`` when not given, or ``v0.2``.
        builder_id: the builder's URI.
        filename: of the statement in local and tar outputs.
        reproducible: claim that the build is.
        inline_only: only in exporters that attach it to an image.
        capture_usage: record what resources steps used.
        attrs: further ones.
    """

    mode: Literal["min", "max"] | None = field(default=None, metadata=attr("mode", choice("min", "max")))
    version: Literal["v0.2", "v1"] | None = field(
        default=None, metadata=attr("version", choice("v0.2", "v1"))
    )
    builder_id: str | None = field(default=None, metadata=attr("builder-id", text))
    filename: str | None = field(default=None, metadata=attr("filename", text))
    reproducible: bool | None = field(default=None, metadata=attr("reproducible", boolean))
    inline_only: bool | None = field(default=None, metadata=attr("inline-only", boolean))
    capture_usage: bool | None = field(default=None, metadata=attr("capture-usage", boolean))

    def __post_init__(self) -> None:
        """Check what the daemon would refuse."""
        try:
            render(self)
        except ConfigError as exc:
            raise ConfigError(f"provenance: {exc}") from None


def attestation_attrs(
    sbom: bool | str | SBOM | None = None, provenance: bool | str | Provenance | None = None
) -> dict[str, str]:
    """Frontend attributes for the attestations.

    True asks for the defaults; a string is read as the attribute's value.

    Raises:
        ConfigError: one can not be read.
    """
    wanted = {"sbom": _value(SBOM, sbom), "provenance": _value(Provenance, provenance)}
    return {f"attest:{kind}": value.attr_value() for kind, value in wanted.items() if value is not None}


def _value(cls: type[_A], given: bool | str | _A | None) -> _A | None:
    if given is None or given is False:
        return None
    if given is True:
        return cls()
    return cls.parse(given) if isinstance(given, str) else given
