"""One blob on its way into a content store: written in ``ingest/``, checked, then moved to its place (S94, S95)."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pybuildkit._values import dataclass
from pybuildkit.errors import ContentError

__all__ = ["Ingest", "IngestStatus", "read_status"]

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """How far the writing of a blob has come.

    Attributes:
        ref: the transaction's reference.
        offset: bytes written.
        total: bytes promised, 0 when nothing was.
        started_ns: when it began, in nanoseconds since the epoch.
        updated_ns: when it was last written to.
    """

    ref: str
    offset: int
    total: int
    started_ns: int
    updated_ns: int


class Ingest:
    """A blob being written. Made by ``LocalStore.writer``; ends by ``commit`` or ``close``."""

    def __init__(
        self,
        path: Path,
        file: int,
        status: IngestStatus,
        algorithm: str,
        *,
        locate: Callable[[str], Path],
        release: Callable[[], None],
    ) -> None:
        self._path = path
        self._file = file
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self._locate = locate
        self._release = release
        self.ref = status.ref
        self.offset = status.offset
        self.total = status.total
        self.started_ns = status.started_ns
        self.updated_ns = status.updated_ns

    @classmethod
    def begin(
        cls,
        path: Path,
        ref: str,
        total: int,
        algorithm: str,
        *,
        locate: Callable[[str], Path],
        release: Callable[[], None],
    ) -> Ingest:
        """Open the transaction's directory, and take up what an earlier one left there.

        Raises:
            ContentError: another process writes under this reference; reason ``busy``.
        """
        file = _open_alone(path, ref)
        try:
            status = _resumable(path, ref, total)
            if status is None:
                status = _start(path, file, ref, total)
            ingest = cls(path, file, status, algorithm, locate=locate, release=release)
            ingest._hash_what_is_there()
        except BaseException:
            os.close(file)
            raise
        return ingest

    @property
    def digest(self) -> str:
        """The digest of what has been written so far."""
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def write(self, data: bytes | memoryview) -> None:
        """Append to the blob."""
        view = memoryview(data)
        while view:
            written = os.write(self._file, view)
            self._hash.update(view[:written])
            self.offset += written
            view = view[written:]
        self.updated_ns = time.time_ns()

    def truncate(self) -> None:
        """Throw away what has been written so far."""
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self._hash = hashlib.new(self._algorithm)
        self.offset = 0

    def commit(self, size: int = 0, expected: str = "") -> str:
        """Check the blob and move it to its place; the digest. The transaction is over, whatever happens.

        Args:
            size: how many bytes it must have, 0 for any number.
            expected: the digest that it must have, empty for any.

        Raises:
            ContentError: size or digest differ (``mismatch``; what was written stays, as in containerd), or the blob is
                there already (``exists``).
        """
        try:
            if size > 0 and size != self.offset:
                raise ContentError(
                    f"unexpected commit size {self.offset}, expected {size}", reason="mismatch"
                )
            algorithm = expected.partition(":")[0]
            if expected and algorithm != self._algorithm:
                self._locate(expected)  # refuses what is not a digest
                self._algorithm = algorithm
                self._hash = hashlib.new(algorithm)
                self._hash_what_is_there()
            if expected and expected != self.digest:
                message = f"unexpected commit digest {self.digest}, expected {expected}"
                raise ContentError(message, reason="mismatch")
            self._move(self._locate(self.digest))
        finally:
            self._end()
        return self.digest

    def close(self) -> None:
        """Stop writing, and leave what there is for a later writer. Nothing happens after ``commit``."""
        if self._file < 0:
            return
        if self._path.is_dir():
            _write_time(self._path / "updatedat", self.updated_ns)
        self._end()

    def _move(self, target: Path) -> None:
        mode = os.fstat(self._file).st_mode
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            # A link refuses to replace, where a rename would not.
            os.link(self._path / "data", target)
        except FileExistsError:
            shutil.rmtree(self._path, ignore_errors=True)
            raise ContentError(f"content {self.digest}: already exists", reason="exists") from None
        except OSError:  # a file system without hard links
            (self._path / "data").rename(target)
        os.utime(self._file)
        os.fchmod(self._file, mode & 0o444)
        shutil.rmtree(self._path, ignore_errors=True)

    def _end(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._release()

    def _hash_what_is_there(self) -> None:
        position = 0
        while position < self.offset:
            block = os.pread(self._file, min(_BLOCK, self.offset - position), position)
            if not block:
                raise ContentError(f"{self._path} was shortened by someone else", reason="corrupt")
            self._hash.update(block)
            position += len(block)
        os.lseek(self._file, self.offset, os.SEEK_SET)


def read_status(path: Path) -> IngestStatus:
    """What a transaction's directory says.

    Raises:
        ContentError: there is none (``not-found``), or its files make no sense (``corrupt``).
    """
    try:
        data = (path / "data").stat()
        ref = (path / "ref").read_bytes().decode("utf-8", "surrogateescape")
        started = _parse_time((path / "startedat").read_text("ascii", "replace"))
        updated = _parse_time((path / "updatedat").read_text("ascii", "replace"))
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ContentError(f"{exc.filename}: not found", reason="not-found") from exc
    total = 0
    with contextlib.suppress(OSError, ValueError):  # absent when no size was promised
        total = int((path / "total").read_text("ascii"))
    return IngestStatus(ref, data.st_size, total, started, max(updated, data.st_mtime_ns))


def _resumable(path: Path, ref: str, total: int) -> IngestStatus | None:
    try:
        status = read_status(path)
    except ContentError:
        return None
    if status.ref != ref or (total > 0 and status.total > 0 and total != status.total):
        return None
    return status


def _start(path: Path, file: int, ref: str, total: int) -> IngestStatus:
    os.ftruncate(file, 0)
    now = time.time_ns()
    (path / "ref").write_bytes(ref.encode("utf-8", "surrogateescape"))
    _write_time(path / "startedat", now)
    _write_time(path / "updatedat", now)
    if total > 0:
        (path / "total").write_text(str(total))
    else:
        (path / "total").unlink(missing_ok=True)
    return IngestStatus(ref, 0, total, now, now)


def _open_alone(path: Path, ref: str) -> int:
    """The data file, locked: containerd knows only writers of its own process, a cache directory has others."""
    for _ in range(10):
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            file = os.open(path / "data", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:  # another process committed, and removed the directory
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = (path / "data").lstat()
        except BlockingIOError:
            os.close(file)
            raise ContentError(f"ref {ref} is locked by another process", reason="busy") from None
        except FileNotFoundError:
            os.close(file)
            continue
        except BaseException:
            os.close(file)
            raise
        if found.st_ino == os.fstat(file).st_ino:
            if found.st_nlink == 1:
                return file
            # The one who committed it holds the lock until this directory is gone: it must have died.
            (path / "data").unlink()
        os.close(file)
    raise ContentError(f"ref {ref} is locked by other processes", reason="busy")


def _write_time(path: Path, nanoseconds: int) -> None:
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09d}".rstrip("0")
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(f"{text}.{digits}Z" if digits else f"{text}Z")
    temporary.rename(path)


def _parse_time(text: str) -> int:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ContentError(f"{text!r} is not a time in RFC 3339's form", reason="corrupt")
    whole, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(whole + zone)
    except ValueError as exc:
        raise ContentError(f"{text!r} is not a time: {exc}", reason="corrupt") from exc
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return seconds * 10**9 + int((fraction or "").ljust(9, "0") or 0)
