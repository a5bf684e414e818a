"""An image in an OCI archive, taken apart; and one that a registry has."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

__all__ = ["Archive", "Manifest", "from_registry"]

_ACCEPT = ", ".join(
    f"application/vnd.{kind}"
    for kind in (
        "oci.image.index.v1+json",
        "oci.image.manifest.v1+json",
        "docker.distribution.manifest.v2+json",
        "docker.distribution.manifest.list.v2+json",
    )
)


@dataclass(frozen=True)
class Manifest:
    """An image manifest in an archive.

    Attributes:
        document: the manifest.
        config: the image's configuration.
        descriptor: what names the manifest.
    """

    archive: Archive
    document: dict[str, Any]
    config: dict[str, Any]
    descriptor: dict[str, Any]

    @property
    def media_types(self) -> set[str]:
        """Of its layers."""
        return {layer["mediaType"] for layer in self.document["layers"]}

    def layer(self, number: int) -> bytes:
        """A layer as it is stored."""
        return self.archive.blob(self.document["layers"][number]["digest"])

    def members(self, number: int) -> list[tarfile.TarInfo]:
        """The entries of a layer."""
        data = self.layer(number)
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return tar.getmembers()


class Archive:
    """An OCI layout in a tar archive."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as tar:
            self._files = {
                member.name: file.read() for member in tar if (file := tar.extractfile(member)) is not None
            }
        self.index: dict[str, Any] = json.loads(self._files["index.json"])

    def blob(self, digest: str) -> bytes:
        return self._files["blobs/" + digest.replace(":", "/")]

    def json(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.blob(digest))
        return found

    @property
    def root(self) -> dict[str, Any]:
        """The only manifest or index."""
        (entry,) = self.index["manifests"]
        return self.json(entry["digest"])

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Descriptors of all manifests: of the images and of what is attested of them."""
        listed: list[dict[str, Any]] = self.index["manifests"]
        while listed and "manifests" in (inner := self.json(listed[0]["digest"])):
            listed = inner["manifests"]
        return listed

    @property
    def manifests(self) -> list[Manifest]:
        """The image manifests; attestations are not among them."""
        return [self._manifest(entry) for entry in self.entries if not _is_attestation(entry)]

    @property
    def manifest(self) -> Manifest:
        """The only one."""
        (only,) = self.manifests
        return only

    @property
    def attestations(self) -> list[dict[str, Any]]:
        """The manifests of attestations."""
        return [self.json(entry["digest"]) for entry in self.entries if _is_attestation(entry)]

    @property
    def statements(self) -> list[dict[str, Any]]:
        """The in-toto statements in them."""
        return [self.json(layer["digest"]) for found in self.attestations for layer in found["layers"]]

    def _manifest(self, entry: dict[str, Any]) -> Manifest:
        document = self.json(entry["digest"])
        return Manifest(self, document, self.json(document["config"]["digest"]), entry)


def _is_attestation(entry: dict[str, Any]) -> bool:
    return "attestation-manifest" in entry.get("annotations", {}).values()


def from_registry(host: str, name: str, reference: str) -> tuple[int, dict[str, Any]]:
    """A manifest in a registry: the status and the document."""
    connection = HTTPConnection(host, timeout=20)
    try:
        connection.request("GET", f"/v2/{name}/manifests/{reference}", headers={"Accept": _ACCEPT})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
