"""OCI descriptors: what names a blob, with its media type, size and annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pybuildkit._values import dataclass, field
from pybuildkit.digests import parse_digest
from pybuildkit.errors import ConfigError, ContentError

__all__ = ["IMAGE_NAME", "REF_NAME", "Descriptor"]

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that holds a manifest's tag in an OCI layout."""

IMAGE_NAME = "io.containerd.image.name"
"""The annotation that holds a manifest's full image name in an OCI layout (V29)."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob by its digest.

    Attributes:
        media_type: as ``application/vnd.oci.image.manifest.v1+json``; may be empty.
        digest: as ``sha256:…``.
        size: in bytes.
        annotations: annotations of the reference itself.
        other: the JSON object's other fields (``platform``, ``urls``, …), kept as they were.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    other: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @classmethod
    def parse(cls, source: str | bytes | Mapping[str, Any]) -> Descriptor:
        """Read a descriptor from JSON text, or from a decoded JSON object.

        Raises:
            ContentError: it is not a descriptor.
        """
        value: Any = source
        if isinstance(source, str | bytes):
            try:
                value = json.loads(source)
            except ValueError as exc:
                raise ContentError(f"{source!r:.80} is not a descriptor: {exc}", reason="corrupt") from exc
        if not isinstance(value, Mapping):
            raise ContentError(f"{value!r:.80} is not a descriptor: not a JSON object", reason="corrupt")
        media_type, digest, size = value.get("mediaType") or "", value.get("digest"), value.get("size") or 0
        annotations = value.get("annotations") or {}
        if not isinstance(media_type, str) or not isinstance(digest, str) or not isinstance(size, int):
            raise ContentError(
                f"{value!r:.80} is not a descriptor: a field has the wrong type", reason="corrupt"
            )
        if not _is_text_map(annotations):
            raise ContentError(f"descriptor {digest}: annotations are not texts", reason="corrupt")
        try:
            parse_digest(digest)
        except ConfigError as exc:
            raise ContentError(f"not a descriptor: {exc}", reason="corrupt") from exc
        known = ("mediaType", "digest", "size", "annotations")
        other = {key: entry for key, entry in value.items() if key not in known}
        return cls(media_type, digest, size, MappingProxyType(dict(annotations)), MappingProxyType(other))

    def to_json(self) -> dict[str, Any]:
        """The JSON object, in the field order of the Go structure."""
        out: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        other = dict(self.other)
        if urls := other.pop("urls", None):
            out["urls"] = urls
        if self.annotations:
            out["annotations"] = dict(sorted(self.annotations.items()))
        out.update(other)
        return out


def _is_text_map(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and isinstance(entry, str) for key, entry in value.items()
    )
