"""The session's one thread: moves bytes between the carrier and the server, and runs the machines."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pybuildkit.errors import BuildKitError, ProtocolError, SessionError
from pybuildkit.session.carrier import BATCH, Carrier
from pybuildkit.session.server import Server

if TYPE_CHECKING:
    import threading

__all__ = ["DRAIN", "Driver"]

_GATHER = 0.004
"""Seconds that machines may fill one batch before it is sent and the daemon heard again."""

DRAIN = 2.0
"""Seconds that the daemon is mostly given to end its side of the stream after ours has ended (S12)."""


class Driver:
    """Drives a server over a carrier until it is stopped, or the carrier ends.

    A thread of its own, so that a user's code that holds up the event loop does not hold up a transfer, and a
    transfer's file access does not hold up the event loop.

    Args:
        carrier: thread side of what carries the bytes.
        server: the calls.
        ended: called in the thread as its last act.
        drain: seconds that the daemon is given to end its side after ours has ended, ``DRAIN`` when None.

    Attributes:
        error: why the session ended; None while it runs, and when it was stopped.
        heard: how often something has come from the daemon.
    """

    def __init__(
        self, carrier: Carrier, server: Server, ended: Callable[[], None], *, drain: float | None = None
    ) -> None:
        self._drain = DRAIN if drain is None else drain
        self._carrier = carrier
        self._server = server
        self._ended = ended
        self._posted: deque[Callable[[], None]] = deque()
        self._stopping = False
        self._given_up: BuildKitError | None = None
        self._timeout: float | None = None
        self._thread: threading.Thread | None = None
        self.heard = 0
        self.error: BuildKitError | None = None

    # Any thread.

    def start(self) -> None:
        """Start the thread."""
        import threading  # a matter of start-up time: a command's own thread calls ``run``

        self._thread = threading.Thread(target=self.run, name="pybuildkit-session", daemon=True)
        self._thread.start()

    def post(self, function: Callable[[], None]) -> None:
        """Have a function called in the thread, soon."""
        self._posted.append(function)
        self._carrier.wake()

    def stop(self) -> None:
        """End the session well."""
        self._stopping = True
        self._carrier.wake()

    def give_up(self, error: BuildKitError) -> None:
        """End the session with an error: the daemon is not there any more, and is not waited for."""
        self._given_up = error
        self._carrier.wake()

    @property
    def in_thread(self) -> bool:
        """It is, or was, driven by a thread."""
        return self._thread is not None

    async def join(self) -> None:
        """Wait until the thread has ended, after ``ended`` was called: a matter of microseconds."""
        thread = self._thread
        if thread is None:
            return
        import anyio

        while thread.is_alive():  # noqa: ASYNC110 - a thread tells nobody when it is really gone
            await anyio.sleep(0.0005)
        thread.join()

    # The thread.

    def run(self) -> None:
        """Drive to the end; in the calling thread, for whoever has not called ``start``."""
        try:
            self._drive()
        except ProtocolError as exc:
            self.error = exc
            self._say_goodbye()
        except BaseException as exc:
            self.error = SessionError(f"the session's thread failed: {type(exc).__name__}: {exc}")
            self.error.__cause__ = exc
            if self._thread is None and not isinstance(exc, Exception):
                raise  # Ctrl-C, in the thread of a user who waits for the build
        finally:
            self._server.abandon()
            self._carrier.close()
            self._ended()

    def _drive(self) -> None:
        while self._turn():
            if not self._busy:
                self._carrier.wait(self._timeout)
        if self.error is None:
            self._finish()

    def _turn(self) -> bool:
        """Hear, work and write once; False when the session is over: broken (``error``), or to be ended."""
        # Looked at before hearing: what broke the session before it was closed, while the thread was busy, counts.
        stopping = self._stopping
        while self._posted:
            self._posted.popleft()()
        if self._given_up is not None:
            self.error = self._given_up
            return False
        if self._hear():
            self.error = self._lost()
            self._say_goodbye()
            return False
        if stopping:
            return False
        self._timeout = self._server.expire()
        self._gather()
        self._write()
        return True

    @property
    def _busy(self) -> bool:
        """There is something to do without anything to wait for."""
        return self._server.ready or bool(self._posted) or self._stopping

    def _hear(self) -> bool:
        """Take what has arrived; True when the daemon has ended the session.

        A daemon that gives up a session says GOAWAY inside it, and leaves the stream around it open (S9, S14).
        """
        for data in self._carrier.take():
            self.heard += 1
            self._server.receive(data)
        return self._carrier.ended or self._server.connection.goaway is not None

    def _gather(self) -> None:
        """Let machines fill a batch: many small messages then go as one."""
        server = self._server
        if not server.pull():
            return
        until = time.monotonic() + _GATHER
        while server.queued < BATCH and time.monotonic() < until and server.pull():
            pass

    def _write(self) -> None:
        carrier, connection = self._carrier, self._server.connection
        while connection.wants_output and (room := carrier.room()):
            buffers, size = connection.output(room, unit=carrier.unit, used=carrier.overhead)
            if not size:
                return
            carrier.write(buffers, size)

    def _lost(self) -> BuildKitError:
        error = self._carrier.error
        if isinstance(error, BuildKitError):
            return error
        if error is not None:
            lost = SessionError(f"the session with the daemon broke: {error}")
            lost.__cause__ = error
            return lost
        connection = self._server.connection
        if connection.goaway is not None:
            text = connection.goaway_text.decode("utf-8", "replace")
            return SessionError(
                f"the daemon gave up the session ({text}): this client did not answer in time, or the daemon "
                "is stopping; its log says which"
            )
        return SessionError("the daemon ended the session; its log says why")

    def _finish(self) -> None:
        """End our side, and wait for the daemon to end its own (S12)."""
        carrier = self._carrier
        self._shut()
        until = time.monotonic() + self._drain
        while not carrier.ended and (left := until - time.monotonic()) > 0:
            carrier.take()
            if not carrier.ended:
                carrier.wait(left)

    def _shut(self) -> None:
        self._server.connection.shut()
        self._server.abandon()
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        carrier, connection = self._carrier, self._server.connection
        if carrier.room() and connection.wants_output:
            buffers, size = connection.output(0)
            carrier.write(buffers, size)
        carrier.finish_writing()
