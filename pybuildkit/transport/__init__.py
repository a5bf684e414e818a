"""Ways to dial a daemon: an address in, something that grpc can connect to out.

::

    async with dial("docker-container://buildkitd") as endpoint:
        channel = grpc.aio.insecure_channel(endpoint.target)
"""

from __future__ import annotations

from pybuildkit.transport.address import (
    Address,
    DockerContainerAddress,
    TCPAddress,
    UnixAddress,
    default_address,
    parse_address,
)
from pybuildkit.transport.dial import Endpoint, dial, translate

__all__ = [
    "Address",
    "DockerContainerAddress",
    "Endpoint",
    "TCPAddress",
    "UnixAddress",
    "default_address",
    "dial",
    "parse_address",
    "translate",
]
