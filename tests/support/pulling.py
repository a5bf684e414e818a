"""Reading back from a registry what a build has pushed."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

_TYPES = ", ".join(
    f"application/vnd.{name}"
    for name in (
        "oci.image.index.v1+json",
        "oci.image.manifest.v1+json",
        "docker.distribution.manifest.list.v2+json",
        "docker.distribution.manifest.v2+json",
    )
)


def manifest(host: str, name: str, reference: str) -> dict[str, Any]:
    """A manifest or an index, by tag or digest."""
    return _get(host, f"{name}/manifests/{reference}")


def blob(host: str, name: str, digest: str) -> dict[str, Any]:
    """A blob that is JSON: a configuration, a statement."""
    return _get(host, f"{name}/blobs/{digest}")


def _get(host: str, path: str) -> dict[str, Any]:
    request = urllib.request.Request(f"http://{host}/v2/{path}", headers={"Accept": _TYPES})
    with urllib.request.urlopen(request, timeout=20) as response:
        found: dict[str, Any] = json.load(response)
    return found
