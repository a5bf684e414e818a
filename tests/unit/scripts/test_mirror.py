from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from pybuildkit.testing.images import file, image, layer
from scripts.mirror import serving

IMAGE = image([layer([file("hello", b"world")])])


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    with serving({"library/busybox": IMAGE}) as url:
        yield url


def get(url: str, method: str = "GET") -> tuple[str, str, bytes]:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
        headers = answer.headers
        return headers["Content-Type"], headers["Content-Length"], answer.read()


def test_it_says_that_it_is_a_registry(mirror: str) -> None:
    assert get(f"{mirror}/v2/")[2] == b"{}"


@pytest.mark.parametrize("reference", ["latest", "1.36", IMAGE.digest])
def test_a_manifest_has_any_tag_and_its_digest(mirror: str, reference: str) -> None:
    manifest = IMAGE.blobs[IMAGE.digest]
    # A daemon says which registry it means when it asks a mirror.
    url = f"{mirror}/v2/library/busybox/manifests/{reference}?ns=docker.io"
    assert get(url) == (IMAGE.media_type, str(len(manifest)), manifest)
    assert get(url, "HEAD") == (IMAGE.media_type, str(len(manifest)), b"")


def test_every_blob_is_given(mirror: str) -> None:
    for digest, blob in IMAGE.blobs.items():
        assert get(f"{mirror}/v2/library/busybox/blobs/{digest}")[2] == blob


@pytest.mark.parametrize(
    "path",
    [
        "library/alpine/manifests/latest",
        f"library/busybox/blobs/sha256:{'0' * 64}",
        f"library/busybox/manifests/sha256:{'0' * 64}",
        "library/busybox/tags/list",
        "",
        "manifests/latest",
    ],
)
def test_all_else_is_not_found(mirror: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(f"{mirror}/v2/{path}" if path else f"{mirror}/")
    with caught.value as error:
        assert error.code == 404
