"""Where a private daemon may listen."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pybuildkit.daemon import Buildkitd, ServerTLS
from pybuildkit.daemon.listen import Listen, check_unused, listen_addresses
from pybuildkit.errors import ConfigError, DaemonError

TLS = ServerTLS(Path("/c"), Path("/k"))


@pytest.mark.parametrize(
    ("address", "tls", "listen"),
    [
        (None, None, []),
        ("unix:///x.sock", None, [Listen(path="/x.sock")]),
        ("tcp://127.0.0.1:7", None, [Listen(host="127.0.0.1", port=7)]),
        ("tcp://localhost:0", None, [Listen(host="localhost", port=0)]),
        ("tcp://[::1]:7", None, [Listen(host="::1", port=7)]),
        ("tcp://0.0.0.0:7", TLS, [Listen(host="0.0.0.0", port=7)]),
        ("tcp://builder.example:0", TLS, [Listen(host="builder.example")]),
    ],
)
def test_addresses(address: str | None, tls: ServerTLS | None, listen: list[Listen]) -> None:
    assert listen_addresses(address, tls) == listen
    for each in listen:
        assert str(each) == address


@pytest.mark.parametrize(
    ("address", "tls", "says"),
    [
        ("tcp://0.0.0.0:7", None, "can be reached from other machines.* give tls, or listen on 127.0.0.1"),
        ("tcp://builder.example:7", None, "whoever reaches the daemon is root"),
        ("tcp://127.0.0.1", None, "needs a host and a port"),
        ("unix:///x.sock", TLS, "tls is for a tcp address"),
        (None, TLS, "tls is for a tcp address"),
        ("docker-container://x", None, "can not listen on 'docker-container://x'"),
        ("/x.sock", None, "did you mean unix:///x.sock"),
    ],
)
def test_refused(address: str | None, tls: ServerTLS | None, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Buildkitd(address=address, tls=tls)


def test_a_free_port() -> None:
    settled = Listen(host="127.0.0.1").settled()
    assert settled.port
    assert settled.settled() is settled
    with pytest.raises(DaemonError, match="no port is to be had on 192"):
        Listen(host="192.0.2.77").settled()


def test_a_socket_in_use(tmp_path: Path) -> None:
    """buildkitd would remove the other's socket and listen in its place."""
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(
            DaemonError, match=r"something listens on unix://.* already; choose another address"
        ):
            check_unused(Listen(path=str(path)))
    check_unused(Listen(path=str(path)))  # a dead one is no hindrance
    check_unused(Listen(host="127.0.0.1", port=1))
