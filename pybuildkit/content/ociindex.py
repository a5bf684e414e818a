"""``index.json``, which names the manifests of an OCI layout (V27 to V30).

Safe with other writers, Go's among them: the same lock file is taken, but waited for (X14), and the file is replaced
whole, so that a reader sees the old one or the new one. Reading leaves no trace in the directory (T21).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pybuildkit._files import write_atomically
from pybuildkit._values import dataclass
from pybuildkit.content.descriptor import IMAGE_NAME, REF_NAME, Descriptor
from pybuildkit.errors import ContentError

__all__ = ["ImageName", "OCIIndex", "Tag"]

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
_LIMIT = 64 << 20
_PAUSE = 0.02
_REMOVAL = 0.1  # seconds within which a writer that has let go of its lock has also removed the file


@dataclass(frozen=True, slots=True)
class Tag:
    """A manifest's tag in a layout: ``org.opencontainers.image.ref.name``."""

    value: str


@dataclass(frozen=True, slots=True)
class ImageName:
    """A manifest's full image name in a layout: ``io.containerd.image.name``, with the tag beside it."""

    value: str


class OCIIndex:
    """The index of a layout.

    Args:
        root: the layout's directory; it must be there before ``put``.
        patience: seconds to wait for another writer.
    """

    def __init__(self, root: str | os.PathLike[str], *, patience: float = 30) -> None:
        self.root = Path(root)
        self.path = self.root / "index.json"
        self._lock = self.root / "index.json.lock"
        self._patience = patience

    def manifests(self) -> list[Descriptor]:
        """What the index names, in order.

        Raises:
            ContentError: there is no index (``not-found``), it can not be read (``corrupt``), or a writer does not let
                go of it (``busy``).
        """
        return _manifests(self._read())

    def get(self, name: str) -> Descriptor | None:
        """The manifest of that full image name, else the one of that tag, else None (V30).

        Raises:
            ContentError: see ``manifests``.
        """
        manifests = self.manifests()
        for key in (IMAGE_NAME, REF_NAME):
            for found in manifests:
                if found.annotations.get(key) == name:
                    return found
        return None

    def single(self) -> Descriptor | None:
        """The only manifest, None when there are several or none.

        Raises:
            ContentError: see ``manifests``.
        """
        manifests = self.manifests()
        return manifests[0] if len(manifests) == 1 else None

    def put(self, descriptor: Descriptor, names: Iterable[Tag | ImageName] = ()) -> None:
        """Add a manifest, under each of the names; whoever had a name loses it (V29).

        Raises:
            ContentError: see ``manifests``; also when the index can not be written.
        """
        wanted = list(names)
        try:
            while not self._put(descriptor, wanted):
                pass
        except OSError as exc:
            raise ContentError(
                f"can not write {self.path}: {exc.strerror or exc}", reason="read-only"
            ) from exc

    def _put(self, descriptor: Descriptor, names: list[Tag | ImageName]) -> bool:
        """False when the lock was lost before the new index was in place: then nothing was changed."""
        with self._locked() as still_locked:
            layout = self.root / "oci-layout"
            if not layout.exists():
                write_atomically(layout, _LAYOUT, 0o644)
            index = self._read_now() if self.path.exists() else {}
            self._insert(index, descriptor, names)
            data = json.dumps(index, separators=(",", ":"), ensure_ascii=False).encode()
            if still_locked():
                write_atomically(self.path, data, 0o644)
                return True
        return False

    def _insert(self, index: dict[str, Any], descriptor: Descriptor, names: list[Tag | ImageName]) -> None:
        entry = descriptor.to_json()
        index["schemaVersion"] = index.get("schemaVersion") or 2
        index["mediaType"] = index.get("mediaType") or _MEDIA_TYPE
        manifests: list[Any] = index.get("manifests") or []
        every: list[Tag | ImageName | None] = [*names] or [None]
        for name in every:
            added = {**entry}
            if name is not None:
                image, ref = ("", name.value) if isinstance(name, Tag) else (name.value, _tag_of(name.value))
                annotations = {**descriptor.annotations, REF_NAME: ref}
                if image:
                    annotations[IMAGE_NAME] = image
                added["annotations"] = dict(sorted(annotations.items()))
                manifests = [found for found in manifests if _names(found) != (image, ref)]
            manifests.append(added)
        index["manifests"] = manifests

    def _read(self) -> dict[str, Any]:
        """Read, with a shared lock where a lock file is, and patience for a writer that writes in place (V28)."""
        deadline = time.monotonic() + min(self._patience, 2)
        self._wait_for_writer()
        while True:
            try:
                return self._read_now()
            except ContentError as exc:
                if exc.reason != "corrupt" or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE)

    def _read_now(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                data = file.read(_LIMIT + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise ContentError(f"{self.path} does not exist", reason="not-found") from None
        except OSError as exc:
            raise ContentError(f"can not read {self.path}: {exc.strerror}", reason="corrupt") from exc
        if not data:  # as a crashed writer leaves it; Go takes it for a new one
            return {}
        try:
            index = json.loads(data) if len(data) <= _LIMIT else None
        except ValueError as exc:
            raise ContentError(f"{self.path} is not JSON: {exc}", reason="corrupt") from exc
        if not isinstance(index, dict) or not isinstance(index.get("manifests", []), list | None):
            raise ContentError(f"{self.path} is not an image index", reason="corrupt")
        return index

    def _wait_for_writer(self) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                fd = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # none is there, mostly
                return
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return
            finally:
                os.close(fd)
            self._pause_before(deadline)

    @contextmanager
    def _locked(self) -> Generator[_StillLocked]:
        fd = self._take_lock()
        still_locked = _StillLocked(fd, self._lock)
        try:
            yield still_locked
        finally:
            # Removed while it is held: whoever comes now makes another one.
            if still_locked():
                with suppress(OSError):
                    self._lock.unlink()
                _wait_for_openers(fd)
            os.close(fd)

    def _take_lock(self) -> int:
        """Lock the lock file, if that is a new one or one that nobody is about to remove.

        Go lets go of its lock first and then removes the file, whosever it is by then. So a lock file that was there
        before is only trusted when it stays: then somebody left it who has died.
        """
        deadline = time.monotonic() + self._patience
        while True:
            fd, is_new = self._open_lock()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                still_locked = _StillLocked(fd, self._lock)
                if still_locked() and (is_new or _stays(still_locked)):
                    return fd
            except BlockingIOError:
                pass
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # not kept open while waiting: see _wait_for_openers
            self._pause_before(deadline)

    def _open_lock(self) -> tuple[int, bool]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        with suppress(FileExistsError):
            return os.open(self._lock, flags | os.O_EXCL, 0o600), True
        return os.open(self._lock, flags, 0o600), False

    def _pause_before(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise ContentError(
                f"another process holds {self._lock} for more than {self._patience:g} s; end it, or remove the file",
                reason="busy",
            )
        time.sleep(_PAUSE)


class _StillLocked:
    """Whether the lock file is still the one that is locked: Go removes it after it has let go of it."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    def __call__(self) -> bool:
        try:
            there = self._path.stat()
        except OSError:
            return False
        mine = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def _stays(still_locked: _StillLocked) -> bool:
    deadline = time.monotonic() + _REMOVAL
    while still_locked():
        if time.monotonic() > deadline:
            return True
        time.sleep(_PAUSE)
    return False


def _wait_for_openers(fd: int) -> None:
    """Hold a removed lock file until all who have opened it before have seen that it is locked.

    One who opened it in time and locks it only after this process has let go would believe that it holds the lock: Go
    does not look whether the file is still there. A lease is only given for a file that nobody else has open.
    """
    deadline = time.monotonic() + _REMOVAL
    lease = getattr(fcntl, "F_SETLEASE", None)
    while lease is not None and time.monotonic() < deadline:
        try:
            fcntl.fcntl(fd, lease, fcntl.F_WRLCK)
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:  # a file system without leases
            break
        else:
            return
    time.sleep(0.001)


def _manifests(index: dict[str, Any]) -> list[Descriptor]:
    return [Descriptor.parse(entry) for entry in index.get("manifests") or []]


def _names(entry: Any) -> tuple[str, str]:
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    if not isinstance(annotations, dict):
        return "", ""
    return annotations.get(IMAGE_NAME) or "", annotations.get(REF_NAME) or ""


def _tag_of(name: str) -> str:
    """The part of an image name that is no repository, as containerd cuts it (V29)."""
    host, _, path = name.partition("/")
    port = host.rpartition(":")[2] if ":" in host else "0"
    if "://" in name or not host or not (port.isascii() and port.isdigit()):
        return name
    cut = re.search("[:@]", path)
    if cut is None:
        return ""
    return path[cut.start() :].removeprefix(":")
