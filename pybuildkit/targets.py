"""Where an exporter's bytes go on this side: a directory, a stream, or a content store.

This is what the session's file receiving services are given for each output (S59 to S67).
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, cast, runtime_checkable

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError

__all__ = [
    "STDOUT",
    "ByteSender",
    "ByteWriter",
    "Checked",
    "DirectoryTarget",
    "FileDestination",
    "FileTarget",
    "Stdout",
    "StoreTarget",
    "Target",
    "check_file_destination",
]


@runtime_checkable
class ByteWriter(Protocol):
    """A binary file object, or anything that takes bytes; its ``write`` is called in a thread and may block."""

    def write(self, data: bytes, /) -> object:
        """Take all the bytes."""
        ...


@runtime_checkable
class ByteSender(Protocol):
    """An async stream, as anyio's ``ByteSendStream``; ``send`` is awaited on the event loop."""

    async def send(self, item: bytes, /) -> None:
        """Take all the bytes."""
        ...


class Stdout:
    """This process' standard output, looked up when the bytes come."""

    def open(self) -> io.BufferedIOBase | io.RawIOBase:
        """The binary stream behind ``sys.stdout``: a raw one when Python runs unbuffered."""
        stream = getattr(sys.stdout, "buffer", None)
        if not isinstance(stream, io.BufferedIOBase | io.RawIOBase):
            raise ConfigError("sys.stdout has no binary stream behind it, write to a file")
        return stream

    def __repr__(self) -> str:
        return "STDOUT"


STDOUT: Final = Stdout()

_Sink: TypeAlias = str | os.PathLike[str] | ByteWriter | ByteSender | Stdout
FileFactory: TypeAlias = Callable[[Mapping[str, str]], "_Sink | Awaitable[_Sink | None] | None"]
"""Called with the exporter's metadata (``containerimage.digest`` …) when the bytes are about to come (S60).

None means that they are not wanted, which the daemon takes for success (S65)."""

FileDestination: TypeAlias = _Sink | FileFactory


@runtime_checkable
class Checked(Protocol):
    """A destination that can tell before the build whether it will be able to take the bytes."""

    def check(self) -> None:
        """Look; called in a thread.

        Raises:
            BuildKitError: it will not.
        """
        ...


@dataclass(frozen=True, slots=True)
class DirectoryTarget:
    """A directory that receives a tree.

    Attributes:
        path: the directory, made when missing.
        delete: make it equal to the result: what the result does not have is removed (S63).
        atomic: receive beside it, and move all in place when the build has succeeded: a build that fails
            leaves the directory as it was (X17).
        devices: what to do about device nodes: ``refuse`` (an error), ``skip`` or ``create`` (only root can).
    """

    path: Path
    delete: bool = False
    atomic: bool = False
    devices: Literal["refuse", "skip", "create"] = "refuse"


@dataclass(frozen=True, slots=True)
class FileTarget:
    """One stream of bytes, mostly a tar archive.

    A path is written beside and moved in place when complete. A file object or stream is neither closed nor
    flushed to disk: it belongs to whoever made it.
    """

    destination: FileDestination


@dataclass(frozen=True, slots=True)
class StoreTarget:
    """A directory with an OCI layout that receives blobs; its index gets the new image added."""

    path: Path


Target: TypeAlias = DirectoryTarget | FileTarget | StoreTarget


def check_file_destination(value: object, *, what: str) -> FileDestination:
    """The value, known to be one that bytes can be written to.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, io.TextIOBase):
        raise ConfigError(f"{what}: dest is a text stream, give a binary one (open(..., 'wb') or .buffer)")
    if isinstance(value, str | os.PathLike):
        if not os.fspath(value):
            raise ConfigError(f"{what}: dest is an empty path")
        return value
    if isinstance(value, Stdout | ByteWriter | ByteSender):
        return value
    if callable(value):
        return cast("FileFactory", value)
    raise ConfigError(
        f"{what}: dest can not be {type(value).__name__}: give a path, a binary file object, a byte stream or a "
        "function that returns one"
    )
