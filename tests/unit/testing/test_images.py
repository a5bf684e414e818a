"""Images made on the spot."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from pybuildkit.errors import ConfigError
from pybuildkit.testing import images
from pybuildkit.testing.images import (
    OCIImage,
    busybox,
    directory,
    file,
    host_platform,
    image,
    index,
    layer,
    symlink,
)


def check(image: OCIImage) -> None:
    """Every digest and size is right, and nothing is missing."""
    for digest, blob in image.blobs.items():
        assert digest == "sha256:" + hashlib.sha256(blob).hexdigest()
    for each in image.images:
        manifest = each.document
        config = each.json(manifest["config"]["digest"])
        for entry, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
            blob = each.blobs[entry["digest"]]
            assert entry["size"] == len(blob)
            tar = gzip.decompress(blob) if entry["mediaType"].endswith("+gzip") else blob
            assert diff_id == "sha256:" + hashlib.sha256(tar).hexdigest()


def names(image: OCIImage) -> dict[str, tarfile.TarInfo]:
    blob = image.blobs[image.document["layers"][0]["digest"]]
    with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
        return {info.name: info for info in tar}


@pytest.fixture(scope="module")
def box() -> OCIImage:
    return busybox()


def test_busybox(box: OCIImage) -> None:
    check(box)
    entries = names(box)
    assert entries["bin/sh"].linkname == "busybox"
    assert entries["usr/bin/env"].linkname == "../../bin/busybox"
    assert entries["tmp"].mode == 0o1777
    assert {"etc/passwd", "etc/group", "root", "proc", "bin/wget"} <= set(entries)
    assert {(info.mtime, info.uid, info.gid, info.uname) for info in entries.values()} == {(0, 0, 0, "")}
    config = box.json(box.document["config"]["digest"])
    assert config["config"]["Cmd"] == ["sh"]
    assert config["config"]["Env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    assert box.platform == host_platform() == f"{config['os']}/{config['architecture']}"


def test_the_same_bytes_each_time(box: OCIImage) -> None:
    assert busybox() == box
    plain = busybox(compression="none")
    check(plain)
    assert plain.document["layers"][0]["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    configs = [each.json(each.document["config"]["digest"]) for each in (plain, box)]
    assert configs[0] == configs[1]


def test_index(box: OCIImage) -> None:
    both = index([box, busybox(platform="linux/arm/v7")])
    check(both)
    assert [each.platform for each in both.images] == [host_platform(), "linux/arm/v7"]
    assert both.document["manifests"][1]["platform"] == {
        "os": "linux",
        "architecture": "arm",
        "variant": "v7",
    }
    assert both.platform == ""


def test_own_layers() -> None:
    made = image(
        [layer([directory("a"), file("a/b", b"x", 0o4755)]), layer([symlink("c", "a/b")], "none")],
        platform="windows/amd64",
        env=["A=b"],
        entrypoint=["/a/b"],
        Labels={"k": "v"},
    )
    check(made)
    config = made.json(made.document["config"]["digest"])
    assert config["config"] == {"Env": ["A=b"], "Entrypoint": ["/a/b"], "Labels": {"k": "v"}}
    assert (config["os"], len(config["history"])) == ("windows", 2)
    assert names(made)["a/b"].mode == 0o4755


def test_layout(box: OCIImage, tmp_path: Path) -> None:
    box.write_layout(tmp_path, "v1")
    assert json.loads((tmp_path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((tmp_path / "index.json").read_text())["manifests"]
    assert entry["digest"] == box.digest
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "v1"}
    for digest, blob in box.blobs.items():
        assert (tmp_path / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes() == blob


def test_docker_archive(box: OCIImage) -> None:
    with tarfile.open(fileobj=io.BytesIO(box.docker_archive("box:1"))) as tar:
        (listing,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert listing["RepoTags"] == ["box:1"]
        for name in (listing["Config"], *listing["Layers"]):
            assert tar.getmember(name).size > 0


def test_a_busybox_that_is_missing_or_dynamic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="not statically linked; install the package 'busybox-static'"):
        busybox(binary=Path(shutil.which("true") or "/bin/true"))
    (tmp_path / "script").write_text("#!/bin/sh\n")
    with pytest.raises(ConfigError, match="not statically linked"):
        busybox(binary=tmp_path / "script")
    monkeypatch.setattr(images, "_BUSYBOX_PLACES", ("/nowhere/busybox",))
    with pytest.raises(ConfigError, match="there is no busybox"):
        busybox()
