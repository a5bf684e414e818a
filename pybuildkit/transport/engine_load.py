"""``POST /images/load``: an archive on its way into a docker engine. Blocks: for a thread."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection

from pybuildkit.errors import ConnectError, TransferError
from pybuildkit.transport.docker_engine import Engine

__all__ = ["ImageLoad", "ping"]

_PATIENCE = 300.0
"""Seconds that an engine may take to read the next piece, or to unpack what it has read."""

_PING_PATIENCE = 10.0

_SHOWN = 1 << 20
"""Bytes of its answer that are looked at."""


def ping(engine: Engine) -> None:
    """See whether the engine answers.

    Raises:
        ConnectError: it does not.
    """
    connection = _connect(engine, _PING_PATIENCE)
    try:
        connection.request("GET", "/_ping")
        status = connection.getresponse().status
    except (OSError, HTTPException) as exc:
        raise _unreachable(engine, exc) from exc
    finally:
        connection.close()
    if status != 200:
        raise _unreachable(engine, f"it answers with status {status}")


class ImageLoad:
    """One archive. The engine has the image after ``commit``, and nothing of it after ``abort``.

    Raises:
        ConnectError: the engine can not be reached.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection = _connect(engine, _PATIENCE)
        try:
            self._connection.putrequest("POST", "/images/load?quiet=1")
            self._connection.putheader("Content-Type", "application/x-tar")
            self._connection.putheader("Transfer-Encoding", "chunked")
            self._connection.endheaders()
        except (OSError, HTTPException) as exc:
            self._connection.close()
            raise _unreachable(engine, exc) from exc

    def write(self, data: bytes | memoryview) -> None:
        """Send a piece.

        Raises:
            TransferError: the engine takes no more.
        """
        if not data:  # it would mean the end
            return
        try:
            self._connection.send(b"".join((b"%x\r\n" % len(data), data, b"\r\n")))
        except OSError as exc:
            raise TransferError(f"{self._who} took no more of the image: {self._refusal() or exc}") from exc

    def end(self) -> None:
        """All pieces are sent. Whether they are the whole image is known later."""

    def commit(self) -> None:
        """The image is whole: have the engine take it.

        Raises:
            TransferError: the engine does not.
        """
        try:
            self._connection.send(b"0\r\n\r\n")
            answer = self._connection.getresponse()
            refusal = _refusal(answer)
        except (OSError, HTTPException) as exc:
            raise TransferError(f"{self._who} did not say whether it took the image: {exc}") from exc
        finally:
            self._connection.close()
        if refusal:
            raise TransferError(f"{self._who} did not take the image: {refusal}")

    def abort(self) -> None:
        """Break off, also out of a ``write`` in another thread."""
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    @property
    def _who(self) -> str:
        return f"the docker engine at {self._engine.text}"

    def _refusal(self) -> str:
        """What an engine says that answers before it has got all."""
        with suppress(OSError, HTTPException):
            return _refusal(self._connection.getresponse())
        return ""


def _refusal(answer: HTTPResponse) -> str:
    """Why the engine refuses, empty when it does not: by its status, or within what it reports of its progress."""
    body = answer.read(_SHOWN)
    for line in body.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and (error := said.get("error") or said.get("message")):
            return str(error)
    return "" if answer.status == 200 else f"status {answer.status}"


def _connect(engine: Engine, patience: float) -> HTTPConnection:
    if not engine.socket_path:
        if engine.tls is not None:
            return HTTPSConnection(engine.host, engine.port, context=engine.tls, timeout=patience)
        return HTTPConnection(engine.host, engine.port, timeout=patience)
    connection = HTTPConnection("docker", timeout=patience)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(patience)
    try:
        sock.connect(engine.socket_path)
    except OSError as exc:
        sock.close()
        raise _unreachable(engine, exc) from exc
    connection.sock = sock
    return connection


def _unreachable(engine: Engine, reason: object) -> ConnectError:
    return ConnectError(
        f"the docker engine at {engine.text} can not be reached: {reason}", address=engine.text
    )
