"""Calls on one connection, moved on by the thread that waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable

from pybuildkit._version import __version__
from pybuildkit.errors import BuildKitError, ConnectError, ConnectTimeout, Unsupported
from pybuildkit.http2.messages import MessageError
from pybuildkit.rpc.failures import connect_error, rpc_error
from pybuildkit.rpc.h2stream import CallStream, request_headers
from pybuildkit.session.socketcarrier import RECEIVE_WINDOW
from pybuildkit.session.socketway import SocketWay
from pybuildkit.tracing import trace_headers
from pybuildkit.transport.endpoint import Endpoint
from pybuildkit.transport.sockets import connect_blocking

__all__ = ["DirectCall", "DirectChannel", "open_channel"]

_INFO = "/moby.buildkit.v1.Control/Info"

_USER_AGENT = ("user-agent", f"pybuildkit/{__version__}")

_AGAIN = 0.1
"""Seconds between two attempts to connect to a daemon that is just starting."""


class DirectCall(CallStream):
    """A call with one request. Messages are handed on as they come, while the channel is moved on."""

    def __init__(
        self, channel: DirectChannel, headers: bytes, method: str, took: Callable[[bytes], object]
    ) -> None:
        self._took = took
        super().__init__(channel.way, headers, method=method, address=channel.address)

    @property
    def over(self) -> bool:
        """It has ended."""
        return self._over

    @property
    def error(self) -> BuildKitError | None:
        """Why it ended badly."""
        return self._error

    def send_only(self, message: bytes) -> None:
        """Queue the one message."""
        self.queue(message)
        self._stream.end()

    def arrived(self, messages: list[bytes]) -> None:
        """See ``CallStream.arrived``."""
        for message in messages:
            self._took(message)

    def changed(self) -> None:
        """See ``CallStream.changed``: whoever waits looks for itself."""


class DirectChannel:
    """A connection to the daemon.

    Args:
        way: connected.
        endpoint: to where.
    """

    def __init__(self, way: SocketWay, endpoint: Endpoint) -> None:
        self.way = way
        self._endpoint = endpoint

    @property
    def address(self) -> str:
        """The address as the user gave it."""
        return self._endpoint.address

    @property
    def authority(self) -> str:
        """The ``:authority`` of calls (C41)."""
        return self._endpoint.authority or self._endpoint.host_port or "localhost"

    @property
    def usable(self) -> bool:
        """The daemon has not closed the connection, or said that it will. Sessions that have ended may still be on it."""
        self.way.read()
        self.way.flush()
        return not self.way.lost and self.way.connection.goaway is None

    def start(
        self, method: str, request: bytes, took: Callable[[bytes], object], *, timeout: float | None = None
    ) -> DirectCall:
        """Begin a call.

        Args:
            method: the full method.
            request: the encoded request.
            took: given each message.
            timeout: seconds, for the daemon to know; who waits looks at the clock.

        Raises:
            RPCError: the connection is lost, or the request too long.
        """
        if self.way.lost:
            raise self.error("UNAVAILABLE", self.way.lost, method)
        try:
            headers = request_headers(
                self.way.connection,
                method,
                [_USER_AGENT, *trace_headers()],
                authority=self.authority,
                timeout=timeout,
            )
        except MessageError as exc:
            raise self.error("RESOURCE_EXHAUSTED", str(exc), method) from None
        call = DirectCall(self, headers, method, took)
        call.send_only(request)
        self.way.flush()
        return call

    def step(self, timeout: float | None) -> None:
        """Wait until something comes, and hand it on."""
        self.way.wait(timeout)
        self.way.read()
        self.way.flush()

    def unary(self, method: str, request: bytes = b"", *, timeout: float | None = None) -> bytes:
        """One request, one response.

        Raises:
            ConnectError: whoever listens at the address is no daemon.
            RPCError: the daemon refused.
        """
        answers: list[bytes] = []
        until = None if timeout is None else time.monotonic() + timeout
        call = self.start(method, request, answers.append, timeout=timeout)
        while not call.over:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                call.give_up()
                self.way.flush()
                raise self.error("DEADLINE_EXCEEDED", f"no answer within {timeout} seconds", method)
            self.step(left)
        if call.error is not None:
            raise call.error
        if len(answers) != 1:
            raise self.error("INTERNAL", f"the daemon gave {len(answers)} answers to one question", method)
        return answers[0]

    def close(self) -> None:
        """Close the connection."""
        self.way.close()

    def error(self, code: str, text: str, method: str) -> BuildKitError:
        """The error of a call."""
        return rpc_error(code, text, method=method, address=self.address, connected=self.way.answered)


def open_channel(
    endpoint: Endpoint, *, timeout: float, wait: bool = False, greet: bool = True
) -> DirectChannel:
    """Connect, and hear that a daemon is there.

    Args:
        endpoint: where to.
        timeout: seconds to wait for the first answer.
        wait: keep trying for so long while nobody listens.
        greet: ask whether it is a daemon; where one has answered before, the first call will show.

    Raises:
        ConnectError: nobody listens, or it is no daemon.
        ConnectTimeout: nobody answered in time.
    """
    until = time.monotonic() + timeout
    last: ConnectError | None = None
    while (left := until - time.monotonic()) > 0:
        try:
            return _greeted(endpoint, left) if greet else _connected(endpoint, left)
        except ConnectTimeout:
            break
        except ConnectError as exc:
            last = exc
            if not wait:
                raise
        time.sleep(min(_AGAIN, max(0, until - time.monotonic())))
    reason = f": {last}" if last else ""
    raise ConnectTimeout(
        f"buildkitd at {endpoint.address} did not answer within {timeout:g} s{reason}",
        address=endpoint.address,
    )


def _connected(endpoint: Endpoint, timeout: float) -> DirectChannel:
    try:
        sock = connect_blocking(endpoint, timeout)
    except TimeoutError:
        raise ConnectTimeout("", address=endpoint.address) from None
    except OSError as exc:
        raise connect_error(endpoint.address, exc.strerror or str(exc)) from None
    return DirectChannel(SocketWay(sock, stream_window=RECEIVE_WINDOW), endpoint)


def _greeted(endpoint: Endpoint, timeout: float) -> DirectChannel:
    channel = _connected(endpoint, timeout)
    try:
        channel.unary(_INFO, timeout=timeout)
    except Unsupported:  # C44: a daemon before 0.11 is a daemon too
        return channel
    except BuildKitError as exc:
        channel.close()
        if getattr(exc, "code", "") == "DEADLINE_EXCEEDED":
            raise ConnectTimeout("", address=endpoint.address) from None
        raise
    except BaseException:
        channel.close()
        raise
    return channel
