"""A plain connected socket to an endpoint, for whoever speaks HTTP/2 by itself."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from pybuildkit.transport.endpoint import Endpoint

__all__ = ["connect"]

_NEXT_ADDRESS = 5.0
"""Seconds for one of a host's addresses while there are others to be tried."""

_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""X2: a daemon whose machine died says nothing; the system finds out in two minutes. T8: pings of ours are punished."""

_USER_TIMEOUT_MS = 120_000


async def connect(endpoint: Endpoint) -> socket.socket:
    """Connect; the socket does not block.

    Raises:
        OSError: nobody listens there, or the name is not known.
    """
    loop = asyncio.get_running_loop()
    if endpoint.socket_path:
        return await _connected(loop, socket.AF_UNIX, endpoint.socket_path)
    host, _, port = endpoint.host_port.rpartition(":")
    found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    for family, _, _, _, where in found[:-1]:
        try:
            async with asyncio.timeout(_NEXT_ADDRESS):
                return await _connected(loop, family, where)
        except (OSError, TimeoutError):
            continue
    return await _connected(loop, found[-1][0], found[-1][4])


async def _connected(loop: asyncio.AbstractEventLoop, family: int, where: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            _tune(sock)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (*_KEEPALIVE, ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS)):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
