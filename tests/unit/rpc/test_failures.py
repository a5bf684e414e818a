"""Which error a refused call becomes."""

from __future__ import annotations

import pytest
from google.rpc import status_pb2

from pybuildkit.errors import BuildKitError, ConnectError, ConnectionLost, NotFound, RPCError
from pybuildkit.rpc.failures import rpc_error


def made(code: str, *, connected: bool = True, status: bytes = b"", text: str = "why") -> BuildKitError:
    return rpc_error(
        code, text, method="/a.B/C", address="tcp://there:1234", status=status, connected=connected
    )


def test_a_lost_connection_says_to_whom_and_what_to_look_at() -> None:
    error = made("UNAVAILABLE", text="Connection reset by peer")
    assert type(error) is ConnectionLost
    assert "tcp://there:1234 was lost: Connection reset by peer; is the daemon still running?" in str(error)


def test_a_daemon_that_can_not_reach_something_is_not_lost() -> None:
    """Whoever sends a status is there: a registry or a worker is what is away."""
    status = status_pb2.Status(code=14, message="registry: 503 Service Unavailable").SerializeToString()
    for connected in (True, False):
        error = made("UNAVAILABLE", status=status, connected=connected)
        assert type(error) is RPCError
        assert error.message == "registry: 503 Service Unavailable"


@pytest.mark.parametrize(
    ("code", "connected", "kind"),
    [("UNAVAILABLE", False, ConnectError), ("NOT_FOUND", True, NotFound), ("UNKNOWN", True, RPCError)],
)
def test_the_others(code: str, connected: bool, kind: type[BuildKitError]) -> None:
    assert type(made(code, connected=connected)) is kind


def test_a_closed_client_is_nobodys_fault() -> None:
    assert str(made("UNAVAILABLE", text="the client is closed")) == "UNAVAILABLE: the client is closed"
