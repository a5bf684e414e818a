"""What a solve gives, and what a build gives to the exporters: references, metadata, attestations (V48, V64)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

from pybuildkit._values import dataclass, field, replace
from pybuildkit.errors import ConfigError
from pybuildkit.gateway._types import AnyReference, RefT
from pybuildkit.gateway.attestations import Attestation
from pybuildkit.platforms import Platform, PlatformLike

__all__ = ["CONFIG_KEY", "PLATFORMS_KEY", "GatewayResult", "ImageConfigLike"]

AnyRef = TypeVar("AnyRef", bound=AnyReference)

CONFIG_KEY = "containerimage.config"
PLATFORMS_KEY = "refs.platforms"

ImageConfigLike: TypeAlias = Mapping[str, Any] | bytes | str
"""An image's configuration, as JSON or as what JSON gives."""


@dataclass(frozen=True, slots=True)
class GatewayResult(Generic[RefT]):
    """What a solve gives, and what exporters take.

    It is either one reference or none (``scratch``), or several by platform.

    Attributes:
        single: the one reference; None for ``scratch``, and when there are several.
        refs: references by platform id, None for ``scratch``; empty when there is only one.
        metadata: image configurations and the like; a key may end with ``/`` and a platform id (V48).
        attestations: by platform id.
    """

    single: RefT | None = None
    refs: Mapping[str, RefT | None] = field(default_factory=dict)
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    attestations: Mapping[str, tuple[Attestation[RefT], ...]] = field(default_factory=dict)

    @staticmethod
    def image(ref: AnyRef | None, config: ImageConfigLike) -> GatewayResult[AnyRef]:
        """One image.

        Args:
            ref: its files.
            config: its configuration, as ``image_config`` makes it; the exporter fills in layers and history.

        Raises:
            ConfigError: the configuration is not JSON, or names no platform.
        """
        encoded, platform = _read_config(config)
        if platform is None:
            raise ConfigError(
                "an image's configuration must have os and architecture; image_config() makes one"
            )
        return GatewayResult(ref, metadata={CONFIG_KEY: encoded})

    @staticmethod
    def index(
        images: Mapping[str, tuple[AnyRef | None, ImageConfigLike] | GatewayResult[AnyRef]],
    ) -> GatewayResult[AnyRef]:
        """An image for each of several platforms, to be exported as an index.

        Args:
            images: by platform: its files and configuration, or the result of a solve for one platform.

        Raises:
            ConfigError: there is no platform, one is named twice, or a configuration can not be read.
        """
        if not images:
            raise ConfigError("an index needs at least one platform")
        refs: dict[str, AnyRef | None] = {}
        metadata: dict[str, bytes] = {}
        attestations: dict[str, tuple[Attestation[AnyRef], ...]] = {}
        platforms = []
        for key, value in images.items():
            platform = Platform.parse(key).normalized()
            name = str(platform)
            if name in refs:
                raise ConfigError(f"platform {name} is there twice")
            part = value if isinstance(value, GatewayResult) else GatewayResult.image(*value)
            if part.refs:
                raise ConfigError(f"the result for {name} has several platforms itself")
            refs[name] = part.single
            metadata |= {f"{k}/{name}": v for k, v in part.metadata.items() if k != PLATFORMS_KEY}
            found = tuple(a for listed in part.attestations.values() for a in listed)
            if found:
                attestations[name] = found
            platforms.append((name, platform))
        metadata[PLATFORMS_KEY] = _encode_platforms(platforms)
        return GatewayResult(refs=refs, metadata=metadata, attestations=attestations)

    @property
    def ref(self) -> RefT:
        """The one reference.

        Raises:
            ConfigError: there is none, or there are several.
        """
        if self.refs:
            if len(self.refs) == 1 and (only := next(iter(self.refs.values()))) is not None:
                return only
            raise ConfigError(
                f"the result has the platforms {', '.join(self.refs)}; use .refs to say which one"
            )
        if self.single is None:
            raise ConfigError("the result is empty (scratch): it has no files")
        return self.single

    @property
    def references(self) -> tuple[RefT, ...]:
        """All references."""
        found = self.refs.values() if self.refs else (self.single,)
        return tuple(ref for ref in found if ref is not None)

    @property
    def platforms(self) -> Mapping[str, Platform]:
        """The platforms by their ids, in order; empty when the result does not say (V48).

        Raises:
            ConfigError: what it says can not be read.
        """
        encoded = self.metadata.get(PLATFORMS_KEY)
        if encoded is None:
            platform = self._own_platform()
            return {} if platform is None else {str(platform): platform}
        try:
            listed = json.loads(encoded)["Platforms"]
            return {entry["ID"]: _read_platform(entry["Platform"]) for entry in listed}
        except (ValueError, KeyError, TypeError) as exc:
            raise ConfigError(f"the metadata {PLATFORMS_KEY} can not be read: {exc!r}") from exc

    def config(self, platform: str = "") -> dict[str, Any] | None:
        """An image's configuration, None when the result has none.

        Args:
            platform: its id, when there are several.

        Raises:
            ConfigError: it is no JSON object.
        """
        encoded = self.metadata.get(f"{CONFIG_KEY}/{platform}") or self.metadata.get(CONFIG_KEY)
        if encoded is None and not platform and len(self.refs) == 1:
            encoded = self.metadata.get(f"{CONFIG_KEY}/{next(iter(self.refs))}")
        return json.loads(_read_config(encoded)[0]) if encoded is not None else None

    def with_metadata(self, metadata: Mapping[str, bytes]) -> GatewayResult[RefT]:
        """The same with more metadata; what is there already is replaced."""
        return replace(self, metadata={**self.metadata, **metadata})

    def with_attestations(
        self, attestations: Iterable[Attestation[AnyRef]], platform: PlatformLike | None = None
    ) -> GatewayResult[RefT | AnyRef]:
        """The same with more attestations.

        Args:
            attestations: statements about one image.
            platform: of which image; needed when there are several, or when nothing says which one it is.

        Raises:
            ConfigError: there is no image of that platform, or it is not clear which one is meant.
        """
        name, made = self._attested(platform)
        merged: dict[str, tuple[Attestation[RefT | AnyRef], ...]] = {**made.attestations}
        merged[name] = (*merged.get(name, ()), *attestations)
        return GatewayResult(made.single, made.refs, made.metadata, merged)

    def _attested(self, platform: PlatformLike | None) -> tuple[str, GatewayResult[RefT]]:
        """The id under which exporters look for attestations, and the result that has it."""
        asked = Platform.parse(platform).normalized() if isinstance(platform, str) else platform
        known = self.platforms
        if asked is None:
            if len(known) != 1:
                raise ConfigError(
                    f"the result has {len(known) or 'no known'} platforms; say with platform= which one is meant"
                )
            return next(iter(known)), self
        for name, found in known.items():
            if found.normalized() == asked.normalized():
                return name, self
        if known or self.refs:
            raise ConfigError(f"the result has no image for {asked}, only for {', '.join(known)}")
        name = str(asked.normalized())
        return name, self.with_metadata({PLATFORMS_KEY: _encode_platforms([(name, asked.normalized())])})

    def _own_platform(self) -> Platform | None:
        encoded = self.metadata.get(CONFIG_KEY)
        return _read_config(encoded)[1] if encoded is not None and not self.refs else None


def _read_config(config: ImageConfigLike) -> tuple[bytes, Platform | None]:
    """A configuration as JSON, and its platform."""
    try:
        image = json.loads(config) if isinstance(config, bytes | str) else config
        encoded = config if isinstance(config, bytes) else json.dumps(image).encode()
    except (ValueError, TypeError) as exc:
        raise ConfigError(f"the image configuration is not JSON: {exc}") from exc
    if not isinstance(image, Mapping):
        raise ConfigError(f"the image configuration is a {type(image).__name__}, it must be a JSON object")
    return encoded, _read_platform(image) if image.get("os") and image.get("architecture") else None


def _read_platform(data: Mapping[str, Any]) -> Platform:
    """OCI's JSON form."""
    return Platform(
        data["os"],
        data["architecture"],
        data.get("variant") or "",
        data.get("os.version") or "",
        tuple(data.get("os.features") or ()),
    ).normalized()


def _encode_platforms(platforms: Iterable[tuple[str, Platform]]) -> bytes:
    listed = [{"ID": name, "Platform": platform_json(platform)} for name, platform in platforms]
    return json.dumps({"Platforms": listed}, separators=(",", ":")).encode()


def platform_json(platform: Platform) -> dict[str, Any]:
    """A platform as OCI's documents have it."""
    made: dict[str, Any] = {"architecture": platform.architecture, "os": platform.os}
    if platform.os_version:
        made["os.version"] = platform.os_version
    if platform.os_features:
        made["os.features"] = list(platform.os_features)
    if platform.variant:
        made["variant"] = platform.variant
    return made
