"""The same command line to buildctl and to us: outputs (B17, V41 to V47) and caches (B25, V31 to V40)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdService
from tests.support.parity import Case, Sides
from tests.support.parity_contexts import make_contexts

pytestmark = pytest.mark.integration

FRONTEND = (
    "--progress=quiet",
    "--frontend=dockerfile.v0",
    "--local=context={ctx}",
    "--local=dockerfile={ctx}",
    "--metadata-file={out}/metadata.json",
)
PLAIN = (*FRONTEND, "--opt=filename=plain.Dockerfile")
BOTH = (*PLAIN, "--opt=platform=linux/amd64,linux/arm64")
EPOCH = "--opt=build-arg:SOURCE_DATE_EPOCH=1500000000"


@pytest.fixture
def sides(buildctl: Path, buildkitd: BuildkitdService, registry: Registry, tmp_path: Path) -> Sides:
    context = make_contexts(tmp_path)
    names = {"ctx": context, "dir": tmp_path, "registry": registry.host, "name": tmp_path.name.lower()}
    return Sides(buildctl, buildkitd.address, tmp_path, names)


OUTPUTS = [
    Case("nothing", FRONTEND),
    Case("local", (*FRONTEND, "--opt=target=files", "-o", "type=local,dest={out}/files")),
    Case("local-delete", (*FRONTEND, "--output=type=local,dest={out}/files,mode=delete")),
    Case("local-platforms", (*BOTH, "--output=type=local,dest={out}/files")),
    Case(
        "local-platforms-in-one",
        (
            *BOTH,
            "--opt=filename=arch.Dockerfile",
            "--output=type=local,dest={out}/files,platform-split=false",
        ),
    ),
    Case(
        "local-platforms-that-collide",
        (*BOTH, "--output=type=local,dest={out}/files,platform-split=false"),
        code=1,
        same="",
        says="cannot overwrite",
    ),
    Case("local-split-of-one", (*PLAIN, "--output=type=local,dest={out}/files,platform-split=true")),
    Case("local-epoch", (*PLAIN, EPOCH, "--output=type=local,dest={out}/files")),
    Case("local-upper-case-key", (*PLAIN, "--output=TYPE=local,Dest={out}/files")),
    Case("local-csv-quotes", (*PLAIN, '--output=type=local,"dest={out}/files, with comma"')),
    Case("tar", (*FRONTEND, "--opt=target=files", "--output=type=tar,dest={out}/files.tar")),
    Case("tar-platforms", (*BOTH, "--output=type=tar,dest={out}/files.tar")),
    Case("tar-to-stdout", (*FRONTEND, "--output=type=tar"), same="stdout-archive metadata"),
    Case("tar-dash", (*FRONTEND, "--output=type=tar,dest=-"), same="stdout-archive metadata"),
    Case("tar-epoch", (*PLAIN, EPOCH, "--output=type=tar,dest={out}/files.tar")),
    Case("oci", (*FRONTEND, "--output=type=oci,dest={out}/image.tar,name=n:1"), same="layers"),
    Case("oci-epoch", (*PLAIN, EPOCH, "--output=type=oci,dest={out}/image.tar,rewrite-timestamp=true")),
    Case("oci-directory", (*PLAIN, EPOCH, "--output=type=oci,dest={out}/image,tar=false,name=n:1")),
    Case("oci-platforms", (*BOTH, EPOCH, "--output=type=oci,dest={out}/image.tar")),
    Case("oci-to-stdout", (*PLAIN, EPOCH, "--output=type=oci"), same="stdout-archive metadata"),
    Case("docker", (*PLAIN, EPOCH, "--output=type=docker,dest={out}/image.tar,name=n:1")),
    Case("docker-directory", (*PLAIN, EPOCH, "--output=type=docker,dest={out}/image,tar=false")),
    Case("docker-platforms", (*BOTH, "--output=type=docker,dest={out}/image.tar"), code=1, same="stdout"),
    Case("image", (*PLAIN, EPOCH, "--output=type=image,name=registry.example/{name}:1")),
    Case("image-push", (*PLAIN, EPOCH, "--output=type=image,name={registry}/{name}:1,push=true")),
    Case(
        "image-digest",
        (*PLAIN, EPOCH, "--output=type=image,name={registry}/{name},push=true,push-by-digest=true"),
    ),
    Case(
        "image-canonical",
        (*PLAIN, EPOCH, "--output=type=image,name=registry.example/{name}:1,name-canonical=true"),
    ),
    Case("image-dangling", (*PLAIN, EPOCH, "--output=type=image,dangling-name-prefix=dangling")),
    Case("image-unpack", (*PLAIN, EPOCH, "--output=type=image,name=registry.example/{name}:2,unpack=true")),
    Case(
        "image-not-stored", (*PLAIN, EPOCH, "--output=type=image,name=registry.example/{name}:3,store=false")
    ),
    Case(
        "image-two-names",
        (*PLAIN, EPOCH, '--output=type=image,"name=registry.example/a:1,registry.example/b:1"'),
    ),
    Case(
        "image-annotations",
        (
            *BOTH,
            EPOCH,
            "--output=type=oci,dest={out}/i.tar,annotation.a=1,annotation-index.b=2,annotation-manifest-descriptor.c=3",
        ),
    ),
    Case("oci-media-types", (*PLAIN, EPOCH, "--output=type=docker,dest={out}/image.tar,oci-mediatypes=true")),
    Case(
        "zstd", (*PLAIN, EPOCH, "--output=type=oci,dest={out}/i.tar,compression=zstd,force-compression=true")
    ),
    Case(
        "estargz",
        (*PLAIN, EPOCH, "--output=type=oci,dest={out}/i.tar,compression=estargz,force-compression=true"),
    ),
    Case("uncompressed", (*PLAIN, EPOCH, "--output=type=oci,dest={out}/i.tar,compression=uncompressed")),
    Case(
        "gzip-level",
        (
            *PLAIN,
            EPOCH,
            "--output=type=oci,dest={out}/i.tar,compression=gzip,compression-level=9,force-compression=true",
        ),
    ),
    Case(
        "provenance",
        (*PLAIN, "--opt=attest:provenance=mode=max", "--output=type=oci,dest={out}/i.tar"),
        same="layers",
    ),
    Case(
        "provenance-local",
        (
            *PLAIN,
            "--opt=attest:provenance=mode=min",
            "--output=type=local,dest={out}/files,attestation-prefix=x.",
        ),
        same="metadata",
    ),
    Case("several", (*FRONTEND, "-o=type=local,dest={out}/files", "-o=type=tar,dest={out}/files.tar")),
    Case("no-type", (*FRONTEND, "--output=dest=x"), code=1),
    Case("no-equals-sign", (*FRONTEND, "--output=local"), code=1),
    Case("unknown-type", (*FRONTEND, "--output=type=zz"), code=1, same="stdout"),
    Case("output-key", (*FRONTEND, "--output=type=local,output=x"), code=1, says="dest="),
    Case("local-without-dest", (*FRONTEND, "--output=type=local"), code=1),
    Case("image-with-dest", (*FRONTEND, "--output=type=image,dest=x"), code=1),
    Case("tar-dest-is-a-directory", (*FRONTEND, "--output=type=tar,dest={dir}"), code=1),
]


@pytest.mark.parametrize("case", OUTPUTS, ids=str)
def test_outputs(sides: Sides, case: Case) -> None:
    sides.check(case)


def test_pushed_images_are_the_same(sides: Sides, registry: Registry) -> None:
    case = Case(
        "push", (*PLAIN, EPOCH, "--output=type=image,name={registry}/{name}:{side},push=true"), same=""
    )
    theirs, ours = sides.check(case)
    assert ours.metadata["containerimage.digest"] == theirs.metadata["containerimage.digest"]


CACHES = [
    Case(
        "cache-local", (*FRONTEND, "--export-cache=type=local,dest={out}/cache"), same="files metadata-keys"
    ),
    Case(
        "cache-local-max",
        (*FRONTEND, "--export-cache=type=local,dest={out}/cache,mode=max"),
        same="metadata-keys",
    ),
    Case(
        "cache-local-tag",
        (*FRONTEND, "--export-cache=type=local,dest={out}/cache,tag=t"),
        same="files metadata-keys",
    ),
    Case(
        "cache-inline",
        (*FRONTEND, "--export-cache=type=inline", "-o=type=oci,dest={out}/i.tar"),
        same="metadata-keys",
    ),
    Case(
        "cache-registry",
        (*FRONTEND, "--export-cache=type=registry,ref={registry}/{name}:c"),
        same="metadata-keys",
    ),
    Case(
        "cache-registry-legacy",
        (*FRONTEND, "--export-cache={registry}/{name}:l"),
        same="metadata-keys",
        says="deprecated",
    ),
    Case("cache-import", (*FRONTEND, "--import-cache=type=registry,ref={registry}/{name}:none")),
    Case("cache-import-legacy", (*FRONTEND, "--import-cache={registry}/{name}:none"), says="deprecated"),
    Case(
        "cache-import-local-missing", (*FRONTEND, "--import-cache=type=local,src={out}/none"), same="metadata"
    ),
    Case("cache-unknown", (*FRONTEND, "--export-cache=type=zz"), code=1),
    Case("cache-no-type", (*FRONTEND, "--export-cache=type=,dest=x"), code=1),
    Case("cache-gha-without-env", (*FRONTEND, "--export-cache=type=gha"), code=1, says="ACTIONS"),
]


@pytest.mark.parametrize("case", CACHES, ids=str)
def test_caches(sides: Sides, case: Case) -> None:
    sides.check(case)


def test_a_cache_of_either_side_serves_the_other(sides: Sides, tmp_path: Path) -> None:
    """V32, V33: ours imports what buildctl exported, and the other way round."""
    export = Case("export", (*FRONTEND, "--export-cache=type=local,dest={out}/cache,mode=max"), same="")
    sides.check(export)
    for side in ("theirs", "ours"):
        source = tmp_path / side / "cache"
        assert json.loads((source / "index.json").read_text())["manifests"]
        case = Case("import", (*FRONTEND, f"--import-cache=type=local,src={source}"), same="metadata")
        sides.check(case)
