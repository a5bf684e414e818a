"""Where the bytes of a single-file exporter go: a path, a file object, a stream (S64).

The daemon ends its stream in the same way whether its archive is complete or broke off: only the end of the solve
says which. A path is therefore written beside, and moved in place by ``commit``.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from pybuildkit.errors import ConfigError, TransferError
from pybuildkit.targets import ByteWriter

__all__ = ["PathSink", "Sink", "WriterSink", "check_path", "is_quick"]


@runtime_checkable
class Sink(Protocol):
    """What takes the bytes, in a thread."""

    def write(self, data: bytes | memoryview) -> None:
        """Take all the bytes."""
        ...

    def end(self) -> None:
        """The stream has ended."""
        ...

    def commit(self) -> None:
        """The build has succeeded."""
        ...

    def abort(self) -> None:
        """The build has failed: nothing of it stays where it can."""
        ...


class PathSink:
    """A file at a path, which stays what it was until ``commit`` (X16).

    A new file gets the mode that the umask leaves; one that replaces another keeps its mode. What is not a regular
    file (a fifo, ``/dev/stdout``) is written to as it is.

    Raises:
        TransferError: the file can not be created.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._temporary: Path | None = None
        self._target = Path(os.path.realpath(self.path))
        try:
            self._fd = self._open()
        except OSError as exc:
            raise self._error(exc) from exc

    def write(self, data: bytes | memoryview) -> None:
        """See ``Sink``."""
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
        except OSError as exc:
            raise self._error(exc) from exc

    def end(self) -> None:
        """See ``Sink``."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as exc:  # a quota, or a server that is full, shows here
                raise self._error(exc) from exc

    def commit(self) -> None:
        """See ``Sink``."""
        self.end()
        if self._temporary is not None:
            try:
                self._temporary.replace(self._target)
            except OSError as exc:
                raise self._error(exc) from exc
            self._temporary = None

    def abort(self) -> None:
        """See ``Sink``."""
        with suppress(TransferError):
            self.end()
        if self._temporary is not None:
            with suppress(OSError):
                self._temporary.unlink()
            self._temporary = None

    def _open(self) -> int:
        try:
            old = os.stat(self.path)  # noqa: PTH116 - as the user wrote it: /dev/stdout is no real path
        except FileNotFoundError:
            old = None
        if old is not None and not stat.S_ISREG(old.st_mode):
            return os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        beside = self._target.with_name(f".pybuildkit-{secrets.token_hex(8)}")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        self._temporary = beside
        if old is not None:
            os.fchmod(fd, stat.S_IMODE(old.st_mode) & 0o777)
        return fd

    def _error(self, exc: OSError) -> TransferError:
        return TransferError(f"can not write {self.path!r}: {exc.strerror or exc}", path=self.path)


class WriterSink:
    """A file object, or anything with ``write``. It is flushed when the stream ends, and never closed."""

    def __init__(self, writer: ByteWriter) -> None:
        self._writer = writer
        self._raw = isinstance(writer, io.RawIOBase)

    def write(self, data: bytes | memoryview) -> None:
        """See ``Sink``."""
        data = bytes(data)
        if not self._raw:
            self._writer.write(data)
            return
        while data:  # an unbuffered file takes what it likes
            taken = self._writer.write(data)
            if not isinstance(taken, int) or taken <= 0:
                raise TransferError("the file object that receives the output takes no more bytes")
            data = data[taken:]

    def end(self) -> None:
        """See ``Sink``."""
        flush = getattr(self._writer, "flush", None)
        if callable(flush):
            flush()

    def commit(self) -> None:
        """See ``Sink``."""

    def abort(self) -> None:
        """See ``Sink``: what was written belongs to whoever made the file object."""


def is_quick(destination: object) -> bool:
    """Whether writing to it can not wait for anybody: memory, or a file on disk."""
    if isinstance(destination, io.BytesIO):
        return True
    if isinstance(destination, str | os.PathLike):
        try:
            mode = os.stat(destination).st_mode  # noqa: PTH116 - also of a device
        except OSError:
            return True  # a new file, or an error that opening it will tell
        return stat.S_ISREG(mode)
    if isinstance(destination, io.FileIO | io.BufferedWriter | io.BufferedRandom):
        try:
            return stat.S_ISREG(os.fstat(destination.fileno()).st_mode)
        except (OSError, ValueError):
            return False
    return False


def check_path(path: str | os.PathLike[str]) -> None:
    """Find out before a build whether a file can be written at a path.

    Raises:
        ConfigError: it is a directory, or its directory is missing or not writable.
    """
    text = os.fspath(path)
    target = Path(os.path.realpath(text))
    if target.is_dir() or text.endswith("/"):
        raise ConfigError(f"output {text!r} is a directory, name a file in it")
    try:
        if not stat.S_ISREG(os.stat(text).st_mode):  # noqa: PTH116
            return
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise ConfigError(f"output {text!r} can not be written: {exc.strerror}") from exc
    if not target.parent.is_dir():
        raise ConfigError(f"output {text!r}: the directory {str(target.parent)!r} does not exist, create it")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"output {text!r}: the directory {str(target.parent)!r} is not writable")
