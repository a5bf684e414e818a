"""From an address to its dialler. A way to dial is one file beside this one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pybuildkit.transport.address import (
    Address,
    DockerContainerAddress,
    TCPAddress,
    UnixAddress,
    parse_address,
)
from pybuildkit.transport.endpoint import Endpoint

__all__ = ["Endpoint", "dial", "translate"]


@asynccontextmanager
async def dial(address: str | Address) -> AsyncIterator[Endpoint]:
    """Make an address reachable for grpc while the context lasts.

    A unix or tcp address is only translated: nothing is connected here. A container is looked up, and
    a private socket leads into it; each connection to that socket is one process in the container.

    Args:
        address: text, or an address that is parsed already.

    Raises:
        ConfigError: the address can not be read.
        ConnectError: a dialler found that nothing can be there.
    """
    parsed = parse_address(address) if isinstance(address, str) else address
    text = address if isinstance(address, str) else str(parsed)
    endpoint = translate(parsed, text)
    if endpoint is not None:
        yield endpoint
        return
    from pybuildkit.transport import docker_container

    assert isinstance(parsed, DockerContainerAddress)
    async with docker_container.dial(parsed, text) as endpoint:
        yield endpoint


def translate(address: Address, text: str) -> Endpoint | None:
    """The endpoint of an address behind which a daemon listens; None for one that must be dialled.

    Args:
        address: the address.
        text: as the user gave it.
    """
    match address:
        case UnixAddress(path):
            return Endpoint(text, f"unix:{path}", socket_path=path)
        case TCPAddress(host):
            # An IP address, unlike a name, is one machine; what listens there may still be a balancer.
            return Endpoint(
                text,
                f"dns:///{address.host_port}",
                host_port=address.host_port,
                tls_allowed=True,
                one_daemon=host in ("localhost", "127.0.0.1", "::1"),
            )
    return None
