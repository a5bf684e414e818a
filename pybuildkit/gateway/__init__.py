"""Builds that decide as they go: solve, look at what came out, go on from there.

A client's build is ``client.gateway()``; a frontend in a container sees the same ``Gateway``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybuildkit.gateway.attestations import Attestation, Subject
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.caps import GatewayCaps
from pybuildkit.gateway.container import Container, ContainerOptions, ProcessOptions
from pybuildkit.gateway.gateway import Gateway
from pybuildkit.gateway.imageconfig import image_config
from pybuildkit.gateway.mounts import ResultMount
from pybuildkit.gateway.process import Completed, Process
from pybuildkit.gateway.reference import Reference
from pybuildkit.gateway.results import GatewayResult
from pybuildkit.gateway.sources import (
    AttestationChain,
    GitMetadata,
    HTTPMetadata,
    ImageMetadata,
    ResolveOptions,
    SourceMetadata,
)

if TYPE_CHECKING:
    from pybuildkit.gateway.build import GatewayBuild

__all__ = [
    "Attestation",
    "AttestationChain",
    "Bridge",
    "Completed",
    "Container",
    "ContainerOptions",
    "Gateway",
    "GatewayBuild",
    "GatewayCaps",
    "GatewayResult",
    "GitMetadata",
    "HTTPMetadata",
    "ImageMetadata",
    "Process",
    "ProcessOptions",
    "Reference",
    "ResolveOptions",
    "ResultMount",
    "SourceMetadata",
    "Subject",
    "image_config",
]


def __getattr__(name: str) -> object:
    """A client's build needs a session and much else that a frontend, which starts for each build, has no use for."""
    if name != "GatewayBuild":
        raise AttributeError(f"module 'pybuildkit.gateway' has no attribute {name!r}")
    from pybuildkit.gateway.build import GatewayBuild

    return GatewayBuild
