"""A content store on disk, laid out as containerd's local store is (S95): a cache or OCI layout directory.

``blobs/<algorithm>/<hex>`` are the blobs; ``ingest/<sha256 of the reference>/`` are those being written. Paths are made
from checked digests and from hashes, so no name that a daemon sends is ever a path.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pybuildkit._values import dataclass
from pybuildkit.content.ingest import Ingest, IngestStatus, read_status
from pybuildkit.digests import is_digest, parse_digest
from pybuildkit.errors import ConfigError, ContentError

__all__ = ["BlobInfo", "LocalStore"]


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What a store knows of a blob.

    Attributes:
        digest: as ``sha256:…``.
        size: in bytes.
        created_ns: nanoseconds since the epoch: the file's modification time.
        updated_ns: nanoseconds since the epoch: the file's access time.
    """

    digest: str
    size: int
    created_ns: int
    updated_ns: int


class LocalStore:
    """The blobs of one directory. Safe to use from several threads; one writer a reference at a time.

    Args:
        root: the directory. It is not created here (T21): the first write makes what is missing in it.
        writable: whether blobs may be written and deleted. Imports and OCI layout inputs are not: a daemon has no
            business changing them.

    Attributes:
        latest: digest of the blob that came last, or that was there when it was to come: an exporter's manifest.
    """

    def __init__(self, root: str | os.PathLike[str], *, writable: bool = False) -> None:
        self.root = Path(root)
        self.writable = writable
        self.latest = ""
        self._busy: set[str] = set()
        self._busy_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r}, writable={self.writable})"

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be.

        Raises:
            ContentError: the text is not a digest; reason ``invalid``.
        """
        try:
            algorithm, value = parse_digest(digest)
        except ConfigError as exc:
            raise ContentError(str(exc), reason="invalid") from exc
        return self.root / "blobs" / algorithm / value

    def info(self, digest: str) -> BlobInfo:
        """Size and times of a blob.

        Raises:
            ContentError: there is no such blob, or the text is not a digest.
        """
        path = self.path(digest)
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            found = None
        if found is None or not stat.S_ISREG(found.st_mode):
            raise ContentError(f"content {digest}: not found", reason="not-found")
        return BlobInfo(digest, found.st_size, found.st_mtime_ns, found.st_atime_ns)

    def open(self, digest: str) -> tuple[int, int]:
        """Open a blob for reading: its file descriptor, which the caller closes, and its size.

        Raises:
            ContentError: there is no such blob, or the text is not a digest.
        """
        path = self.path(digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise ContentError(f"content {digest}: not found", reason="not-found") from None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise ContentError(f"content {digest}: not found", reason="not-found")
        return descriptor, found.st_size

    def read(self, digest: str, *, limit: int = 64 << 20) -> bytes:
        """A small blob whole, checked against its digest.

        Raises:
            ContentError: there is no such blob, it is larger than ``limit`` bytes, or it is not what its name says.
        """
        descriptor, size = self.open(digest)
        with os.fdopen(descriptor, "rb") as file:
            if size > limit:
                raise ContentError(
                    f"content {digest}: {size} bytes, at most {limit} are read", reason="corrupt"
                )
            data = file.read(limit + 1)
        algorithm, value = parse_digest(digest)
        if hashlib.new(algorithm, data).hexdigest() != value:
            raise ContentError(
                f"content {digest} in {self.root} is damaged: its digest differs", reason="corrupt"
            )
        return data

    def walk(self) -> Iterator[BlobInfo]:
        """All blobs, in the order of their names. Files that are not named by a digest are passed over."""
        for algorithm in ("sha256", "sha384", "sha512"):
            try:
                names = sorted(path.name for path in (self.root / "blobs" / algorithm).iterdir())
            except (FileNotFoundError, NotADirectoryError):
                continue
            for name in names:
                digest = f"{algorithm}:{name}"
                if is_digest(digest):
                    with suppress(ContentError):  # deleted meanwhile, or not a file
                        yield self.info(digest)

    def delete(self, digest: str) -> None:
        """Delete a blob. One that is not there is deleted already, as in containerd.

        Raises:
            ContentError: the store is read-only, or the text is not a digest.
        """
        path = self.path(digest)
        self._must_be_writable()
        with suppress(FileNotFoundError):
            path.unlink()

    def writer(self, ref: str, *, size: int = 0, expected: str = "") -> Ingest:
        """Begin to write a blob, or go on with one that was begun under the same reference.

        Args:
            ref: names the transaction; only one writer may use it at a time.
            size: the blob's size in bytes, 0 when it is not known.
            expected: the blob's digest, empty when it is not known.

        Raises:
            ContentError: the store is read-only, the blob is there, or the reference is in use.
        """
        if not ref:
            raise ContentError("ref must not be empty", reason="invalid")
        if expected and self._exists(expected):
            self.latest = expected
            raise ContentError(f"content {expected}: already exists", reason="exists")
        self._must_be_writable()
        with self._busy_lock:
            if ref in self._busy:
                raise ContentError(f"ref {ref} is locked by another writer", reason="busy")
            self._busy.add(ref)
        release = self._releaser(ref)
        algorithm = expected.partition(":")[0] or "sha256"
        try:
            return Ingest.begin(
                self._ingest_path(ref), ref, size, algorithm, locate=self.path, release=release
            )
        except BaseException:
            release()
            raise

    def status(self, ref: str) -> IngestStatus:
        """How far the writing under a reference has come.

        Raises:
            ContentError: nothing is being written under it.
        """
        return read_status(self._ingest_path(ref))

    def statuses(self) -> Sequence[IngestStatus]:
        """All that was begun and not committed."""
        try:
            directories = sorted((self.root / "ingest").iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        found = []
        for directory in directories:
            with suppress(ContentError):  # committed meanwhile
                found.append(read_status(directory))
        return found

    def abort(self, ref: str) -> None:
        """Throw away what was written under a reference; nothing happens when there is nothing.

        Raises:
            ContentError: the store is read-only.
        """
        self._must_be_writable()
        shutil.rmtree(self._ingest_path(ref), ignore_errors=True)

    def _exists(self, digest: str) -> bool:
        try:
            self.info(digest)
        except ContentError as exc:
            if exc.reason != "not-found":
                raise
            return False
        return True

    def _must_be_writable(self) -> None:
        if not self.writable:
            raise ContentError(f"content store {self.root} is only read from", reason="read-only")

    def _ingest_path(self, ref: str) -> Path:
        return self.root / "ingest" / hashlib.sha256(ref.encode("utf-8", "surrogateescape")).hexdigest()

    def _releaser(self, ref: str) -> Callable[[], None]:
        def release() -> None:
            with self._busy_lock:
                self._busy.discard(ref)

        return release


def check_directory(path: Path, *, what: str) -> None:
    """Make sure that a directory is there and may be written into; its parents are made.

    Raises:
        ConfigError: it can not be made, is no directory, or is not writable.
    """
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    except FileExistsError as exc:
        raise ConfigError(f"{what} {str(path)!r} is not a directory, name another") from exc
    except OSError as exc:
        raise ConfigError(
            f"{what} {str(path)!r} can not be created: {os.strerror(exc.errno or errno.EIO)}"
        ) from exc
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"{what} {str(path)!r} is not writable, change its permissions or name another")
