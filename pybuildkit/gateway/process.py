# ruff: noqa: SLF001 - the parts of a process know each other
"""A process in a gateway's container (V71).

Every process has an ``ExecProcess`` stream of its own. One stream could carry all of them, and does in Go's client; but
the daemon handles the messages of a stream one after the other and ends it at the first that goes wrong, so a process
that does not read its input would hold up the signals of others, and input that came too late for one would be the end
of all.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.memory import MemoryObjectSendStream
from anyio.streams.text import TextReceiveStream

from pybuildkit._values import dataclass
from pybuildkit._wire import ProtoDecodeError
from pybuildkit.details import ExitMessage
from pybuildkit.errors import BuildError, BuildKitError, ConfigError, ExecError, RPCError
from pybuildkit.gateway import _exec, caps
from pybuildkit.gateway._exec import Data, Done, Exit, Init, SignalLike, Started
from pybuildkit.gateway._streams import Input, Output
from pybuildkit.gateway.bridge import SERVICE, Bridge
from pybuildkit.rpc.channel import Duplex

__all__ = ["Completed", "Process", "open_process"]

STDIN, STDOUT, STDERR = 0, 1, 2

CHUNK = 32 << 10
"""Bytes of input in a message."""

WAITING = 16
"""Messages of output that may wait for a reader; then the daemon waits, and so does the process."""

START_PATIENCE = 60.0
"""Seconds that a process has to start."""

KILL_PATIENCE = 5.0
"""Seconds that a process has to end when it is killed."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A process that has ended.

    Attributes:
        args: its command.
        exit_code: its exit code; 128 and more for a signal, -1 for one that hit it before it ran.
        stdout: what it printed, with a terminal all of it.
        stderr: what it printed as errors.
    """

    args: tuple[str, ...]
    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""


class Process:
    """A process that runs, or has ended.

    Attributes:
        args: its command.
    """

    def __init__(self, bridge: Bridge, stream: Duplex, id: str, init: Init) -> None:  # noqa: A002
        self._bridge = bridge
        self._stream = stream
        self._id = id
        self._exit: Exit | None = None
        self._failure: BuildKitError | None = None
        self._done = False
        self._over = anyio.Event()
        self._exited = anyio.Event()
        self._outputs: dict[int, MemoryObjectSendStream[bytes]] = {}
        self.args = tuple(init.args)
        self._input = Input(self._send_input, self._end_input) if STDIN in init.fds else None
        self._readers = {fd: self._output(fd) for fd in (STDOUT, STDERR) if fd in init.fds}

    @property
    def stdin(self) -> ByteSendStream:
        """Its input; ``await stdin.aclose()`` is the end of it.

        Raises:
            ConfigError: it was started without.
        """
        if self._input is None:
            raise ConfigError("the process has no input: it was started without stdin=True")
        return self._input

    @property
    def stdout(self) -> ByteReceiveStream:
        """Its output, with a terminal all of it.

        Raises:
            ConfigError: it was started without.
        """
        return self._reader(STDOUT, "output: it was started with stdout=False")

    @property
    def stderr(self) -> ByteReceiveStream:
        """Its errors.

        Raises:
            ConfigError: it was started without, or with a terminal.
        """
        return self._reader(STDERR, "errors of its own: it was started with stderr=False, or with a terminal")

    def _reader(self, fd: int, missing: str) -> Output:
        reader = self._readers.get(fd)
        if reader is None:
            raise ConfigError(f"the process has no {missing}")
        return reader

    def _output(self, fd: int) -> Output:
        send, receive = anyio.create_memory_object_stream[bytes](WAITING)
        self._outputs[fd] = send
        return Output(receive)

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it runs, and when it is not known."""
        return self._exit.code if self._exit is not None and self._known(self._exit) else None

    @property
    def ended(self) -> bool:
        """Whether it has ended, or could not be started."""
        return self._exited.is_set()

    async def lines(self) -> AsyncGenerator[str, None]:
        """Its output line by line, as they come, without their ends; the last one may be without an end itself.

        Raises:
            ConfigError: it was started without.
        """
        rest = ""
        async for text in TextReceiveStream(self.stdout, errors="replace"):
            *whole, rest = (rest + text).split("\n")
            for line in whole:
                yield line
        if rest:
            yield rest

    async def wait(self) -> int:
        """Wait for its end; its exit code.

        It is 128 and more for a signal, and -1 when a signal hit it before it ran.

        Output that nobody reads holds it up: read it at the same time, or start it without.

        Raises:
            ExecError: it could not be started, or it is not known how it ended.
            RPCError: the daemon went away.
        """
        await self._over.wait()
        if self._exit is None:
            raise self._failure or RPCError(
                "the daemon ended the process' call without a word", code="UNKNOWN"
            )
        if not self._known(self._exit):
            raise await self._unknown_end(self._exit)
        return self._exit.code

    async def signal(self, signal: SignalLike) -> None:
        """Send it a signal; does nothing once it has ended.

        Input that it does not read holds up signals, too: the daemon passes them on in order.

        Args:
            signal: ``signal.SIGTERM``, or a name as ``TERM``.

        Raises:
            ConfigError: there is no such signal.
            Unsupported: the daemon can not pass on signals.
        """
        self._bridge.check("Process.signal()", caps.EXEC_SIGNALS)
        await self._send(_exec.encode_signal(self._id, _exec.signal_name(signal)))

    async def resize(self, rows: int, columns: int) -> None:
        """Tell it its terminal's size; does nothing once it has ended.

        Raises:
            ConfigError: a number is negative.
        """
        if rows < 0 or columns < 0:
            raise ConfigError(f"rows={rows} and columns={columns} can not be negative")
        await self._send(_exec.encode_resize(self._id, rows, columns))

    async def kill(self) -> None:
        """Kill it; does nothing once it has ended."""
        await self.signal("KILL")

    async def _unknown_end(self, exit_: Exit) -> BuildKitError:
        """The error of a process that did not start, or whose end nobody saw."""
        text = exit_.message or "it is not known how the process ended"
        refusal = RPCError(text, code="UNKNOWN", method=SERVICE + "ExecProcess", details=exit_.details)
        explained = await self._bridge.explained(refusal)
        if type(explained) not in (RPCError, BuildError):
            return explained
        error = ExecError(f"{shlex.join(self.args)}: {text}", details=exit_.details)
        error.argv = self.args
        return error

    @staticmethod
    def _known(exit_: Exit) -> bool:
        if exit_.code != _exec.UNKNOWN_EXIT:
            return True
        return any(isinstance(detail, ExitMessage) for detail in exit_.details)

    def _close(self) -> None:
        """Give up its streams."""
        for reader in self._readers.values():
            reader.close()
        for output in self._outputs.values():
            output.close()

    async def _end(self) -> None:
        """Kill it if it still runs, and wait for its end; without signals the container's end is its own."""
        for reader in self._readers.values():
            reader.close()
        if self._over.is_set() or caps.EXEC_SIGNALS not in self._bridge.caps:
            return
        try:
            await self._send(_exec.encode_signal(self._id, "KILL"))
        except BuildKitError:
            return  # the daemon is gone, and the process with it
        await self._over.wait()

    # ---- what happens on the stream

    async def _begin(self, init: Init, hopeless: Callable[[], bool]) -> None:
        """Start it, and wait until the daemon has.

        When a secret can not be had the daemon gives up, but says so only once the call is half-closed: it waits for
        another message first. A process that is only slow to start would not survive that; so it is done when it is
        known to be hopeless, or after a long time.
        """
        await self._stream.send(init.encode(self._id))
        first: Data | Exit | Started | Done | None = None
        until = time.monotonic() + START_PATIENCE
        async with anyio.create_task_group() as tasks:

            async def give_up() -> None:
                while time.monotonic() < until and not hopeless():  # noqa: ASYNC110 - another thread knows
                    await anyio.sleep(0.1)
                await self._stream.done_sending()

            tasks.start_soon(give_up)
            try:
                first = await self._receive()
            except RPCError as exc:
                self._failure = exc
            tasks.cancel_scope.cancel()
        if isinstance(self._failure, RPCError):
            raise await self._bridge.explained(self._failure)
        if not isinstance(first, Started):
            raise RPCError(f"the daemon answered to the start of a process with {first!r}", code="INTERNAL")

    async def _follow(self) -> None:
        """Hand out what comes until nothing more does."""
        try:
            while (message := await self._receive()) is not None:
                if isinstance(message, Data):
                    await self._hand_out(message)
                elif isinstance(message, Exit):
                    await self._ended(message)
                elif isinstance(message, Done):
                    self._done = True
                if self._done and self._exit is not None:
                    return
                if self._done:
                    # The process left input unread: then its exit code comes last, and the daemon's call only ends
                    # when it hears of no more messages.
                    await self._stream.done_sending()
        except BuildKitError as exc:
            # After the exit code only the end of input that came too late can go wrong.
            self._failure = exc
        finally:
            self._exited.set()
            self._over.set()
            for output in self._outputs.values():
                output.close()

    async def _receive(self) -> Data | Exit | Started | Done | None:
        data = await self._stream.receive()
        if data is None:
            return None
        try:
            message = _exec.decode_exec(data)
        except ProtoDecodeError as exc:
            raise RPCError(f"a message about a process can not be read: {exc}", code="INTERNAL") from exc
        return message if message is not None else await self._receive()

    async def _hand_out(self, message: Data) -> None:
        output = self._outputs.get(message.fd)
        if output is None:
            return
        try:
            if message.data:
                await output.send(message.data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):  # nobody reads any more
            self._outputs.pop(message.fd).close()
        if message.eof:
            output.close()

    async def _ended(self, message: Exit) -> None:
        self._exit = message
        self._exited.set()
        if self._input is not None:
            await self._input.aclose()  # without it the daemon does not say that it is done

    async def _send(self, message: bytes) -> None:
        """Send a message, unless the process has ended: then it would be an error for the daemon."""
        if self._exited.is_set():
            return
        try:
            await self._stream.send(message)
        except RPCError:
            await self._over.wait()  # the reader knows why
            if self._exit is None:
                raise

    async def _send_input(self, data: bytes) -> None:
        """Send input, in pieces.

        Raises:
            BrokenResourceError: the process has ended.
        """
        for start in range(0, len(data), CHUNK):
            if self._exited.is_set():
                raise anyio.BrokenResourceError
            await self._send(_exec.encode_data(self._id, STDIN, data[start : start + CHUNK]))

    async def _end_input(self) -> None:
        """Send the end of input."""
        try:
            await self._stream.send(_exec.encode_eof(self._id, STDIN))
        except RPCError:
            return  # the reader knows why the call is over


@asynccontextmanager
async def open_process(
    bridge: Bridge,
    id: str,  # noqa: A002 - what it is called
    init: Init,
    hopeless: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[Process, None]:
    """Start a process; leaving the block kills it if it still runs.

    Args:
        bridge: to the gateway.
        id: what the daemon is to call the process.
        init: what starts it.
        hopeless: asked while it starts, whether it is known that it will not.
    """
    failure: BaseException | None = None
    async with bridge.duplex("ExecProcess") as stream:
        process = Process(bridge, stream, id, init)
        try:
            await process._begin(init, hopeless)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(process._follow)
                try:
                    yield process
                except BaseException as exc:  # noqa: BLE001 - raised again below, out of the group's wrapping
                    failure = exc
                with anyio.CancelScope(shield=True), anyio.move_on_after(KILL_PATIENCE):
                    await process._end()
                tasks.cancel_scope.cancel()
        finally:
            process._close()
    if failure is not None:
        raise failure
