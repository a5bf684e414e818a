"""Asking a daemon whether it is ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pybuildkit import _wire
from pybuildkit.errors import ConnectError

__all__ = ["Probe", "info"]

Probe: TypeAlias = Callable[[str, float], str]
"""Takes a grpc target and a time limit in seconds; returns the version; raises ConnectError: not yet."""

_INFO = "/moby.buildkit.v1.Control/Info"


def info(target: str, timeout: float) -> str:
    """Call ``Control/Info`` once, and return the daemon's version.

    Args:
        target: as grpc takes it, ``unix:/path`` or ``dns:///host:port``.
        timeout: seconds.

    Raises:
        ConnectError: the daemon does not answer within the time.
    """
    import grpc

    # Without a proxy: grpc's C core would ask $http_proxy even for a socket's stand-in host name.
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_INFO)
        try:
            response = call(b"", timeout=timeout, wait_for_ready=True)
        except grpc.RpcError as exc:
            raise ConnectError(f"the daemon does not answer yet: {exc}", address=target) from None
    # InfoResponse.buildkitVersion = 1, BuildkitVersion.version = 2
    return _wire.first(_wire.first(response, 1), 2).decode()
