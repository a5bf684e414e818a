"""Images of ``llb.image(..., resolve=True)``, looked up by the daemon: its credentials, its mirrors, its policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybuildkit.llb.resolve import ImageQuery, ResolvedImage

if TYPE_CHECKING:
    from pybuildkit.gateway.gateway import Gateway

__all__ = ["GatewayImages"]


class GatewayImages:
    """Looks up images through a gateway; see ``llb.AsyncImageResolver``."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        """Answer one question.

        Raises:
            BuildError: the registry refused, or has no such image.
        """
        found = await self._gateway.resolve_image(
            query.ref, platform=query.platform, resolve_mode=query.resolve_mode
        )
        return ResolvedImage(found.config, found.digest, found.ref)
