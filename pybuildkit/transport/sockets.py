"""A plain connected socket to an endpoint, for whoever speaks HTTP/2 by itself."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from pybuildkit.transport.endpoint import Endpoint

if TYPE_CHECKING:
    import asyncio

__all__ = ["connect", "connect_blocking"]

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
    import asyncio

    loop = asyncio.get_running_loop()
    if endpoint.socket_path:
        return await _connected(loop, socket.AF_UNIX, endpoint.socket_path)
    host, port = _host_port(endpoint)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, _, _, _, where in found[:-1]:
        try:
            async with asyncio.timeout(_NEXT_ADDRESS):
                return await _connected(loop, family, where)
        except (OSError, TimeoutError):
            continue
    return await _connected(loop, found[-1][0], found[-1][4])


def connect_blocking(endpoint: Endpoint, timeout: float) -> socket.socket:
    """The same without an event loop.

    Args:
        endpoint: where to.
        timeout: seconds for each of a host's addresses.

    Raises:
        OSError: nobody listens there, or does not answer in time, or the name is not known.
    """
    if endpoint.socket_path:
        return _connected_blocking(socket.AF_UNIX, endpoint.socket_path, timeout)
    host, port = _host_port(endpoint)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, _, _, _, where in found[:-1]:
        try:
            return _connected_blocking(family, where, min(timeout, _NEXT_ADDRESS))
        except OSError:
            continue
    return _connected_blocking(found[-1][0], found[-1][4], timeout)


def _host_port(endpoint: Endpoint) -> tuple[str, int]:
    host, _, port = endpoint.host_port.rpartition(":")
    return host.strip("[]"), int(port)


async def _connected(loop: asyncio.AbstractEventLoop, family: int, where: Any) -> socket.socket:
    sock = _new(family)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _connected_blocking(family: int, where: Any, timeout: float) -> socket.socket:
    sock = _new(family)
    try:
        sock.settimeout(timeout)
        sock.connect(where)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _new(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (*_KEEPALIVE, ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS)):
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock
