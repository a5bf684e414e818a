"""gRPC's server side on the HTTP/2 engine: takes the daemon's calls and gives each to a machine.

Without I/O, as the engine is: bytes go in by ``receive``, machines are asked for output by ``pull``, and
``connection.output`` gives the bytes to send. One thread drives all of it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from pybuildkit.http2.connection import Connection
from pybuildkit.http2.headers import Field
from pybuildkit.http2.metadata import Request, read_request
from pybuildkit.http2.stream import Stream
from pybuildkit.session.calls import Code, MachineFactory, Status
from pybuildkit.session.servercall import ServerCall

__all__ = ["HIGH_WATER", "Server"]

HIGH_WATER = 512 << 10
"""Bytes that machines may have queued in all, roughly; then they wait for the daemon to read."""

_LEAST_SHARE = 64 << 10
"""What a call may queue however many others there are."""


class Server:
    """All calls of one session.

    Args:
        methods: full method name to what makes the machine of a call.
        failures: takes what machines raise beside ``StatusError``, with the method.
        clock: seconds, for deadlines.

    Attributes:
        connection: the engine; whoever drives the server collects ``connection.output``.
        share: bytes that one call may have queued.
    """

    def __init__(
        self,
        methods: Mapping[str, MachineFactory],
        failures: deque[tuple[str, BaseException]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._methods = methods
        self._services = {name.rpartition("/")[0] for name in methods}
        self._clock = clock
        self._calls: set[ServerCall] = set()
        self._wanting: deque[ServerCall] = deque()
        self._deadlines: list[tuple[float, int, ServerCall]] = []
        self.connection = Connection(self._accept)
        self.share = HIGH_WATER
        self.failures = failures

    def receive(self, data: bytes) -> None:
        """Take bytes from the daemon, cut anywhere.

        Raises:
            ProtocolError: see ``Connection.receive``.
        """
        self.connection.receive(data)

    def _accept(self, stream: Stream, fields: Sequence[Field], end: bool) -> ServerCall:
        request = read_request(fields)
        call = ServerCall(self, stream, request)
        self._calls.add(call)
        self._reckon()
        refusal = self._refusal(request)
        if refusal is not None:
            call.finish(refusal)
            return call
        if request.timeout is not None:
            self._set_deadline(call, request.timeout)
        call.start(self._methods[request.path])
        if end:
            call.half_closed()
        return call

    def _refusal(self, request: Request) -> Status | None:
        if request.method != "POST" or not request.content_type.startswith("application/grpc"):
            return Status(Code.INTERNAL, f"not a gRPC request: {request.method} of {request.content_type!r}")
        if request.path not in self._methods:
            service, _, method = request.path.rpartition("/")
            known = service in self._services
            what = f"unknown method {method} for service" if known else "unknown service"
            return Status(Code.UNIMPLEMENTED, f"{what} {service.removeprefix('/')}")
        return None

    def _reckon(self) -> None:
        self.share = max(_LEAST_SHARE, HIGH_WATER // max(1, len(self._calls)))

    # Output.

    def want(self, call: ServerCall) -> None:
        """A call's machine may have output."""
        if not call.wanting and not call.over:
            call.wanting = True
            self._wanting.append(call)

    def pull(self) -> bool:
        """Ask each machine that may have output and has room for it, once; True when one could go on."""
        again = False
        for _ in range(len(self._wanting)):
            call = self._wanting.popleft()
            call.wanting = False
            if call.over:
                continue
            if call.crowded or call.pull():
                self.want(call)
                again = again or not call.crowded
        return again

    @property
    def queued(self) -> int:
        """Bytes of messages that wait to be sent."""
        return sum(call.stream.queued for call in self._calls)

    @property
    def ready(self) -> bool:
        """A machine may have output, and room for it."""
        return any(not call.crowded for call in self._wanting)

    # Ends of calls.

    def _set_deadline(self, call: ServerCall, timeout: float) -> None:
        import heapq  # a matter of start-up time: most builds end before the daemon calls with one

        if len(self._deadlines) > 64 + 2 * len(self._calls):
            self._deadlines = [entry for entry in self._deadlines if not entry[2].over]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (self._clock() + timeout, call.stream.id, call))

    def expire(self) -> float | None:
        """End the calls whose time is over; seconds until the next one's is, None when none has a deadline."""
        if not self._deadlines:
            return None
        import heapq

        while self._deadlines:
            when, _, call = self._deadlines[0]
            left = when - self._clock()
            if call.over:
                heapq.heappop(self._deadlines)
            elif left > 0:
                return left
            else:
                heapq.heappop(self._deadlines)
                call.finish(
                    Status(Code.DEADLINE_EXCEEDED, f"{call.method} took longer than the daemon waits")
                )
        return None

    def forget(self, call: ServerCall) -> None:
        """A call is over and its machine closed."""
        self._calls.discard(call)
        self._reckon()

    def abandon(self) -> None:
        """The session is over: close all machines."""
        self.connection.abandon(None)
        for call in list(self._calls):
            call.closed(None)
        self._wanting.clear()
        self._deadlines.clear()
