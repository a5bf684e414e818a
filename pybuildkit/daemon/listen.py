"""Where a private daemon listens."""

from __future__ import annotations

import ipaddress
import socket

from pybuildkit._values import dataclass, replace
from pybuildkit.daemon.config import ServerTLS
from pybuildkit.errors import ConfigError, DaemonError
from pybuildkit.transport.address import TCPAddress, UnixAddress, parse_address

__all__ = ["Listen", "check_unused", "free_port", "listen_addresses"]


@dataclass(frozen=True, slots=True)
class Listen:
    """One address to listen on: a unix socket's path, or a host and a port (0: a free one)."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else str(TCPAddress(self.host, self.port))

    def settled(self) -> Listen:
        """With a port that is free now, when none is set."""
        return self if self.path or self.port else replace(self, port=free_port(self.host))


def free_port(host: str) -> int:
    """A tcp port that is free now on an address of this machine.

    Raises:
        DaemonError: none is to be had.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
            port: int = probe.getsockname()[1]
            return port
    except OSError as exc:
        raise DaemonError(f"no port is to be had on {host}: {exc}") from exc


def listen_addresses(address: str | None, tls: ServerTLS | None) -> list[Listen]:
    """What the user's address asks for; nothing when the private socket is enough.

    Raises:
        ConfigError: nothing can listen there, or everybody could reach a daemon that runs as root.
    """
    if address is None or not address.startswith("tcp://"):
        if tls is not None:
            raise ConfigError("tls is for a tcp address: give address='tcp://host:port', or leave tls out")
        return [] if address is None else [_unix(address)]
    takes_any = address.endswith(":0")
    parsed = parse_address(address[:-2] + ":1" if takes_any else address)
    assert isinstance(parsed, TCPAddress)
    if tls is None and not _is_loopback(parsed.host):
        raise ConfigError(
            f"address {address!r} can be reached from other machines, and whoever reaches the daemon is root "
            "here: give tls, or listen on 127.0.0.1"
        )
    return [Listen(host=parsed.host, port=0 if takes_any else parsed.port)]


def _unix(address: str) -> Listen:
    parsed = parse_address(address)
    if not isinstance(parsed, UnixAddress):
        raise ConfigError(f"a daemon can not listen on {address!r}; use unix:///path or tcp://host:port")
    return Listen(path=parsed.path)


def check_unused(listen: Listen) -> None:
    """Refuse a unix socket on which somebody listens: buildkitd would silently take its place.

    Raises:
        DaemonError: somebody does.
    """
    if not listen.path:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(listen.path)
        except OSError:
            return
    raise DaemonError(f"something listens on {listen} already; choose another address")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
