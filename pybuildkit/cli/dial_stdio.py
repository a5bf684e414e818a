"""``pybuildkit dial-stdio``: standard input and output as a connection to the daemon (B38).

``docker exec``, ``kubectl exec`` and ssh run it on the daemon's side of a connection.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING

from pybuildkit.errors import ConfigError, ConnectError, ConnectTimeout

if TYPE_CHECKING:
    from pybuildkit.transport import UnixAddress

DESCRIPTION = "Connect standard input and output with the daemon's socket. Programs call it, people need not."
EXAMPLES = """example:
  ssh host pybuildkit --addr unix:///run/buildkit/buildkitd.sock dial-stdio
"""

_CHUNK = 1 << 16


def configure(parser: argparse.ArgumentParser) -> None:
    """There are no arguments of its own."""


def run(args: argparse.Namespace) -> int:
    """Copy both ways until the daemon's side ends, or both have."""
    from pybuildkit.transport import UnixAddress, default_address, parse_address

    text = args.addr or default_address()
    if text is None:
        raise ConfigError("no daemon was found; give --addr unix:///path/to/buildkitd.sock")
    address = parse_address(text)
    if not isinstance(address, UnixAddress):
        raise ConfigError(
            f"dial-stdio can not dial {text}; it is for unix:// addresses on the daemon's machine"
        )
    connection = _connect(address, args.timeout)
    failures: list[OSError] = []
    # A daemon thread: standard input that never ends must not keep the process when the daemon is gone.
    threading.Thread(target=_send, args=(connection, failures), daemon=True).start()
    try:
        while data := connection.recv(_CHUNK):
            _write_all(sys.stdout.fileno(), data)
    except ConnectionResetError as exc:
        failures.append(exc)
    if failures:
        print(f"error: the connection to {text} broke: {failures[0].strerror}", file=sys.stderr, flush=True)
        return 1
    return 0


def _connect(address: UnixAddress, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout if timeout > 0 else None)
    try:
        connection.connect(address.path)
    except TimeoutError as exc:
        connection.close()
        raise ConnectTimeout(
            f"buildkitd at {address} did not answer within {timeout:g} s", address=str(address)
        ) from exc
    except OSError as exc:
        connection.close()
        raise ConnectError(
            f"can not connect to buildkitd at {address}: {exc.strerror}; is it running there?",
            address=str(address),
        ) from exc
    connection.settimeout(None)
    return connection


def _send(connection: socket.socket, failures: list[OSError]) -> None:
    try:
        while data := os.read(sys.stdin.fileno(), _CHUNK):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    except OSError as exc:
        failures.append(exc)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
