"""What a build gives back."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pybuildkit._values import dataclass, field
from pybuildkit.events import VertexWarning

if TYPE_CHECKING:
    from pybuildkit.content.descriptor import Descriptor

__all__ = ["Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """A build that ended well.

    Attributes:
        ref: the build's id, the key of its history record.
        metadata: what frontends and exporters said, as the daemon sent it (V47). All exporters share one map.
        warnings: what the frontend warned of, in the order it came.
        duration: in seconds, from the request to the last exporter.
    """

    ref: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[VertexWarning, ...] = ()
    duration: float = 0.0

    @property
    def digest(self) -> str | None:
        """The image's digest; None when no exporter made an image."""
        return self.metadata.get("containerimage.digest")

    @property
    def config_digest(self) -> str | None:
        """The image config's digest, what docker calls the image id; None for several platforms or no image."""
        return self.metadata.get("containerimage.config.digest")

    @property
    def descriptor(self) -> Descriptor | None:
        """The image's descriptor; None when no exporter made an image."""
        encoded = self.metadata.get("containerimage.descriptor")
        if encoded is None:
            return None
        import base64

        from pybuildkit.content.descriptor import Descriptor

        return Descriptor.parse(base64.b64decode(encoded))

    @property
    def image_names(self) -> tuple[str, ...]:
        """The names the image was given."""
        return tuple(name for name in self.metadata.get("image.name", "").split(",") if name)

    def metadata_document(self) -> dict[str, Any]:
        """The metadata as ``--metadata-file`` writes it: encoded JSON objects are unfolded (V49)."""
        return {key: _unfold(value) for key, value in self.metadata.items()}


def _unfold(value: str) -> Any:
    """A base64 text that holds a JSON object is that object; anything else stays a text (V49)."""
    import base64
    import json

    try:
        found = json.loads(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return value
    return found if isinstance(found, dict) and found else value
