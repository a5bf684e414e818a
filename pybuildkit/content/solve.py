"""What a solve needs of content stores on this machine, before and after (V5, V23, V24, V32, V33).

Caches in directories, images exported into OCI layouts, and layouts that a build reads. All of it blocks on the disk.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from pybuildkit.caches import CacheInactiveWarning
from pybuildkit.content.descriptor import Descriptor
from pybuildkit.content.ociindex import ImageName, OCIIndex, Tag
from pybuildkit.content.reachable import prune, using
from pybuildkit.content.store import LocalStore, check_directory
from pybuildkit.control.solve import CacheEntry
from pybuildkit.csvattrs import parse_bool
from pybuildkit.errors import ConfigError, ContentError

__all__ = ["SolveContent", "finish_cache_exports", "prepare_cache_imports", "resolve_layout"]


class SolveContent:
    """The content stores of one build.

    Args:
        imports: caches to import, of any type.
        exports: caches to export to, of any type.
        layouts: OCI layouts that sources may name, by store id.
        image: the directory into which an image is exported, of the one such output that a build may have (S67).

    Attributes:
        imports: the caches to ask the daemon for: local ones with their digest, without those that are not there.
        exports: the caches to export to, as they were given.
        stores: what the session serves, by the daemon's ids (S93); empty when nothing of it is needed.

    Raises:
        ConfigError: a directory can not be used.
    """

    def __init__(
        self,
        *,
        imports: Iterable[CacheEntry] = (),
        exports: Iterable[CacheEntry] = (),
        layouts: Mapping[str, str | os.PathLike[str]] | None = None,
        image: str | os.PathLike[str] | None = None,
    ) -> None:
        self.imports, self.stores = prepare_cache_imports(imports)
        self._started_ns = time.time_ns()
        self.exports = tuple(exports)
        self._exports = [entry for entry in self.exports if entry.type == "local"]
        self._held = ExitStack()
        self._image: LocalStore | None = None
        for entry in self._exports:
            self._open_export(entry)
        for name, path in (layouts or {}).items():
            self._open_layout(name, Path(path))
        if image is not None:
            self.receive_image(image)

    def hold(self) -> None:
        """Let nobody clean the caches while they are in use: until ``finish`` or ``close``.

        Raises:
            ContentError: one is not there any more.
        """
        try:
            for key, store in self.stores.items():
                if key.startswith("local:"):
                    self._held.enter_context(using(store))
        except BaseException:
            self._held.close()
            raise

    def receive_image(self, directory: str | os.PathLike[str]) -> None:
        """Have the daemon write an image into a directory, as was decided on while the build ran (S90).

        Raises:
            ConfigError: the directory can not be used.
        """
        check_directory(Path(directory), what="output directory")
        self._image = self.stores["export"] = LocalStore(directory, writable=True)

    def finish(self, response: Mapping[str, str]) -> None:
        """After a solve that went well: name what has come in the indexes, and clean caches with ``reset``.

        Raises:
            ContentError: an index can not be written, or the daemon's answer makes no sense.
        """
        try:
            finish_cache_exports(self._exports, self.stores, response)
            if self._image is not None:
                _name_image(self._image, response)
        finally:
            self._held.close()
        for entry in self._exports:
            if _wants_reset(entry):
                self._reset(self.stores[f"local:{entry.attrs['dest']}"])

    def close(self) -> None:
        """After a solve that went badly; does nothing after ``finish``."""
        self._held.close()

    def _open_export(self, entry: CacheEntry) -> None:
        directory = entry.attrs.get("dest", "")
        if not directory:
            raise ConfigError("cache local: an export needs a directory, dest=")
        _wants_reset(entry)
        check_directory(Path(directory), what="cache directory")
        key = f"local:{directory}"
        store = self.stores.get(key)
        if store is None or not store.writable:
            self.stores[key] = LocalStore(directory, writable=True)

    def _open_layout(self, name: str, path: Path) -> None:
        if not path.is_dir():
            raise ConfigError(f"OCI layout {name!r}: {str(path)!r} is not a directory")
        self.stores[f"oci:{name}"] = LocalStore(path)

    def _reset(self, store: LocalStore) -> None:
        try:
            prune(store, older_than_ns=self._started_ns)
        except (ContentError, OSError) as exc:
            if isinstance(exc, ContentError) and exc.reason == "busy":
                return  # left to whoever is done with it last
            warnings.warn(
                f"the cache in {store.root} was not cleaned: {exc}", CacheInactiveWarning, stacklevel=3
            )


def prepare_cache_imports(
    entries: Iterable[CacheEntry],
) -> tuple[tuple[CacheEntry, ...], dict[str, LocalStore]]:
    """Find the manifests of local caches (V33); entries of other types pass.

    One that is not there is left out with a ``CacheInactiveWarning``: the first build has no cache yet. Nothing
    is created (T21), and the given attributes are not changed.

    Returns:
        The entries to send, and the stores to serve, by the daemon's ids.

    Raises:
        ConfigError: an entry has no directory, or an empty tag.
    """
    kept: list[CacheEntry] = []
    stores: dict[str, LocalStore] = {}
    for entry in entries:
        if entry.type != "local":
            kept.append(entry)
            continue
        directory = entry.attrs.get("src", "")
        if not directory:
            raise ConfigError("cache local: an import needs a directory, src=")
        store = LocalStore(directory)
        try:
            digest = _import_digest(entry.attrs, directory)
            store.info(digest)
        except (ContentError, OSError) as exc:
            message = f"the local cache in {directory} is left out: {exc}"
            warnings.warn(message, CacheInactiveWarning, stacklevel=3)
            continue
        kept.append(CacheEntry("local", {**entry.attrs, "digest": digest}))
        stores[f"local:{directory}"] = store
    return tuple(kept), stores


def finish_cache_exports(
    exports: Iterable[CacheEntry], stores: Mapping[str, LocalStore], response: Mapping[str, str]
) -> None:
    """Name the exported cache in the index of each local cache (V23).

    The daemon tells one manifest only, that of its last cache export (V40, X15). A directory that does not have it got
    another; the last manifest that came for it is named instead.

    Raises:
        ContentError: an index can not be written, or the daemon's answer makes no sense.
    """
    text = response.get("cache.manifest", "")
    directories = [entry for entry in exports if entry.type == "local"]
    if not text or not directories:
        return
    told = Descriptor.parse(text)
    for entry in directories:
        store = stores[f"local:{entry.attrs['dest']}"]
        OCIIndex(store.root).put(_own_manifest(store, told), [Tag(entry.attrs.get("tag", "latest"))])


def resolve_layout(path: str | os.PathLike[str], reference: str = "") -> Descriptor:
    """The manifest in an OCI layout that a reference names: a digest, an image name, a tag, or nothing for the only one.

    Raises:
        ConfigError: the layout has no such manifest, or several where none was named.
        ContentError: there is no layout, or it can not be read.
    """
    index = OCIIndex(path)
    if not reference:
        only = index.single()
        if only is None:
            raise ConfigError(
                f"the OCI layout {os.fspath(path)!r} has not exactly one manifest: name a tag or digest"
            )
        return only
    for found in index.manifests():
        if found.digest == reference:
            return found
    named = index.get(reference)
    if named is None:
        raise ConfigError(f"the OCI layout {os.fspath(path)!r} has no manifest {reference!r}")
    return named


def _wants_reset(entry: CacheEntry) -> bool:
    return parse_bool(entry.attrs.get("reset", "false"), what="cache local: reset")


def _import_digest(attrs: Mapping[str, str], directory: str) -> str:
    if digest := attrs.get("digest", ""):
        return digest
    tag = attrs.get("tag", "latest")
    if not tag:
        raise ConfigError("cache local: tag= is empty; give a tag or a digest")
    found = OCIIndex(directory).get(tag)
    if found is None:
        raise ContentError(f"its index names no {tag!r}", reason="not-found")
    return found.digest


def _own_manifest(store: LocalStore, told: Descriptor) -> Descriptor:
    try:
        store.info(told.digest)
    except ContentError:
        if not store.latest:
            raise
        data = store.read(store.latest)
        media_type = json.loads(data).get("mediaType", told.media_type)
        return Descriptor.parse({"mediaType": media_type, "digest": store.latest, "size": len(data)})
    return told


def _name_image(store: LocalStore, response: Mapping[str, str]) -> None:
    text = response.get("containerimage.descriptor", "")
    if not text:
        return
    try:
        descriptor = Descriptor.parse(base64.b64decode(text, validate=True))
    except binascii.Error as exc:
        raise ContentError(
            f"the daemon sent an image descriptor that is not base64: {exc}", reason="corrupt"
        ) from exc
    names = response.get("image.name")
    index = OCIIndex(store.root)
    index.put(descriptor, [ImageName(name) for name in names.split(",")] if names else [Tag("latest")])
