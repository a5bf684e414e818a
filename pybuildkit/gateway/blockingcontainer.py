"""Containers and their processes, for code that blocks; see ``Container`` and ``Process``."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Unpack

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.from_thread import BlockingPortal

from pybuildkit._portal import call_in, pull
from pybuildkit.fsutil.stat import Stat
from pybuildkit.gateway._exec import SignalLike
from pybuildkit.gateway.container import Container, ProcessOptions
from pybuildkit.gateway.process import Completed, Process

__all__ = ["BlockingContainer", "BlockingInput", "BlockingOutput", "BlockingProcess"]


class BlockingInput:
    """A process' input."""

    def __init__(self, portal: BlockingPortal, stream: ByteSendStream) -> None:
        self._portal = portal
        self._stream = stream

    def send(self, item: bytes) -> None:
        """Send some.

        Raises:
            anyio.BrokenResourceError: the process has ended.
            anyio.ClosedResourceError: it was closed.
        """
        call_in(self._portal, self._stream.send, item)

    def close(self) -> None:
        """The end of it."""
        call_in(self._portal, self._stream.aclose)


class BlockingOutput:
    """One of a process' outputs; iterate over it for what comes, until its end."""

    def __init__(self, portal: BlockingPortal, stream: ByteReceiveStream) -> None:
        self._portal = portal
        self._stream = stream

    def receive(self, max_bytes: int = 65536) -> bytes:
        """What has come, at least one byte.

        Raises:
            anyio.EndOfStream: it has ended.
        """
        data: bytes = call_in(self._portal, self._stream.receive, max_bytes)
        return data

    def close(self) -> None:
        """Read no more; the process then does not wait for it."""
        call_in(self._portal, self._stream.aclose)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            try:
                yield self.receive()
            except anyio.EndOfStream:
                return


class BlockingProcess:
    """A process that runs, or has ended; see ``Process``."""

    def __init__(self, portal: BlockingPortal, process: Process) -> None:
        self._portal = portal
        self._process = process

    @property
    def args(self) -> tuple[str, ...]:
        """Its command."""
        return self._process.args

    @property
    def stdin(self) -> BlockingInput:
        """See ``Process.stdin``."""
        return BlockingInput(self._portal, self._process.stdin)

    @property
    def stdout(self) -> BlockingOutput:
        """See ``Process.stdout``."""
        return BlockingOutput(self._portal, self._process.stdout)

    @property
    def stderr(self) -> BlockingOutput:
        """See ``Process.stderr``."""
        return BlockingOutput(self._portal, self._process.stderr)

    @property
    def exit_code(self) -> int | None:
        """See ``Process.exit_code``."""
        return self._process.exit_code

    @property
    def ended(self) -> bool:
        """See ``Process.ended``."""
        return self._process.ended

    def lines(self) -> Iterator[str]:
        """See ``Process.lines``."""
        return pull(self._portal, self._process.lines())

    def wait(self) -> int:
        """See ``Process.wait``."""
        code: int = call_in(self._portal, self._process.wait)
        return code

    def signal(self, signal: SignalLike) -> None:
        """See ``Process.signal``."""
        call_in(self._portal, self._process.signal, signal)

    def resize(self, rows: int, columns: int) -> None:
        """See ``Process.resize``."""
        call_in(self._portal, self._process.resize, rows, columns)

    def kill(self) -> None:
        """See ``Process.kill``."""
        call_in(self._portal, self._process.kill)


class BlockingContainer:
    """A container on what a build has made so far; see ``Container``."""

    def __init__(self, portal: BlockingPortal, container: Container) -> None:
        self._portal = portal
        self._container = container

    @property
    def id(self) -> str:
        """What the daemon calls it."""
        return self._container.id

    @contextmanager
    def start(
        self,
        args: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
        **options: Unpack[ProcessOptions],
    ) -> Generator[BlockingProcess, None, None]:
        """See ``Container.start``."""
        opened = self._container.start(args, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty, **options)
        with self._portal.wrap_async_context_manager(opened) as process:
            yield BlockingProcess(self._portal, process)

    def run(
        self,
        args: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002 - as in subprocess
        check: bool = True,
        **options: Unpack[ProcessOptions],
    ) -> Completed:
        """See ``Container.run``."""
        done: Completed = call_in(
            self._portal, self._container.run, args, input=input, check=check, **options
        )
        return done

    def read_file(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``Container.read_file``."""
        data: bytes = call_in(self._portal, self._container.read_file, path, offset, length)
        return data

    def read_dir(self, path: str = "/") -> tuple[Stat, ...]:
        """See ``Container.read_dir``."""
        entries: tuple[Stat, ...] = call_in(self._portal, self._container.read_dir, path)
        return entries

    def stat(self, path: str) -> Stat:
        """See ``Container.stat``."""
        found: Stat = call_in(self._portal, self._container.stat, path)
        return found
