"""Images: every attribute of the image exporters, seen in what comes out (V41 to V48)."""

from __future__ import annotations

import base64
import json
import random
import tarfile
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient
from pybuildkit.annotations import AnnotationKey
from pybuildkit.attestations import Provenance
from pybuildkit.errors import BuildError, ConfigError
from pybuildkit.outputs import OCI, Docker, Image, Local, Registry, Tar
from pybuildkit.platforms import Platform
from pybuildkit.testing.registry import Registry as RegistryServer
from pybuildkit.testing.service import BuildkitdOptions
from tests.conftest import find_tool
from tests.support.daemons import fresh_daemon
from tests.support.ocitar import Archive, from_registry

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

OCI_TYPES = "application/vnd.oci.image."
DOCKER_TYPES = "application/vnd.docker."
EPOCH = 1_500_000_000


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Two layers: the base's, and one of two megabytes that compress well."""
    folder = tmp_path / "context"
    folder.mkdir()
    words = random.Random(tmp_path.name).choices([uuid.uuid4().hex for _ in range(2000)], k=60_000)
    (folder / "text").write_text(" ".join(words))
    (folder / "Dockerfile").write_text(f"FROM busybox\nCOPY text /text\nLABEL made={tmp_path.name}\n")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /file\n")
    return folder


async def archive(
    buildkit: AsyncClient, context: Path, *, name: str = "image.tar", **options: Any
) -> Archive:
    """Build into an OCI archive; options of the output and of the build."""
    path = context.parent / name
    ours = {key: options.pop(key) for key in list(options) if key in OCI.__dataclass_fields__}
    await buildkit.build(context, outputs=OCI(path, **ours), **options)
    return await run_sync(Archive, path)


# --- layers and media types ---


@pytest.mark.parametrize(
    ("compression", "suffix", "magic"),
    [
        ("gzip", ".tar+gzip", b"\x1f\x8b"),
        ("estargz", ".tar+gzip", b"\x1f\x8b"),
        ("zstd", ".tar+zstd", b"\x28\xb5\x2f\xfd"),
        ("uncompressed", ".tar", b""),
    ],
)
async def test_compression(
    buildkit: AsyncClient, context: Path, compression: Any, suffix: str, magic: bytes
) -> None:
    """Of new layers; with ``force_compression`` of the base's too."""
    new = (await archive(buildkit, context, compression=compression)).manifest
    layers = new.document["layers"]
    assert layers[1]["mediaType"].endswith(f"layer.v1{suffix}")
    assert layers[0]["mediaType"].endswith("layer.v1.tar+gzip"), "the base's own"
    assert new.layer(1).startswith(magic)
    all_new = (await archive(buildkit, context, compression=compression, force_compression=True)).manifest
    assert {mt.rpartition("layer.v1")[2] for mt in all_new.media_types} == {suffix}
    toc = "containerd.io/snapshot/stargz/toc.digest"
    assert all(
        (toc in layer.get("annotations", {})) is (compression == "estargz")
        for layer in all_new.document["layers"]
    )


@pytest.mark.parametrize(("compression", "levels"), [("gzip", (1, 9)), ("zstd", (1, 19))])
async def test_compression_levels(
    buildkit: AsyncClient, context: Path, compression: Any, levels: tuple[int, int]
) -> None:
    """Of layers that are new: what the daemon has got in a kind of compression it does not make anew."""
    sizes = []
    for level in levels:
        (context / "text").write_text((context / "text").read_text() + str(level))
        made = await archive(buildkit, context, compression=compression, compression_level=level)
        sizes.append(made.manifest.document["layers"][1]["size"])
    assert sizes[1] < 0.99 * sizes[0]


@pytest.mark.parametrize(("oci", "prefix"), [(True, OCI_TYPES), (False, DOCKER_TYPES)])
async def test_media_types(buildkit: AsyncClient, context: Path, oci: bool, prefix: str) -> None:
    found = await archive(buildkit, context, oci_mediatypes=oci)
    document = found.manifest.document
    assert document["mediaType"].startswith(prefix)
    assert document["config"]["mediaType"].startswith(prefix)
    assert all(media_type.startswith(prefix) for media_type in found.manifest.media_types)


# --- annotations ---


async def test_annotations(buildkit: AsyncClient, small: Path) -> None:
    """V42: on manifests, the index, and on the descriptors of both."""
    arm = Platform.parse("linux/arm64")
    found = await archive(
        buildkit,
        small,
        platforms=["linux/amd64", "linux/arm64"],
        annotations={
            "org.example.all": "every manifest",
            AnnotationKey("org.example.arm", platform=arm): "one manifest",
            AnnotationKey("org.example.index", "index"): "the index",
            AnnotationKey("org.example.pointer", "manifest-descriptor"): "in the index",
            AnnotationKey("org.example.top", "index-descriptor"): "in index.json",
        },
    )
    by_platform = {m.descriptor["platform"]["architecture"]: m for m in found.manifests}
    for manifest in by_platform.values():
        assert manifest.document["annotations"]["org.example.all"] == "every manifest"
        assert manifest.descriptor["annotations"]["org.example.pointer"] == "in the index"
    assert by_platform["arm64"].document["annotations"]["org.example.arm"] == "one manifest"
    assert "org.example.arm" not in by_platform["amd64"].document["annotations"]
    assert found.root["annotations"] == {"org.example.index": "the index"}
    assert found.index["manifests"][0]["annotations"]["org.example.top"] == "in index.json"


# --- times ---


@pytest.mark.parametrize("epoch", [EPOCH, datetime.fromtimestamp(EPOCH, UTC)])
async def test_no_time_later_than(buildkit: AsyncClient, context: Path, epoch: int | datetime) -> None:
    """The configuration's times, and with ``rewrite_timestamp`` those of files."""
    plain = (await archive(buildkit, context, source_date_epoch=epoch)).manifest
    assert plain.config["created"] == "2017-07-14T02:40:00Z"
    assert max(member.mtime for member in plain.members(1)) > EPOCH
    rewritten = (await archive(buildkit, context, source_date_epoch=epoch, rewrite_timestamp=True)).manifest
    assert max(member.mtime for number in (0, 1) for member in rewritten.members(number)) <= EPOCH


async def test_the_same_image_twice(buildkit: AsyncClient, context: Path) -> None:
    """C29: the build argument goes to every output that says nothing else."""
    digests = set()
    for _ in range(2):
        result = await buildkit.build(
            context,
            no_cache=True,
            build_args={"SOURCE_DATE_EPOCH": str(EPOCH)},
            outputs=OCI(context.parent / "image.tar", rewrite_timestamp=True),
        )
        digests.add(result.digest)
        (context / "text").touch()
    assert len(digests) == 1


@pytest.mark.parametrize("kind", ["tar", "local"])
async def test_files_no_later_than(buildkit: AsyncClient, small: Path, tmp_path: Path, kind: str) -> None:
    """V44, V45."""
    if kind == "tar":
        await buildkit.build(small, outputs=Tar(tmp_path / "tar", source_date_epoch=EPOCH))
        with tarfile.open(tmp_path / "tar") as tar:
            assert max(member.mtime for member in tar) <= EPOCH
    else:
        await buildkit.build(small, outputs=Local(tmp_path / "out", source_date_epoch=EPOCH))
        assert (tmp_path / "out" / "file").stat().st_mtime == EPOCH


# --- platforms and attestations ---


@pytest.mark.parametrize("split", [None, True, False])
async def test_a_tar_of_several_platforms(
    buildkit: AsyncClient, small: Path, tmp_path: Path, split: bool | None
) -> None:
    """V45: with several platforms each has its directory, whatever is asked of this daemon."""
    (small / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /${TARGETARCH}\n")
    await buildkit.build(
        small, platforms=["linux/amd64", "linux/arm64"], outputs=Tar(tmp_path / "tar", platform_split=split)
    )
    with tarfile.open(tmp_path / "tar") as tar:
        files = {member.name for member in tar if member.isfile()}
    assert files == {"linux_amd64/amd64", "linux_arm64/arm64"}


async def test_one_platform_split(buildkit: AsyncClient, small: Path, tmp_path: Path) -> None:
    await buildkit.build(small, outputs=Local(tmp_path / "out", platform_split=True))
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name.startswith("linux_")
    assert (folder / "file").exists()


@pytest.mark.parametrize("prefix", ["", "about-"])
async def test_attestations_as_files(buildkit: AsyncClient, small: Path, tmp_path: Path, prefix: str) -> None:
    """V44: the prefix stands before the names of statements, and of nothing else."""
    outputs = [
        Local(tmp_path / "out", attestation_prefix=prefix),
        Tar(tmp_path / "tar", attestation_prefix=prefix or None),
    ]
    await buildkit.build(small, provenance=True, outputs=outputs)
    expected = {"file", f"{prefix}provenance.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    with tarfile.open(tmp_path / "tar") as tar:
        assert set(tar.getnames()) == expected
    statement = json.loads((tmp_path / "out" / f"{prefix}provenance.json").read_text())
    assert statement["subject"][0]["name"] == "file"


async def test_attestations_in_images(buildkit: AsyncClient, small: Path) -> None:
    """``inline_only`` statements are not for archives; ``attestation_inline`` takes them in."""
    inline = Provenance(inline_only=True)
    left_out = await archive(buildkit, small, provenance=inline)
    taken_in = await archive(buildkit, small, provenance=inline, attestation_inline=True)
    assert (len(left_out.attestations), len(taken_in.attestations)) == (0, 1)
    artifact = await archive(buildkit, small, provenance=True, oci_artifact=True)
    (found,) = artifact.attestations
    assert found["artifactType"] == "application/vnd.docker.attestation.manifest.v1+json"
    assert found["subject"]["digest"] == artifact.manifest.descriptor["digest"]
    (plain,) = (await archive(buildkit, small, provenance=True, oci_artifact=False)).attestations
    assert "artifactType" not in plain


async def test_docker_takes_no_index(buildkit: AsyncClient, small: Path, tmp_path: Path) -> None:
    """V43: and says what to do."""
    with pytest.raises(BuildError, match="or use the oci output"):
        await buildkit.build(
            small, platforms=["linux/amd64", "linux/arm64"], outputs=Docker(tmp_path / "image.tar")
        )
    assert not (tmp_path / "image.tar").exists()


# --- pushes and names ---


async def test_push_by_digest(buildkit: AsyncClient, small: Path, registry: RegistryServer) -> None:
    """Nothing is tagged."""
    output = Image(f"{registry.host}/outputs/by-digest", push=True, push_by_digest=True, insecure=True)
    result = await buildkit.build(small, outputs=output)
    assert result.digest is not None
    status, _ = await run_sync(from_registry, registry.host, "outputs/by-digest", result.digest)
    assert status == 200
    status, _ = await run_sync(from_registry, registry.host, "outputs/by-digest", "latest")
    assert status == 404


async def test_a_push_by_digest_with_a_tag(
    buildkit: AsyncClient, small: Path, registry: RegistryServer
) -> None:
    output = Image(f"{registry.host}/outputs/by-digest:1", push=True, push_by_digest=True, insecure=True)
    with pytest.raises(BuildError, match="can't push tagged ref"):
        await buildkit.build(small, outputs=output)


async def test_several_names(buildkit: AsyncClient, small: Path, registry: RegistryServer) -> None:
    names = [f"{registry.host}/outputs/names:{tag}" for tag in ("1", "2")]
    result = await buildkit.build(small, tags=names, outputs=Registry(insecure=True))
    assert result.image_names == tuple(names)
    for tag in ("1", "2"):
        assert (await run_sync(from_registry, registry.host, "outputs/names", tag))[0] == 200


async def test_names_made_of_the_digest(buildkit: AsyncClient, small: Path) -> None:
    dangling = await buildkit.build(small, outputs=Image(dangling_name_prefix="<none>"))
    assert dangling.image_names == (f"<none>@{dangling.digest}",)
    more = Image("example.test/a:1", dangling_name_prefix="<none>")
    assert (await buildkit.build(small, outputs=more)).image_names == (
        "example.test/a:1",
        f"<none>@{dangling.digest}",
    )
    unneeded = Image("example.test/a:1", dangling_name_prefix="<none>", dangling_name_empty_only=True)
    assert (await buildkit.build(small, outputs=unneeded)).image_names == ("example.test/a:1",)


async def test_what_only_containerd_has(buildkit: AsyncClient, small: Path) -> None:
    """This daemon has no image store: nothing is unpacked or kept, and that is no error."""
    result = await buildkit.build(
        small, outputs=Image("example.test/a:1", unpack=True, store=True, name_canonical=True)
    )
    assert result.digest is not None
    await buildkit.build(small, outputs=Image("example.test/a:1", store=False, prefer_nondist_layers=True))


async def test_a_registry_that_is_not_trusted(
    buildkitd_options: BuildkitdOptions, small: Path, tmp_path: Path
) -> None:
    """``registry.insecure``, and what to do without it. Of one on loopback the daemon would not mind by itself."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    server = await run_sync(
        lambda: RegistryServer(find_tool("registry"), certificate=certificate, key=key).start()
    )
    try:
        strict = {"registry": {server.host: {"http": False, "insecure": False}}}
        name = f"{server.host}/secure/app:1"
        async with fresh_daemon(buildkitd_options, config=strict) as (client, _):
            with pytest.raises(BuildError, match="x509: ") as caught:
                await client.build(small, outputs=Image(name, push=True))
            assert "authority" in caught.value.remedy
            await client.build(small, outputs=Image(name, push=True, insecure=True))
    finally:
        await run_sync(server.stop)


async def test_a_push_without_a_name(buildkit: AsyncClient, small: Path) -> None:
    with pytest.raises(ConfigError, match="push needs a name"):
        await buildkit.build(small, outputs=Image(push=True))


# --- what is told of it ---


async def test_all_at_once(
    buildkit: AsyncClient, context: Path, tmp_path: Path, registry: RegistryServer
) -> None:
    """V47, X15: the daemon has one answer for all outputs, in which the last one wins; all are made, though."""
    result = await buildkit.build(
        context,
        outputs=[
            Local(tmp_path / "out"),
            Tar(tmp_path / "files.tar"),
            # Forced: the outputs are made side by side, and one may find a layer that another has compressed.
            OCI(
                tmp_path / "zstd.tar",
                compression="zstd",
                force_compression=True,
                names=("example.test/zstd:1",),
            ),
            OCI(tmp_path / "layout", tar=False),
            Docker(tmp_path / "docker.tar", names=("example.test/docker:1",)),
            Registry(f"{registry.host}/outputs/all:1", insecure=True),
        ],
    )
    assert (tmp_path / "out" / "text").exists()
    assert (tmp_path / "files.tar").stat().st_size > 1_000_000
    assert (tmp_path / "layout" / "index.json").exists()
    status, document = await run_sync(from_registry, registry.host, "outputs/all", "1")
    assert status == 200
    assert result.digest is not None
    assert result.descriptor is not None
    assert result.descriptor.digest == result.digest
    assert document["config"]["digest"] == result.config_digest
    assert (
        json.loads(base64.b64decode(result.metadata["containerimage.descriptor"]))["digest"] == result.digest
    )
    zstd = await run_sync(Archive, tmp_path / "zstd.tar")
    assert zstd.manifest.document["layers"][1]["mediaType"].endswith("+zstd")


async def test_more_than_ten_outputs(buildkit: AsyncClient, small: Path, tmp_path: Path) -> None:
    """C25: numbers of two digits."""
    await buildkit.build(small, outputs=[Local(tmp_path / f"out{number}") for number in range(12)])
    assert all((tmp_path / f"out{number}" / "file").exists() for number in range(12))
