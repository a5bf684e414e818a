"""The one place where a refused call becomes one of our errors (C50, C62, T13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybuildkit.errors import (
    BuildKitError,
    ConnectError,
    ConnectionLost,
    NotFound,
    PermissionDenied,
    RPCError,
    Unauthenticated,
    Unsupported,
)

if TYPE_CHECKING:
    from pybuildkit.details import Detail

__all__ = ["CODES", "rpc_error"]

CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

_BY_CODE: dict[str, type[RPCError]] = {
    "NOT_FOUND": NotFound,
    "PERMISSION_DENIED": PermissionDenied,
    "UNAUTHENTICATED": Unauthenticated,
}


def rpc_error(
    code: str, message: str, *, method: str, address: str, status: bytes = b"", connected: bool = True
) -> BuildKitError:
    """Choose the error for a refused call.

    Args:
        code: the gRPC status code's name.
        message: the text that came with it.
        method: the full method.
        address: the daemon's address, for errors of the connection itself.
        status: the encoded ``google.rpc.Status`` of the trailers, empty when there was none.
        connected: whether the connection had ever come up; if not, UNAVAILABLE means that nobody answers.
    """
    details: tuple[Detail, ...] = ()
    if status:
        from pybuildkit.details import decode_status

        _, text, found = decode_status(status)
        message, details = text or message, tuple(found)
    # With a status the daemon itself says so: what it means is something else that it could not reach.
    if code == "UNAVAILABLE" and not status:
        if not connected:
            return connect_error(address, message)
        return ConnectionLost(_lost(address, message), code=code, method=method)
    if code == "UNIMPLEMENTED":
        from pybuildkit.details import FrontendCap

        capability = next((d.name for d in details if isinstance(d, FrontendCap)), "")
        return Unsupported(
            f"{message}; this daemon does not have {method}: it may need an update",
            method=method,
            details=details,
            capability=capability,
        )
    return _BY_CODE.get(code, RPCError)(message, code=code, method=method, details=details)


def _lost(address: str, reason: str) -> str:
    if reason.startswith("the client is closed"):
        return reason
    return f"the connection to buildkitd at {address} was lost: {reason}; is the daemon still running?"


def connect_error(address: str, reason: str) -> ConnectError:
    """Nobody answers at the address: say why, and what to do."""
    reason = reason.removeprefix("failed to connect to all addresses; last error: ").removeprefix("UNKNOWN: ")
    hint = "is buildkitd running there?"
    if "ermission denied" in reason:
        hint = "may this user open the socket? run as its owner, or start buildkitd with --group"
    elif "ertificate" in reason or "SSL" in reason or "Handshake" in reason:
        hint = "check tls=TLS(ca=..., cert=..., key=..., server_name=...) against what the daemon was started with"
    return ConnectError(f"can not connect to buildkitd at {address}: {reason}; {hint}", address=address)
