"""Sessions that begin in the event loop: most have ended before a thread would have been worth its start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from pybuildkit import _wire
from pybuildkit.errors import ProtocolError, SessionError
from pybuildkit.rpc.channel import EagerDuplex
from pybuildkit.session.bridge import Bridge
from pybuildkit.session.calls import Buffer
from pybuildkit.session.carrier import BATCH, SESSION, Carrier, decode_bytes_message, encode_bytes_message
from pybuildkit.session.driver import DRAIN, Driver
from pybuildkit.session.server import Server

__all__ = ["LoopDriver"]

_SHORT = 1.0
"""Seconds after which a session goes on in a thread, so that a program that holds up its event loop does not lose it."""


class LoopDriver(Driver):
    """Drives a session whose machines touch no files: in the event loop for a second, then in a thread.

    Args:
        call: the session's stream.
        carrier: carries it later, between the event loop and the thread.
        server: the calls.
        ended: called as the last act, wherever that is.
        bridge: where the carrier will run.
    """

    def __init__(
        self, call: EagerDuplex, carrier: Carrier, server: Server, ended: Callable[[], None], bridge: Bridge
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._first = _LoopCarrier(call, self._step, self._loop)
        super().__init__(self._first, server, ended)
        self._later = carrier
        self._bridge = bridge
        self._move: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin; the next steps follow when something has arrived."""
        self._move = self._loop.call_later(_SHORT, self._go_on_in_a_thread)
        self._first.step_now()

    def _go_on_in_a_thread(self) -> None:
        if self._stopped:
            return
        self._leave_loop()
        self._carrier = self._later
        self._bridge.start(self._later.run)
        super().start()

    def _leave_loop(self) -> None:
        self._first.close()
        for timer in (self._move, self._alarm):
            if timer is not None:
                timer.cancel()

    def _step(self) -> None:
        try:
            over = self._go_on()
        except ProtocolError as exc:
            self.error = exc
            self._say_goodbye()
            over = True
        except Exception as exc:  # noqa: BLE001 - nobody else would hear of it
            self.error = SessionError(f"the session failed: {type(exc).__name__}: {exc}")
            self.error.__cause__ = exc
            over = True
        if over:
            self._server.abandon()
            self._leave_loop()
            self._ended()

    def _go_on(self) -> bool:
        """Whether it is over."""
        if self._turn():
            if self._busy:
                self._first.wake()
            else:
                self._set_alarm(self._timeout)
            return False
        self._stopped = True
        if self.error is None:
            # S12: that the daemon ends its side too is waited for by nobody, since nothing depends on it.
            self._shut()
            self._first.part()
        return True

    def _set_alarm(self, seconds: float | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if seconds is None else self._loop.call_later(seconds, self._first.wake)


class _LoopCarrier:
    """The stream itself, for who is called when something has come. See ``Carrier``; nobody waits for it."""

    unit = 0
    overhead = 0

    def __init__(
        self, call: EagerDuplex, step: Callable[[], object], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._call = call
        self._step: Callable[[], object] | None = step
        self._loop = loop
        self._woken = False
        self._stepping = False
        self._broken: ProtocolError | None = None
        call.watch(self.step_now)

    def take(self) -> list[bytes]:
        taken: list[bytes] = []
        try:
            while self._call.has_messages:
                taken.append(decode_bytes_message(self._call.take()))
        except _wire.ProtoDecodeError as exc:
            self._broken = ProtocolError(
                f"the session's stream carries no BytesMessage: {exc}", method=SESSION
            )
        return taken

    @property
    def ended(self) -> bool:
        return self._call.over or self._broken is not None

    @property
    def error(self) -> Exception | None:
        return self._broken or self._call.error

    def room(self) -> int:
        return 0 if self._call.crowded else BATCH

    def write(self, buffers: Sequence[Buffer], size: int) -> None:
        self._call.post(encode_bytes_message(buffers, size))

    def finish_writing(self) -> None:
        self._call.post_end()

    def wait(self, timeout: float | None) -> None:
        raise AssertionError("nobody waits in the event loop")

    def wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._take_step)

    def _take_step(self) -> None:
        self._woken = False
        self.step_now()

    def step_now(self) -> None:
        """Have what has come seen to; later, when a step is what brought it."""
        if self._stepping:
            self.wake()
        elif self._step is not None:
            self._stepping = True
            try:
                self._step()
            finally:
                self._stepping = False

    def part(self) -> None:
        """Leave the stream to its end."""
        self._call.part(DRAIN)

    def close(self) -> None:
        self._step = None
        self._call.watch(None)

    async def run(self) -> None:
        """Nothing is moved."""
