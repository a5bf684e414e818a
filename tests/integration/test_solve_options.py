"""What can be asked of any solve, on a real daemon: policies, entitlements, attestations, history, inputs, networks."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Literal

import anyio
import pytest
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient, llb
from pybuildkit.attestations import SBOM, Provenance
from pybuildkit.errors import (
    BuildError,
    ConfigError,
    EntitlementError,
    ExecError,
    NotFound,
    PolicyError,
)
from pybuildkit.events import Log
from pybuildkit.outputs import OCI, Local
from pybuildkit.sourcepolicy import Constraint, Rule, SourcePolicy
from pybuildkit.testing.images import busybox_layer, file, image, layer
from pybuildkit.testing.push import push
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdOptions
from tests.support.daemons import fresh_daemon
from tests.support.ocitar import Archive
from tests.support.servers import serve_files

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


def project(folder: Path, dockerfile: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


# --- source policies ---


@pytest.fixture
def other_image(registry: Registry) -> str:
    """An image that is busybox, and says of itself that it is another one."""
    name = f"{registry.host}/policies/other:1"
    marked = image([busybox_layer(), layer([file("which", b"the other one")])], env=["PATH=/bin"])
    push(marked, name)
    return name


async def test_a_source_that_is_denied(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V81: by name, by a wildcard, by a regular expression; from a Dockerfile and from a graph."""
    context = project(tmp_path / "context", "FROM busybox\nRUN true\n")
    for rule in (
        Rule.deny("docker-image://docker.io/library/busybox:latest", match="EXACT"),
        Rule.deny("docker-image://docker.io/library/*"),
        Rule.deny(r"^docker-image://.*/busybox", match="REGEX"),
    ):
        with pytest.raises(PolicyError, match="busybox") as caught:
            await buildkit.build(context, source_policy=SourcePolicy((rule,)))
        assert "source_policy" in caught.value.remedy
    with pytest.raises(PolicyError):
        await buildkit.solve(llb.image("busybox"), source_policy=SourcePolicy((Rule.deny("*busybox*"),)))


async def test_the_last_rule_decides(buildkit: AsyncClient, tmp_path: Path) -> None:
    context = project(tmp_path / "context", "FROM busybox\nRUN true\n")
    deny, allow = Rule.deny("*"), Rule.allow("docker-image://docker.io/library/busybox*")
    local = Rule.allow("local://*")
    await buildkit.build(context, source_policy=SourcePolicy((deny, local, allow)))
    with pytest.raises(PolicyError):
        await buildkit.build(context, source_policy=SourcePolicy((local, allow, deny)))


async def test_a_source_that_is_replaced(buildkit: AsyncClient, tmp_path: Path, other_image: str) -> None:
    """T4: what is fetched is another image; a part of the name goes over."""
    name, _, tag = other_image.rpartition(":")
    host = name.rpartition("/")[0]
    policy = SourcePolicy(
        (Rule.convert("docker-image://docker.io/library/*", f"docker-image://{host}/${{1}}"),)
    )
    context = project(
        tmp_path / "context", f"FROM other:{tag} AS base\nFROM scratch\nCOPY --from=base /which /\n"
    )
    await buildkit.build(context, source_policy=policy, outputs=Local(tmp_path / "out"))
    assert (tmp_path / "out" / "which").read_text() == "the other one"


async def test_a_source_whose_attributes_are_set(buildkit: AsyncClient, tmp_path: Path) -> None:
    """A checksum that a policy demands, right and wrong."""
    with serve_files({"/file": b"content"}) as files:
        state = llb.scratch().copy(llb.http(f"{files.url}/file"), "/file", "/file")
        right = f"sha256:{hashlib.sha256(b'content').hexdigest()}"
        for checksum, good in ((right, True), ("sha256:" + "0" * 64, False)):
            policy = SourcePolicy((Rule.convert(f"{files.url}/*", attrs={"http.checksum": checksum}),))
            if good:
                await buildkit.solve(state, source_policy=policy, outputs=Local(tmp_path / "out"))
            else:
                with pytest.raises(BuildError, match="digest mismatch"):
                    await buildkit.solve(state, source_policy=policy)
        assert (tmp_path / "out" / "file").read_text() == "content"
        unchecked = Constraint("http.checksum", "", "EQUAL")
        with pytest.raises(PolicyError):
            await buildkit.solve(state, source_policy=SourcePolicy((Rule.deny("http://*", unchecked),)))


async def test_a_policy_from_a_file(buildkit: AsyncClient, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"rules": [{"action": "DENY", "selector": {"identifier": "*busybox*"}}]}))
    with pytest.raises(PolicyError):
        await buildkit.solve(llb.image("busybox"), source_policy=path)


# --- entitlements ---


async def test_what_is_not_granted(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V86."""
    context = project(tmp_path / "context", "FROM busybox\nRUN --network=host true\n")
    with pytest.raises(EntitlementError, match=r"network\.host") as caught:
        await buildkit.build(context)
    assert caught.value.entitlement == "network.host"
    await buildkit.build(context, entitlements="network.host")
    await buildkit.build(
        project(tmp_path / "two", "FROM busybox\nRUN true\n"), network="host", entitlements=["network.host"]
    )


async def test_what_the_daemon_does_not_allow(buildkitd_options: BuildkitdOptions, tmp_path: Path) -> None:
    context = project(tmp_path / "context", "FROM scratch\nCOPY Dockerfile /\n")
    async with fresh_daemon(buildkitd_options, entitlements=()) as (client, _):
        with pytest.raises(EntitlementError, match=r"--allow-insecure-entitlement security\.insecure"):
            await client.build(context, entitlements=["security.insecure"])


async def test_entitlements_that_there_are_not(buildkit: AsyncClient, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'root'"):
        await buildkit.solve(llb.image("busybox"), entitlements=["root"])
    context = project(tmp_path / "context", "FROM busybox\nRUN --device=vendor.test/class=x true\n")
    with pytest.raises(BuildError, match=r"vendor\.test/class=x"):
        await buildkit.build(context)


# --- attestations ---


@pytest.fixture
def scanner(registry: Registry) -> str:
    """A scanner that finds one package, and says what it was told; also where the default one is looked for."""
    statement = json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://spdx.dev/Document",
            "predicate": {"name": "sbom", "packages": [{"name": "found by the stand-in"}], "told": "@TOLD@"},
        }
    )
    script = (
        "#!/bin/sh\nset -e\n"
        'test -d "$BUILDKIT_SCAN_SOURCE"\n'
        f"cat > /tmp/s <<'EOF'\n{statement}\nEOF\n"
        'sed "s/@TOLD@/$BUILDKIT_SCAN_COLOUR/" /tmp/s > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"\n'
    )
    made = image(
        [busybox_layer(), layer([file("scan", script.encode(), 0o755)])],
        entrypoint=["/scan"],
        env=["PATH=/bin"],
    )
    name = f"{registry.host}/scanners/stand-in:1"
    push(made, name)
    push(made, f"{registry.host}/docker/buildkit-syft-scanner:stable-1")
    return name


@pytest.mark.parametrize("how", ["default", "named"])
async def test_a_bill_of_materials(buildkit: AsyncClient, tmp_path: Path, scanner: str, how: str) -> None:
    """V83: made by a scanner image, with what it is told; in images, and beside files."""
    context = project(tmp_path / "context", "FROM scratch\nCOPY Dockerfile /\n")
    sbom = True if how == "default" else SBOM(scanner, attrs={"COLOUR": "blue"})
    await buildkit.build(context, sbom=sbom, outputs=[OCI(tmp_path / "image.tar"), Local(tmp_path / "out")])
    (statement,) = (await run_sync(Archive, tmp_path / "image.tar")).statements
    assert statement["predicateType"] == "https://spdx.dev/Document"
    assert statement["predicate"]["packages"] == [{"name": "found by the stand-in"}]
    assert statement["predicate"]["told"] == ("" if how == "default" else "blue")
    beside = json.loads((tmp_path / "out" / "sbom.spdx.json").read_text())
    assert beside["predicate"] == statement["predicate"]


@pytest.fixture
def scanner_that_fails(registry: Registry) -> str:
    name = f"{registry.host}/scanners/fails:1"
    push(image([busybox_layer()], entrypoint=["/bin/false"]), name)
    return name


async def test_a_scanner_that_fails(buildkit: AsyncClient, tmp_path: Path, scanner_that_fails: str) -> None:
    context = project(tmp_path / "context", "FROM scratch\nCOPY Dockerfile /\n")
    with pytest.raises(ExecError):
        await buildkit.build(context, sbom=SBOM(scanner_that_fails), outputs=OCI(tmp_path / "image.tar"))
    assert not (tmp_path / "image.tar").exists()


@pytest.mark.parametrize(
    ("mode", "version", "predicate"),
    [
        ("min", None, "https://slsa.dev/provenance/v1"),
        ("max", "v1", "https://slsa.dev/provenance/v1"),
        ("max", "v0.2", "https://slsa.dev/provenance/v0.2"),
    ],
)
async def test_provenance(
    buildkit: AsyncClient,
    tmp_path: Path,
    mode: Literal["min", "max"],
    version: Literal["v0.2", "v1"] | None,
    predicate: str,
) -> None:
    """V84: what was asked for, from what, and with ``max`` each step."""
    context = project(tmp_path / "context", "FROM busybox\nARG COLOUR\nRUN echo $COLOUR > /x\n")
    asked = Provenance(mode=mode, version=version, builder_id="https://builder.test/1", reproducible=True)
    await buildkit.build(
        context, build_args={"COLOUR": "green"}, provenance=asked, outputs=OCI(tmp_path / "image.tar")
    )
    (statement,) = (await run_sync(Archive, tmp_path / "image.tar")).statements
    assert statement["predicateType"] == predicate
    text = json.dumps(statement)
    assert "https://builder.test/1" in text
    assert "pkg:docker/busybox@latest" in text
    assert ("echo $COLOUR" in text) is (mode == "max")
    assert ("build-arg:COLOUR" in text) is (mode == "max")


async def test_both_of_several_platforms(buildkit: AsyncClient, tmp_path: Path, scanner: str) -> None:
    context = project(tmp_path / "context", "FROM scratch\nCOPY Dockerfile /\n")
    await buildkit.build(
        context,
        platforms=["linux/amd64", "linux/arm64"],
        sbom=SBOM(scanner),
        provenance="mode=min",
        outputs=OCI(tmp_path / "image.tar"),
    )
    found = await run_sync(Archive, tmp_path / "image.tar")
    assert (len(found.manifests), len(found.attestations), len(found.statements)) == (2, 2, 4)


# --- history, versions, inputs ---


async def test_a_build_that_leaves_no_history(buildkit: AsyncClient) -> None:
    """C23."""
    ref = uuid.uuid4().hex[:25]
    await buildkit.solve(llb.image("busybox").run("true"), ref=ref, internal=True)
    with pytest.raises(NotFound):
        await buildkit.history.get(ref)
    with pytest.raises(ExecError):
        await buildkit.solve(llb.image("busybox").run("false"), ref=f"{ref}x", internal=True)
    assert not await buildkit.history.list(filters=f"ref=={ref}x")


@pytest.mark.parametrize("version", [0, 10, 20, 30])
async def test_older_behaviour(buildkit: AsyncClient, tmp_path: Path, version: int) -> None:
    """C27."""
    context = project(tmp_path / "context", "FROM busybox\nRUN echo x > /x\n")
    result = await buildkit.build(context, compatibility_version=version, outputs=OCI(tmp_path / "image.tar"))
    assert result.digest is not None


async def test_behaviour_that_there_is_not(buildkit: AsyncClient) -> None:
    with pytest.raises(BuildError, match=r"unsupported compatibility-version 11 \(supported: \[10 20 30\]\)"):
        await buildkit.solve(llb.image("busybox"), compatibility_version=11)


async def test_graphs_as_a_frontends_inputs(buildkit: AsyncClient, tmp_path: Path) -> None:
    """C22, V7: a base that is made in Python, and a context, too."""
    base = llb.image("busybox").run("echo made by a graph > /made")
    extra = llb.scratch().mkfile("/note", "from a graph too")
    dockerfile = "FROM base AS b\nFROM scratch\nCOPY --from=b /made /\nCOPY --from=extra /note /\n"
    context = project(tmp_path / "context", dockerfile)
    await buildkit.solve(
        frontend="dockerfile.v0",
        attrs={"context:base": "input:base", "context:extra": "input:extra"},
        inputs={"base": base, "extra": extra},
        locals={"context": context, "dockerfile": context},
        outputs=Local(tmp_path / "out"),
    )
    assert (tmp_path / "out" / "made").read_text() == "made by a graph\n"
    assert (tmp_path / "out" / "note").read_text() == "from a graph too"


# --- the network of steps ---


async def test_steps_behind_the_daemons_proxy(buildkit: AsyncClient, tmp_path: Path) -> None:
    """C28: what a step fetches is seen, goes by the policy, and is among the materials of its provenance."""
    with serve_files({"/file": b"content", "/other": b"other"}) as files:
        context = project(
            tmp_path / "context", f"FROM busybox\nRUN wget -q -O /x {files.url}/file && cat /x # {tmp_path}\n"
        )
        logs = b""
        async with buildkit.stream(
            context, proxy_network=True, provenance="mode=max", outputs=OCI(tmp_path / "image.tar")
        ) as build:
            async for event in build:
                if isinstance(event, Log):
                    logs += event.data
            await build.result()
        assert b"content" in logs
        assert f"GET {files.url}/file -> 200".encode() in logs
        (statement,) = (await run_sync(Archive, tmp_path / "image.tar")).statements
        assert f"{files.url}/file" in json.dumps(
            statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        )
        denied = SourcePolicy((Rule.deny(f"{files.url}/*"),))
        with anyio.fail_after(30), pytest.raises(ExecError):
            await buildkit.build(context, proxy_network=True, source_policy=denied, no_cache=True)
