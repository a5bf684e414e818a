"""Builds that decide as they go: solve, look at what came out, go on from there.

A client's build is ``client.gateway()``; a frontend in a container sees the same ``Gateway``.
"""

from __future__ import annotations

from pybuildkit.gateway.attestations import Attestation, Subject
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.build import GatewayBuild
from pybuildkit.gateway.caps import GatewayCaps
from pybuildkit.gateway.container import Container, ContainerOptions, ProcessOptions
from pybuildkit.gateway.gateway import Gateway
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
]
