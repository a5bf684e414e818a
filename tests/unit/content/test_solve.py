"""What a solve does with content stores before and after."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.caches import CacheInactiveWarning
from pybuildkit.content.descriptor import Descriptor
from pybuildkit.content.ociindex import ImageName, OCIIndex, Tag
from pybuildkit.content.reachable import prune, reachable, using
from pybuildkit.content.solve import SolveContent, prepare_cache_imports, resolve_layout
from pybuildkit.content.store import LocalStore
from pybuildkit.control.solve import CacheEntry
from pybuildkit.errors import ConfigError, ContentError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def add(root: Path, data: bytes, media_type: str = LAYER) -> Descriptor:
    ingest = LocalStore(root, writable=True).writer("ref")
    ingest.write(data)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    try:
        ingest.commit(len(data), digest)
    except ContentError as exc:
        if exc.reason != "exists":
            raise
    return Descriptor(media_type, digest, len(data))


def add_json(root: Path, media_type: str, **fields: Any) -> Descriptor:
    return add(root, json.dumps({"mediaType": media_type, **fields}).encode(), media_type)


def add_image(root: Path, name: str) -> Descriptor:
    config = add(root, f"config {name}".encode(), "application/vnd.oci.image.config.v1+json")
    layers = [add(root, f"layer {name} {index}".encode()) for index in range(2)]
    return add_json(
        root, MANIFEST, config=config.to_json(), layers=[layer.to_json() for layer in layers], name=name
    )


def blobs(root: Path) -> set[str]:
    return {blob.digest for blob in LocalStore(root).walk()}


def finish(content: SolveContent, **response: object) -> None:
    content.finish({key.replace("_", "."): str(value) for key, value in response.items()})


def as_json(descriptor: Descriptor) -> str:
    return json.dumps(descriptor.to_json())


# --- imports ---


def test_an_import_gets_its_digest(tmp_path: Path) -> None:
    """V33: by the tag, latest when there is none; what was given is not changed (T21)."""
    old, new = add_image(tmp_path, "old"), add_image(tmp_path, "new")
    OCIIndex(tmp_path).put(old, [Tag("old")])
    OCIIndex(tmp_path).put(new, [Tag("latest")])
    given = [
        CacheEntry("registry", {"ref": "x"}),
        CacheEntry("local", {"src": str(tmp_path)}),
        CacheEntry("local", {"src": str(tmp_path), "tag": "old"}),
        CacheEntry("local", {"src": str(tmp_path), "digest": old.digest}),
    ]
    kept, stores = prepare_cache_imports(given)
    assert kept == (
        given[0],
        CacheEntry("local", {"src": str(tmp_path), "digest": new.digest}),
        CacheEntry("local", {"src": str(tmp_path), "tag": "old", "digest": old.digest}),
        given[3],
    )
    assert "digest" not in given[1].attrs
    assert list(stores) == [f"local:{tmp_path}"]  # S93
    assert not stores[f"local:{tmp_path}"].writable


def no_index(root: Path) -> dict[str, str]:
    root.mkdir()
    return {}


def no_tag(root: Path) -> dict[str, str]:
    root.mkdir()
    OCIIndex(root).put(add_image(root, "x"), [Tag("other")])
    return {}


def no_blob(root: Path) -> dict[str, str]:
    root.mkdir()
    OCIIndex(root).put(Descriptor(MANIFEST, "sha256:" + "0" * 64, 1), [Tag("latest")])
    return {}


@pytest.mark.parametrize(
    "make",
    [
        lambda root: {},
        no_index,
        no_tag,
        no_blob,
        lambda root: {"digest": "sha256:" + "1" * 64},
        lambda root: {"digest": "x"},
    ],
)
def test_a_cache_that_is_not_there_is_left_out(
    tmp_path: Path, make: Callable[[Path], dict[str, str]]
) -> None:
    """V33: the first build has none."""
    attrs = make(tmp_path / "cache")
    there = os.path.exists(tmp_path / "cache")
    with pytest.warns(CacheInactiveWarning, match="is left out"):
        assert prepare_cache_imports([CacheEntry("local", {"src": str(tmp_path / "cache"), **attrs})]) == (
            (),
            {},
        )
    assert (tmp_path / "cache").exists() == there, "T21"


def test_imports_that_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="src="):
        prepare_cache_imports([CacheEntry("local", {})])
    with pytest.raises(ConfigError, match="tag= is empty"):
        prepare_cache_imports([CacheEntry("local", {"src": str(tmp_path), "tag": ""})])


# --- exports ---


def test_an_export_is_named(tmp_path: Path) -> None:
    """V23, V32: by its tag, in a directory that is made."""
    directory = tmp_path / "a" / "cache"
    content = SolveContent(
        exports=[CacheEntry("local", {"dest": str(directory), "tag": "t"}), CacheEntry("inline", {})]
    )
    assert {name: store.writable for name, store in content.stores.items()} == {f"local:{directory}": True}
    manifest = add_image(directory, "x")
    finish(content, cache_manifest=as_json(manifest))
    found = OCIIndex(directory).get("t")
    assert found is not None
    assert found.digest == manifest.digest
    content.close()


def test_import_and_export_of_one_directory(tmp_path: Path) -> None:
    OCIIndex(tmp_path).put(add_image(tmp_path, "x"), [Tag("latest")])
    content = SolveContent(
        imports=[CacheEntry("local", {"src": str(tmp_path)})],
        exports=[CacheEntry("local", {"dest": str(tmp_path)})],
    )
    assert len(content.imports) == 1
    assert content.stores[f"local:{tmp_path}"].writable
    content.close()


def test_each_directory_gets_its_own_manifest(tmp_path: Path) -> None:
    """V40, X15: the daemon tells the last one only."""
    one, two = tmp_path / "one", tmp_path / "two"
    content = SolveContent(exports=[CacheEntry("local", {"dest": str(d)}) for d in (one, two)])
    manifests = [add_image(one, "one"), add_image(two, "two")]
    for directory, manifest in zip((one, two), manifests, strict=True):
        content.stores[f"local:{directory}"].latest = manifest.digest
    finish(content, cache_manifest=as_json(manifests[1]))
    for directory, manifest in zip((one, two), manifests, strict=True):
        found = OCIIndex(directory).get("latest")
        assert found is not None
        assert (found.digest, found.media_type) == (manifest.digest, MANIFEST)


def test_exports_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for attrs, text in (
        ({}, "dest="),
        ({"dest": str(tmp_path / "file")}, "is not a directory"),
        ({"dest": str(tmp_path), "reset": "maybe"}, "reset"),
    ):
        with pytest.raises(ConfigError, match=text):
            SolveContent(exports=[CacheEntry("local", attrs)])


def test_an_answer_that_makes_no_sense(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"digest": "x"}'):
        content = SolveContent(exports=[CacheEntry("local", {"dest": str(tmp_path)})])
        with pytest.raises(ContentError):
            finish(content, cache_manifest=text)
    content = SolveContent(exports=[CacheEntry("local", {"dest": str(tmp_path)})])
    with pytest.raises(ContentError, match="not found"):
        finish(content, cache_manifest=as_json(Descriptor(MANIFEST, "sha256:" + "0" * 64, 1)))


def test_no_answer_changes_nothing(tmp_path: Path) -> None:
    content = SolveContent(exports=[CacheEntry("local", {"dest": str(tmp_path)})], image=tmp_path)
    finish(content)
    assert os.listdir(tmp_path) == []


# --- reset ---


def test_reset_removes_what_the_index_does_not_reach(tmp_path: Path) -> None:
    """V24: also through indexes of manifests."""
    old = add_image(tmp_path, "old")
    OCIIndex(tmp_path).put(old, [Tag("latest")])
    platforms = [add_image(tmp_path, name) for name in ("amd64", "arm64")]
    kept = add_json(tmp_path, INDEX, manifests=[manifest.to_json() for manifest in platforms])
    OCIIndex(tmp_path).put(kept, [Tag("kept")])
    before = blobs(tmp_path)
    content = SolveContent(exports=[CacheEntry("local", {"dest": str(tmp_path), "reset": "true"})])
    new = add_image(tmp_path, "new")
    finish(content, cache_manifest=as_json(new))
    gone = reachable(LocalStore(tmp_path, writable=True), [])
    assert gone == set()
    used = reachable(LocalStore(tmp_path), OCIIndex(tmp_path).manifests())
    assert blobs(tmp_path) == used
    assert len(before - used) == 4, "the old manifest, its configuration and layers"
    assert len(used) == 4 * 3 + 1


def test_reset_waits_for_nobody_and_hurts_nobody(tmp_path: Path) -> None:
    """X13: while another build writes or reads, nothing is removed."""
    OCIIndex(tmp_path).put(add_image(tmp_path, "old"), [Tag("latest")])
    writer = SolveContent(exports=[CacheEntry("local", {"dest": str(tmp_path), "tag": "other"})])
    reader = SolveContent(imports=[CacheEntry("local", {"src": str(tmp_path)})])
    new = add_image(tmp_path, "new")
    for other in (writer, reader):
        other.hold()
        content = SolveContent(exports=[CacheEntry("local", {"dest": str(tmp_path), "reset": "1"})])
        content.hold()
        finish(content, cache_manifest=as_json(new))
        assert len(blobs(tmp_path)) == 8
        other.close()
    again = SolveContent(exports=[CacheEntry("local", {"dest": str(tmp_path), "reset": "1"})])
    finish(again, cache_manifest=as_json(new))
    assert len(blobs(tmp_path)) == 4


def test_reset_keeps_what_is_new(tmp_path: Path) -> None:
    """Another program, which knows no lock of ours, may be about to name it."""
    OCIIndex(tmp_path).put(add_image(tmp_path, "kept"), [Tag("latest")])
    started = time.time_ns()
    time.sleep(0.02)
    add(tmp_path, b"fresh")
    store = LocalStore(tmp_path, writable=True)
    assert prune(store, older_than_ns=started) == 0
    assert prune(store, older_than_ns=time.time_ns() + 10**9) == 5
    with using(store), pytest.raises(ContentError, match="another build uses"):
        prune(store, older_than_ns=0)


def test_reset_removes_nothing_when_a_manifest_is_missing(tmp_path: Path) -> None:
    OCIIndex(tmp_path).put(Descriptor(MANIFEST, "sha256:" + "0" * 64, 1), [Tag("other")])
    add(tmp_path, b"unused")
    content = SolveContent(exports=[CacheEntry("local", {"dest": str(tmp_path), "reset": "true"})])
    new = add_image(tmp_path, "new")
    with pytest.warns(CacheInactiveWarning, match="was not cleaned"):
        finish(content, cache_manifest=as_json(new))
    assert len(blobs(tmp_path)) == 5


def test_indexes_in_a_circle_of_lies(tmp_path: Path) -> None:
    """No digest can name itself, but nesting can be deep."""
    inner = add_image(tmp_path, "x")
    for _ in range(20):
        inner = add_json(tmp_path, INDEX, manifests=[inner.to_json()])
    with pytest.raises(ContentError, match="nested too deeply"):
        reachable(LocalStore(tmp_path), [inner])
    for text in (b"{", b"[]"):
        with pytest.raises(ContentError):
            reachable(LocalStore(tmp_path), [add(tmp_path, text, INDEX)])


# --- images and layouts ---


@pytest.mark.parametrize("names", [None, "docker.io/library/a:1,docker.io/library/b:2"])
def test_an_exported_image_is_named(tmp_path: Path, names: str | None) -> None:
    """V23, V43: by its names, else as latest."""
    content = SolveContent(image=tmp_path / "layout")
    assert list(content.stores) == ["export"]  # S67, S93
    manifest = add_image(tmp_path / "layout", "x")
    response = {"containerimage.descriptor": base64.b64encode(as_json(manifest).encode()).decode()}
    if names:
        response["image.name"] = names
    content.finish(response)
    index = OCIIndex(tmp_path / "layout")
    for name in ("docker.io/library/a:1", "1", "docker.io/library/b:2", "2") if names else ("latest",):
        found = index.get(name)
        assert found is not None
        assert found.digest == manifest.digest
    with pytest.raises(ContentError, match="base64"):
        SolveContent(image=tmp_path / "layout").finish({"containerimage.descriptor": "!"})


def test_layouts_are_only_read(tmp_path: Path) -> None:
    """V5, S93."""
    content = SolveContent(layouts={"base": tmp_path})
    assert list(content.stores) == ["oci:base"]
    assert not content.stores["oci:base"].writable
    with pytest.raises(ConfigError, match="is not a directory"):
        SolveContent(layouts={"base": tmp_path / "none"})


def test_references_into_a_layout(tmp_path: Path) -> None:
    one = add_image(tmp_path, "one")
    OCIIndex(tmp_path).put(one, [ImageName("docker.io/library/a:1")])
    assert resolve_layout(tmp_path).digest == one.digest
    two = add_image(tmp_path, "two")
    OCIIndex(tmp_path).put(two, [Tag("two")])
    for reference, expected in (
        ("1", one),
        ("docker.io/library/a:1", one),
        ("two", two),
        (two.digest, two),
    ):
        assert resolve_layout(tmp_path, reference).digest == expected.digest
    for reference in ("", "three"):
        with pytest.raises(ConfigError):
            resolve_layout(tmp_path, reference)
    with pytest.raises(ContentError):
        resolve_layout(tmp_path / "none", "x")


def test_nothing_is_asked_of_a_build_without_stores() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = SolveContent(imports=[CacheEntry("registry", {"ref": "x"})])
    assert content.stores == {}
    content.close()
    content.finish({"cache.manifest": "{}"})
