"""``moby.filesync.v1.FileSend``: takes what exporters send: trees into directories, archives into files (S59 to S67).

One method carries two protocols (T10): the packets of a tree transfer for directories, plain pieces of bytes for
files. The exporter's number in the request says which.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from anyio.to_thread import run_sync

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError, TransferError
from pybuildkit.fsutil.receive import Receiver, open_destination
from pybuildkit.fsutil.staging import Staging
from pybuildkit.session.calls import (
    AsyncCall,
    AsyncHandler,
    Call,
    CallMetadata,
    Chooser,
    Code,
    Machine,
    StatusError,
)
from pybuildkit.session.filesinks import PathSink, Sink, WriterSink, check_path, is_quick
from pybuildkit.session.filestreams import Delivery, FileMachine, TreeMachine, serve_sender, serve_sink
from pybuildkit.targets import ByteSender, ByteWriter, Checked, DirectoryTarget, FileTarget, Stdout

__all__ = ["DIFF_COPY", "FileSend", "Received"]

DIFF_COPY = "/moby.filesync.v1.FileSend/DiffCopy"

_EXPORTER = "buildkit-attachable-exporter-id"
_METADATA = "exporter-md-"
_MULTI_PLATFORM = "buildkit-exporter-multi-platform"


@dataclass(frozen=True, slots=True)
class Received:
    """What an exporter has sent.

    Attributes:
        bytes: content, in bytes.
        entries: files, directories and links, for a directory.
        metadata: what the exporter says of its result, as ``containerimage.digest``; only with files (S60).
        skipped: the destination did not want it.
        left_out: paths of device nodes that were not made.
    """

    bytes: int
    entries: int
    metadata: Mapping[str, str]
    skipped: bool
    left_out: tuple[str, ...]


class FileSend:
    """The receiving end of a build's exporters.

    The daemon's streams do not tell success from failure (an archive that breaks off ends like one that is
    complete), so results are put in place after the solve: call ``commit`` when it went well, else ``abort``. Both,
    like ``prepare``, block on the disk: call them in a thread.

    Args:
        targets: by the exporter's index in the solve request (S66).
    """

    def __init__(self, targets: Mapping[int, DirectoryTarget | FileTarget]) -> None:
        self._targets = dict(targets)
        self._deliveries: dict[int, Delivery] = {}
        self._staged: dict[int, Staging] = {}

    @property
    def machines(self) -> Mapping[str, Chooser]:
        """See ``Service.machines``."""
        return {DIFF_COPY: self._choose}

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {}

    @property
    def results(self) -> Mapping[int, Received]:
        """What has come, by exporter."""
        return {
            index: Received(
                found.bytes,
                found.entries,
                MappingProxyType(dict(found.metadata)),
                found.skipped,
                tuple(found.left_out),
            )
            for index, found in self._deliveries.items()
        }

    def add(self, index: int, target: DirectoryTarget | FileTarget) -> None:
        """Receive one more output, which was decided on while the build ran (S90).

        Raises:
            ConfigError: its destination can not be written to, or is a terminal.
        """
        _check_target(target)
        self._targets[index] = target

    def prepare(self) -> None:
        """Find out before the build what would fail at its end.

        Raises:
            ConfigError: a destination can not be written to, or is a terminal.
            ConnectError: a docker engine does not answer.
        """
        for target in self._targets.values():
            _check_target(target)

    def commit(self) -> None:
        """The build went well: put everything in its place. A second call does nothing.

        Raises:
            TransferError: something has not come whole, or can not be put in its place.
        """
        for index, delivery in self._deliveries.items():
            if delivery.ended < delivery.streams:
                self.abort()
                raise TransferError(f"the output of exporter {index} did not come whole")
        for delivery in self._deliveries.values():
            if delivery.sink is not None:
                delivery.sink.commit()
        for staging in self._staged.values():
            staging.commit()

    def abort(self) -> None:
        """The build went badly: leave as little of it as can be. Does nothing after ``commit``."""
        for delivery in self._deliveries.values():
            if delivery.sink is not None:
                delivery.sink.abort()
        for staging in self._staged.values():
            staging.abort()

    # --- one call ---

    def _choose(self, call: Call) -> Machine | AsyncHandler:
        index = _exporter(call.metadata)
        target = self._targets.get(index)
        if target is None:
            raise StatusError(Code.UNKNOWN, f"exporter {index} not found")
        if isinstance(target, DirectoryTarget):
            return self._tree(call, index, target)
        delivery = self._one_file(index, call.metadata)
        destination = (
            target.destination.open() if isinstance(target.destination, Stdout) else target.destination
        )
        if not is_quick(destination):
            return partial(self._slow_file, target, delivery)
        if isinstance(destination, ByteWriter):
            return FileMachine(call, WriterSink(destination), delivery)
        assert isinstance(destination, str | os.PathLike)
        return FileMachine(call, PathSink(destination), delivery)

    def _tree(self, call: Call, index: int, target: DirectoryTarget) -> Machine:
        if target.delete and "1" not in call.metadata.get(_MULTI_PLATFORM, ()):
            raise StatusError(
                Code.UNKNOWN,
                "local exporter mode=delete requires a BuildKit daemon with multi-platform local export support",
            )
        if target.atomic:
            staging = self._staged.get(index)
            if staging is None:
                staging = self._staged[index] = Staging(target.path, mirror=target.delete)
            tree = staging.open()
        else:
            tree = open_destination(target.path, mirror=target.delete)
        delivery = self._deliveries.setdefault(index, Delivery())
        return TreeMachine(call, Receiver(tree, devices=target.devices), delivery)

    def _one_file(self, index: int, metadata: CallMetadata) -> Delivery:
        if index in self._deliveries:
            raise StatusError(Code.FAILED_PRECONDITION, f"exporter {index} has sent its file already")
        delivery = self._deliveries[index] = Delivery()
        for key, values in metadata.items():
            if key.startswith(_METADATA):
                delivery.metadata[key.removeprefix(_METADATA)] = ",".join(values)
        return delivery

    async def _slow_file(self, target: FileTarget, delivery: Delivery, call: AsyncCall) -> None:
        """A destination that may wait for somebody, or that a function gives us."""
        destination: object = target.destination
        if not isinstance(destination, str | os.PathLike | ByteWriter | ByteSender | Stdout):
            assert callable(destination)
            destination = await _call(destination, MappingProxyType(dict(delivery.metadata)))
            if destination is None:
                delivery.skipped = True
                raise StatusError(Code.ALREADY_EXISTS, "target already exists")
        if isinstance(destination, Stdout):
            destination = destination.open()
        if isinstance(destination, str | os.PathLike):
            await serve_sink(call, await run_sync(PathSink, destination), delivery)
        elif isinstance(destination, Sink):
            await serve_sink(call, destination, delivery)
        elif isinstance(destination, ByteWriter):
            await serve_sink(call, WriterSink(destination), delivery)
        elif isinstance(destination, ByteSender):
            await serve_sender(call, destination, delivery)
        else:
            raise ConfigError(
                f"the function that gives an output's destination gave {type(destination).__name__}: give a path, a"
                " binary file object, a byte stream, or None to skip it"
            )


async def _call(function: Callable[..., object], metadata: Mapping[str, str]) -> object:
    """Ask a function for the destination: in a thread, as it may look at files, unless it is a coroutine function."""
    if inspect.iscoroutinefunction(function):
        return await function(metadata)
    given = await run_sync(function, metadata)
    return await given if inspect.isawaitable(given) else given


def _exporter(metadata: CallMetadata) -> int:
    """The exporter's index; what can not be read is the first, as in Go (S60)."""
    values = metadata.get(_EXPORTER, ())
    try:
        return int(values[0]) if values else 0
    except ValueError:
        return 0


def _check_target(target: DirectoryTarget | FileTarget) -> None:
    if isinstance(target, DirectoryTarget):
        _check_directory(target)
        return
    destination: object = target.destination
    if isinstance(destination, str | os.PathLike):
        check_path(destination)
    elif isinstance(destination, Checked):
        destination.check()
    elif isinstance(destination, Stdout) and destination.open().isatty():
        raise ConfigError("the output is binary and standard output a terminal: name a file, or redirect it")


def _check_directory(target: DirectoryTarget) -> None:
    path = target.path
    if path.is_dir():
        if not os.access(path, os.W_OK | os.X_OK):
            raise ConfigError(f"output directory {str(path)!r} is not writable, name another")
        return
    if os.path.lexists(path):
        raise ConfigError(f"output directory {str(path)!r} is not a directory, name another")
