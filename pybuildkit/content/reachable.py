"""Which blobs of a store its index reaches, and removing the others (V24)."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from pybuildkit.content.descriptor import Descriptor
from pybuildkit.content.ociindex import OCIIndex
from pybuildkit.content.store import LocalStore
from pybuildkit.errors import ContentError

__all__ = ["prune", "reachable", "using"]

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MAX_DEPTH = 16


def reachable(store: LocalStore, roots: Iterable[Descriptor]) -> set[str]:
    """The digests of the given manifests and of all that they name, directly or not.

    Raises:
        ContentError: a manifest is missing or makes no sense: then nothing is known to be of no use.
    """
    found: set[str] = set()
    waiting = [(descriptor, 0) for descriptor in roots]
    while waiting:
        descriptor, depth = waiting.pop()
        if descriptor.digest in found:
            continue
        found.add(descriptor.digest)
        if depth >= _MAX_DEPTH:
            raise ContentError(
                f"content {descriptor.digest}: indexes are nested too deeply", reason="corrupt"
            )
        waiting.extend((child, depth + 1) for child in _children(store, descriptor))
    return found


def prune(store: LocalStore, *, older_than_ns: int) -> int:
    """Remove the blobs that the store's index does not reach; how many bytes that were.

    Go does this while others may be at work there (X13). Here it is left to the last one: see ``using``. What came
    after ``older_than_ns`` stays in any case: another program, which knows no such lock, may have written it.

    Raises:
        ContentError: others are at work there (``busy``), or the index or a manifest can not be read.
    """
    with _locked(store, fcntl.LOCK_EX | fcntl.LOCK_NB):
        used = reachable(store, OCIIndex(store.root).manifests())
        freed = 0
        for blob in list(store.walk()):
            if blob.digest not in used and blob.created_ns < older_than_ns:
                store.delete(blob.digest)
                freed += blob.size
        return freed


@contextmanager
def using(store: LocalStore) -> Generator[None]:
    """Hold a store for reading or writing: nobody prunes it meanwhile. Any number may hold it."""
    with _locked(store, fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(store: LocalStore, kind: int) -> Generator[None]:
    # The directory itself is locked: a lock file would be one more file in a layout that others read.
    try:
        fd = os.open(store.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise ContentError(f"can not open {store.root}: {exc.strerror}", reason="not-found") from exc
    try:
        try:
            fcntl.flock(fd, kind)
        except BlockingIOError:
            raise ContentError(f"another build uses {store.root}", reason="busy") from None
        yield
    finally:
        os.close(fd)


def _children(store: LocalStore, descriptor: Descriptor) -> list[Descriptor]:
    if descriptor.media_type not in _MANIFESTS + _INDEXES:
        return []
    try:
        manifest: Any = json.loads(store.read(descriptor.digest))
    except ValueError as exc:
        raise ContentError(f"content {descriptor.digest} is not JSON: {exc}", reason="corrupt") from exc
    if not isinstance(manifest, dict):
        raise ContentError(f"content {descriptor.digest} is not a manifest", reason="corrupt")
    if descriptor.media_type in _INDEXES:
        entries = manifest.get("manifests") or []
    else:
        entries = [entry for entry in (manifest.get("config"),) if entry] + (manifest.get("layers") or [])
    return [Descriptor.parse(entry) for entry in entries]
