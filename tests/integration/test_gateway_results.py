"""What a gateway build gives to the exporters: images with configurations, indexes, attestations."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.errors import BuildError, ConfigError
from pybuildkit.gateway import Attestation, GatewayResult, Subject
from pybuildkit.gateway.imageconfig import image_config
from pybuildkit.outputs import Image, Local
from tests.support import pulling

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

BUSYBOX = llb.image("busybox")
SPDX = "https://spdx.dev/Document"


def new_name(buildkitd: Any) -> tuple[str, str]:
    """A name in the registry that nobody has used, whole and without its host."""
    path = f"made/{uuid.uuid4().hex[:12]}"
    return f"{buildkitd.registry.host}/{path}", path


async def pulled(function: Any, buildkitd: Any, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = await to_thread.run_sync(function, buildkitd.registry.host, *args)
    return found


async def test_an_image_with_its_configuration(buildkit: AsyncClient, buildkitd: Any) -> None:
    name, path = new_name(buildkitd)
    async with buildkit.gateway(outputs=Image(name, push=True, insecure=True)) as gateway:
        files = await gateway.solve(BUSYBOX.run("echo app > /app"))
        config = image_config("linux/amd64", entrypoint=["/app"], env={"A": "1"}, labels={"l": "v"})
        result = await gateway.finish(GatewayResult.image(files.ref, config))
    found = await pulled(pulling.manifest, buildkitd, path, "latest")
    assert result.digest is not None
    image = await pulled(pulling.blob, buildkitd, path, found["config"]["digest"])
    assert image["config"]["Entrypoint"] == ["/app"]
    assert "A=1" in image["config"]["Env"]
    assert len(image["rootfs"]["diff_ids"]) == len(found["layers"]) == 2
    assert result.config_digest == found["config"]["digest"]


async def test_several_platforms_become_an_index(buildkit: AsyncClient, buildkitd: Any) -> None:
    """V48: two results with two configurations, one index."""
    name, path = new_name(buildkitd)
    async with buildkit.gateway(outputs=Image(name, push=True, insecure=True)) as gateway:
        parts = {}
        for platform in ("linux/amd64", "linux/arm64"):
            base = llb.image("busybox", platform=platform)
            solved = await gateway.solve(llb.scratch().copy(base, "/bin/busybox", f"/{platform[6:]}"))
            parts[platform] = (solved.ref, image_config(platform, cmd=[f"/{platform[6:]}"]))
        result = await gateway.finish(GatewayResult.index(parts))
    index = await pulled(pulling.manifest, buildkitd, path, "latest")
    assert result.descriptor is not None
    assert result.descriptor.media_type == index["mediaType"]
    platforms = [f"{m['platform']['os']}/{m['platform']['architecture']}" for m in index["manifests"]]
    assert platforms == ["linux/amd64", "linux/arm64"]
    for entry in index["manifests"]:
        one = await pulled(pulling.manifest, buildkitd, path, entry["digest"])
        config = await pulled(pulling.blob, buildkitd, path, one["config"]["digest"])
        assert config["architecture"] == entry["platform"]["architecture"]
        assert config["config"]["Cmd"] == [f"/{config['architecture']}"]


async def test_files_of_several_platforms(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V44: a directory for each platform."""
    async with buildkit.gateway(outputs=Local(tmp_path / "out")) as gateway:
        parts = {}
        for platform in ("linux/amd64", "linux/arm/v7"):
            solved = await gateway.solve(llb.scratch().mkfile("/f", data=platform.encode()))
            parts[platform] = (solved.ref, image_config(platform))
        await gateway.finish(GatewayResult.index(parts))
    assert (tmp_path / "out" / "linux_amd64" / "f").read_text() == "linux/amd64"
    assert (tmp_path / "out" / "linux_arm_v7" / "f").read_text() == "linux/arm/v7"


async def test_attestations_are_read_back_from_the_registry(buildkit: AsyncClient, buildkitd: Any) -> None:
    """V64: a predicate and a bundle beside an image; both are statements about it."""
    name, path = new_name(buildkitd)
    predicate = {"name": "made by hand"}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://example.test/scan",
        "subject": [{"name": "elsewhere", "digest": {"sha256": "ab" * 32}}],
        "predicate": {"score": 7},
    }
    async with buildkit.gateway(outputs=Image(name, push=True, insecure=True)) as gateway:
        files = await gateway.solve(BUSYBOX.run("echo app > /app"))
        papers = await gateway.solve(
            llb.scratch()
            .mkfile("/sbom.json", data=json.dumps(predicate).encode())
            .mkdir("/scans")
            .mkfile("/scans/one.json", data=json.dumps(statement).encode())
        )
        made = GatewayResult.image(files.ref, image_config("linux/amd64")).with_attestations(
            [
                Attestation(
                    papers.ref,
                    "/sbom.json",
                    SPDX,
                    subjects=(Subject(kind="self"), Subject("part", ("sha256:" + "cd" * 32,))),
                    metadata={"reason": b"sbom"},
                ),
                Attestation(papers.ref, "/scans", kind="bundle"),
            ]
        )
        result = await gateway.finish(made)
    index = await pulled(pulling.manifest, buildkitd, path, "latest")
    image, attached = index["manifests"]
    assert attached["annotations"]["vnd.docker.reference.digest"] == image["digest"]
    assert attached["platform"]["os"] == "unknown"
    manifest = await pulled(pulling.manifest, buildkitd, path, attached["digest"])
    found = {
        layer["annotations"]["in-toto.io/predicate-type"]: await pulled(
            pulling.blob, buildkitd, path, layer["digest"]
        )
        for layer in manifest["layers"]
    }
    sbom = found[SPDX]
    assert sbom["predicate"] == predicate
    digests = [subject["digest"]["sha256"] for subject in sbom["subject"]]
    assert image["digest"].removeprefix("sha256:") in digests
    assert "cd" * 32 in digests
    scan = found["https://example.test/scan"]
    assert scan["predicate"] == {"score": 7}
    assert scan["subject"] == statement["subject"]

    async with buildkit.gateway() as gateway:
        seen = await gateway.resolve_image(name, attestations=[SPDX])
    assert result.digest == seen.digest
    assert seen.attestations is not None
    assert seen.attestations.attestation_manifest == attached["digest"]
    assert attached["digest"] in seen.attestations.blobs


async def test_attestations_of_several_platforms(buildkit: AsyncClient, buildkitd: Any) -> None:
    name, path = new_name(buildkitd)
    async with buildkit.gateway(outputs=Image(name, push=True, insecure=True)) as gateway:
        one = (await gateway.solve(llb.scratch().mkfile("/p", data=b"{}"))).ref
        made = GatewayResult.index(
            {platform: (one, image_config(platform)) for platform in ("linux/amd64", "linux/arm64")}
        )
        made = made.with_attestations([Attestation(one, "/p", SPDX)], "linux/arm64")
        await gateway.finish(made)
    index = await pulled(pulling.manifest, buildkitd, path, "latest")
    assert len(index["manifests"]) == 3
    arm = index["manifests"][1]
    assert arm["platform"]["architecture"] == "arm64"
    assert index["manifests"][2]["annotations"]["vnd.docker.reference.digest"] == arm["digest"]


async def test_attestations_that_a_frontend_made_come_with_its_result(
    buildkit: AsyncClient, buildkitd: Any, tmp_path: Path
) -> None:
    """A Dockerfile with ``attest:sbom`` by a scanner that a step of ours is; the result keeps them."""
    name, path = new_name(buildkitd)
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo x > /x\n")
    scanner = f"{buildkitd.registry.host}/scanner/{uuid.uuid4().hex[:8]}"
    script = (
        "mkdir -p $BUILDKIT_SCAN_DESTINATION && echo "
        '\'{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{}}\''
        " > $BUILDKIT_SCAN_DESTINATION/core.spdx.json"
    )
    async with buildkit.gateway(outputs=Image(scanner, push=True, insecure=True)) as gateway:
        files = await gateway.solve(BUSYBOX)
        config = image_config("linux/amd64", entrypoint=["sh", "-c", script])
        await gateway.finish(GatewayResult.image(files.ref, config))
    locals_ = {"context": tmp_path, "dockerfile": tmp_path}
    outputs = Image(name, push=True, insecure=True)
    async with buildkit.gateway(locals=locals_, outputs=outputs) as gateway:
        made = await gateway.solve(
            frontend="dockerfile.v0", attrs={"attest:sbom": f"generator={scanner}", "platform": "linux/amd64"}
        )
        (listed,) = made.attestations.values()
        assert listed[0].kind == "bundle"
        assert listed[0].ref is not None
        assert [entry.path for entry in await listed[0].ref.read_dir("/")]
        await gateway.finish(made)
    index = await pulled(pulling.manifest, buildkitd, path, "latest")
    manifest = await pulled(pulling.manifest, buildkitd, path, index["manifests"][1]["digest"])
    assert [layer["annotations"]["in-toto.io/predicate-type"] for layer in manifest["layers"]] == [SPDX]


async def test_results_that_can_not_work(buildkit: AsyncClient, tmp_path: Path) -> None:
    """Nothing is sent: the build can still be finished well."""
    async with buildkit.gateway() as other:
        foreign = (await other.solve(BUSYBOX)).ref
    async with buildkit.gateway(outputs=Local(tmp_path / "out")) as gateway:
        files = (await gateway.solve(llb.scratch().mkfile("/f", data=b"x"))).ref
        with pytest.raises(ConfigError, match="another gateway build"):
            await gateway.finish(foreign)
        image = GatewayResult.image(files, image_config("linux/amd64"))
        for bad, why in (
            (Attestation(files, ""), "path"),
            (Attestation(files, "/f"), "predicate_type"),
            (Attestation(files, "/f", "https://slsa.dev/provenance/v1"), "provenance"),
        ):
            with pytest.raises(ConfigError, match=why):
                await gateway.finish(image.with_attestations([bad]))
        await gateway.finish(image)
        with pytest.raises(ConfigError, match="is finished"):
            await gateway.finish(image)
        with pytest.raises(ConfigError, match="is finished"):
            await gateway.solve(BUSYBOX)
    assert (tmp_path / "out" / "f").read_text() == "x"


async def test_what_the_exporter_refuses_comes_out_of_finish(buildkit: AsyncClient) -> None:
    """An image for Docker can not be an index (V43)."""
    async with buildkit.gateway(outputs="type=docker,dest=/dev/null") as gateway:
        files = (await gateway.solve(llb.scratch().mkfile("/f", data=b"x"))).ref
        made = GatewayResult.index({p: (files, image_config(p)) for p in ("linux/amd64", "linux/arm64")})
        with pytest.raises(BuildError, match="docker exporter does not currently support"):
            await gateway.finish(made)


async def test_a_lazy_step_that_fails_at_the_end(buildkit: AsyncClient, tmp_path: Path) -> None:
    async with buildkit.gateway(outputs=Local(tmp_path / "out")) as gateway:
        lazy = await gateway.solve(BUSYBOX.run(f": {tmp_path}; exit 5"))
        with pytest.raises(BuildError) as caught:
            await gateway.finish(lazy)
    assert "exit code: 5" in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_results_in_blocking_code(buildkit_client: Client, buildkitd: Any) -> None:
    name, path = new_name(buildkitd)
    with buildkit_client.gateway(outputs=Image(name, push=True, insecure=True)) as gateway:
        parts = {}
        for platform in ("linux/amd64", "linux/arm64"):
            ref = gateway.solve(llb.scratch().mkfile("/p", data=b"{}")).ref
            parts[platform] = (ref, image_config(platform))
        made = GatewayResult.index(parts)
        made = made.with_attestations([Attestation(ref, "/p", SPDX)], "linux/amd64")
        gateway.finish(made)
    index = pulling.manifest(buildkitd.registry.host, path, "latest")
    assert len(index["manifests"]) == 3
