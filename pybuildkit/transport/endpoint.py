"""What dialling an address gives."""

from __future__ import annotations

from collections.abc import Callable

from pybuildkit._values import dataclass, field

__all__ = ["Endpoint"]


def _no_trouble() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something that grpc can connect to.

    Attributes:
        address: the address as the user gave it, for messages.
        target: a grpc target, as ``unix:/run/buildkit/buildkitd.sock`` or ``dns:///host:1234``.
        authority: the ``:authority`` to send, None for grpc's own choice.
        socket_path: the unix socket to connect to without grpc, empty for tcp.
        host_port: the host and port likewise, empty for a unix socket.
        tls_allowed: whether TLS can be spoken here; over a socket or a process it can not.
        one_daemon: every connection reaches the same daemon. A host name may stand for a balancer
            before several, where a session must ride on the connection of its Solve.
        trouble: says why the way to the daemon broke, as far as the dialler knows: the stderr of a
            process, an engine's refusal. Empty when it knows nothing.
    """

    address: str
    target: str
    authority: str | None = None
    socket_path: str = ""
    host_port: str = ""
    tls_allowed: bool = False
    one_daemon: bool = True
    trouble: Callable[[], str] = field(default=_no_trouble, compare=False, repr=False)
