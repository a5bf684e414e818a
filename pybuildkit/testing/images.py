"""Images made on the spot, whole in memory: base images for tests without a network."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform as machine
import struct
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError

__all__ = [
    "Entry",
    "Layer",
    "OCIImage",
    "busybox",
    "busybox_layer",
    "directory",
    "file",
    "host_platform",
    "image",
    "index",
    "layer",
    "symlink",
]

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

Entry: TypeAlias = tuple[tarfile.TarInfo, bytes]
"""A file of a layer: its header, and its content."""

Compression: TypeAlias = Literal["gzip", "none"]

_DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUSYBOX_PLACES = ("/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the blob as it is stored, and the digest of the tar file inside."""

    blob: bytes
    diff_id: str
    media_type: str


@dataclass(frozen=True, slots=True)
class OCIImage:
    """An image, or an index of several.

    Attributes:
        digest: of its manifest, or index.
        media_type: of the same.
        platform: as ``linux/amd64``; empty for an index.
        blobs: digest to bytes of everything below, manifests included.
    """

    digest: str
    media_type: str
    platform: str
    blobs: Mapping[str, bytes] = field(repr=False)

    @property
    def document(self) -> dict[str, Any]:
        """The manifest, or index, parsed."""
        return self.json(self.digest)

    def json(self, digest: str) -> dict[str, Any]:
        """A blob, parsed."""
        parsed: dict[str, Any] = json.loads(self.blobs[digest])
        return parsed

    @property
    def images(self) -> list[OCIImage]:
        """The images of an index; the image itself otherwise."""
        if self.media_type != INDEX_TYPE:
            return [self]
        return [
            OCIImage(entry["digest"], entry["mediaType"], _platform_text(entry["platform"]), self.blobs)
            for entry in self.document["manifests"]
        ]

    def write_layout(self, folder: Path, tag: str = "latest") -> None:
        """Write an OCI layout, as ``oci-layout://`` and an ``oci`` exporter with ``tar=false`` know it."""
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        for digest, blob in self.blobs.items():
            (blobs / digest.removeprefix("sha256:")).write_bytes(blob)
        entry = _descriptor(self.media_type, self.blobs[self.digest])
        entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        top = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
        (folder / "index.json").write_bytes(_canonical(top))

    def docker_archive(self, name: str) -> bytes:
        """A tar file that a docker engine of any age loads, of a single image.

        Args:
            name: the name it gets, as ``buildkit:test``.
        """
        manifest = self.document
        config, layers = manifest["config"]["digest"], [entry["digest"] for entry in manifest["layers"]]
        names = {digest: digest.removeprefix("sha256:") + ".tar" for digest in layers}
        names[config] = config.removeprefix("sha256:") + ".json"
        listing = [
            {"Config": names[config], "RepoTags": [name], "Layers": [names[digest] for digest in layers]}
        ]
        entries = [file(name, self.blobs[digest]) for digest, name in names.items()]
        return _tar([*entries, file("manifest.json", _canonical(listing))])


# --- entries and layers -----------------------------------------------------------------------------------


def file(path: str, content: bytes, mode: int = 0o644) -> Entry:
    """A regular file; root's, of the year 1970."""
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(content), mode
    return info, content


def directory(path: str, mode: int = 0o755) -> Entry:
    """A directory."""
    info = tarfile.TarInfo(path)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def symlink(path: str, target: str) -> Entry:
    """A symbolic link."""
    info = tarfile.TarInfo(path)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return info, b""


def layer(entries: Iterable[Entry], compression: Compression = "gzip") -> Layer:
    """Files as a layer; the same files give the same bytes."""
    tar = _tar(entries)
    diff_id = _digest(tar)
    if compression == "none":
        return Layer(tar, diff_id, LAYER_TYPE)
    return Layer(gzip.compress(tar, compresslevel=6, mtime=0), diff_id, LAYER_TYPE + "+gzip")


def _tar(entries: Iterable[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


# --- images -----------------------------------------------------------------------------------------------


def host_platform() -> str:
    """This machine's platform, as ``linux/amd64``."""
    name = machine.machine()
    return f"linux/{_ARCHITECTURES.get(name, name)}"


def image(
    layers: Sequence[Layer],
    *,
    platform: str | None = None,
    env: Sequence[str] = (_DEFAULT_PATH,),
    entrypoint: Sequence[str] = (),
    cmd: Sequence[str] = (),
    **config: Any,
) -> OCIImage:
    """Layers as an image.

    Args:
        layers: from the lowest up.
        platform: what it says it is for, this machine by default.
        env: the environment, as ``NAME=value``.
        entrypoint: the command's first words.
        cmd: the command's last words.
        config: more of the image's configuration, as ``Labels={...}`` or ``WorkingDir="/src"``.
    """
    platform = platform or host_platform()
    filled: dict[str, Any] = {"Env": list(env), "Entrypoint": list(entrypoint), "Cmd": list(cmd), **config}
    document = {
        **_platform_json(platform),
        "config": {key: value for key, value in filled.items() if value},
        "created": "1970-01-01T00:00:00Z",
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "pybuildkit.testing"} for _ in layers],
        "rootfs": {"type": "layers", "diff_ids": [entry.diff_id for entry in layers]},
    }
    stored = _canonical(document)
    manifest = _canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, stored),
            "layers": [_descriptor(entry.media_type, entry.blob) for entry in layers],
        }
    )
    blobs = {_digest(blob): blob for blob in (*(entry.blob for entry in layers), stored, manifest)}
    return OCIImage(_digest(manifest), MANIFEST_TYPE, platform, blobs)


def index(images: Sequence[OCIImage]) -> OCIImage:
    """Images of several platforms under one name."""
    entries = []
    for each in images:
        entry = _descriptor(each.media_type, each.blobs[each.digest])
        entry["platform"] = _platform_json(each.platform)
        entries.append(entry)
    document = _canonical({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})
    blobs = {digest: blob for each in images for digest, blob in each.blobs.items()}
    return OCIImage(_digest(document), INDEX_TYPE, "", {**blobs, _digest(document): document})


def busybox(
    *, platform: str | None = None, binary: Path | None = None, compression: Compression = "gzip"
) -> OCIImage:
    """A static busybox with a link for each of its applets; stands in for ``busybox``, ``alpine`` and the like.

    Args:
        platform: what it says it is for. The binary inside is this machine's all the same.
        binary: the static busybox, found in the usual places by default.
        compression: of its one layer.

    Raises:
        ConfigError: there is no busybox, or it is not static.
    """
    return image([busybox_layer(binary, compression)], platform=platform, cmd=["sh"])


def busybox_layer(binary: Path | None = None, compression: Compression = "gzip") -> Layer:
    """The layer of ``busybox``.

    Raises:
        ConfigError: there is no busybox, or it is not static.
    """
    path = binary or next((Path(place) for place in _BUSYBOX_PLACES if Path(place).exists()), None)
    if path is None:
        raise ConfigError("there is no busybox to make an image of; install the package 'busybox-static'")
    content = path.read_bytes()
    if not _is_static(content):
        raise ConfigError(f"{path} is not statically linked; install the package 'busybox-static'")
    listing = subprocess.run([path, "--list"], check=True, capture_output=True, text=True, timeout=30)
    applets = sorted(set(listing.stdout.split()) - {"busybox"})
    folders = ("bin", "dev", "etc", "home", "proc", "sys", "usr", "usr/bin", "var")
    entries = [directory(path) for path in folders]
    entries += [directory("root", 0o700), directory("tmp", 0o1777)]
    entries += [
        file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n"),
        file("etc/group", b"root:x:0:\nnobody:x:65534:\n"),
        file("bin/busybox", content, 0o755),
        symlink("usr/bin/env", "../../bin/busybox"),  # what "#!/usr/bin/env" names
    ]
    entries += [symlink(f"bin/{applet}", "busybox") for applet in applets]
    return layer(entries, compression)


def _is_static(elf: bytes) -> bool:
    """Whether a 64 or 32 bit ELF file of this machine's byte order names no program interpreter."""
    if elf[:4] != b"\x7fELF":
        return False
    if elf[4] == 2:
        (offset,), (size, count) = struct.unpack_from("=Q", elf, 32), struct.unpack_from("=HH", elf, 54)
    else:
        (offset,), (size, count) = struct.unpack_from("=I", elf, 28), struct.unpack_from("=HH", elf, 42)
    program_interpreter = 3
    kinds = [struct.unpack_from("=I", elf, offset + number * size)[0] for number in range(count)]
    return program_interpreter not in kinds


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _platform_json(platform: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def _platform_text(entry: Mapping[str, str]) -> str:
    return "/".join(entry[key] for key in ("os", "architecture", "variant") if key in entry)
