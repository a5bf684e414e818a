"""The same command line to buildctl and to us: frontends, graphs, and what a build may use (B18 to B34)."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from pybuildkit import llb
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
OUT = "--output=type=local,dest={out}/files"
STEPS = (*FRONTEND, "--opt=filename=steps.Dockerfile", OUT)
FILES = (*FRONTEND, "--opt=target=files", OUT)
SECRET = (*FRONTEND, "--opt=filename=secret.Dockerfile", OUT)
ASK = (*FRONTEND, "--opt=filename=lint.Dockerfile")
GRAPH = ("--progress=quiet", "--metadata-file={out}/metadata.json", OUT)

DEFINITION = (
    llb.image("busybox").run("echo graph > /x && touch -d @1500000000 /x").dir("/").run(["cp", "/x", "/y"])
)
FILES_OF_A_GRAPH = llb.scratch().copy(DEFINITION, "/x", "/x").marshal().to_bytes()
LOCAL_GRAPH = llb.scratch().copy(llb.local(name="src"), "/data/a", "/a").marshal().to_bytes()


@pytest.fixture
def sides(buildctl: Path, buildkitd: BuildkitdService, registry: Registry, tmp_path: Path) -> Sides:
    context = make_contexts(tmp_path)
    names = {"ctx": context, "dir": tmp_path, "registry": registry.host, "name": tmp_path.name.lower()}
    return Sides(buildctl, buildkitd.address, tmp_path, names)


BUILDS = [
    Case("opt-build-arg", (*FILES, "--opt=build-arg:WHO=me", "--opt", "build-arg:X=a=b")),
    Case("opt-later-wins", (*FRONTEND, "--opt=target=tools", "--opt=target=files", OUT)),
    Case(
        "opt-label",
        (*FRONTEND, "--opt=label:a=b", "--opt=target=files", "-o=type=oci,dest={out}/i.tar"),
        same="layers",
    ),
    Case("opt-filename", (*FRONTEND, "--opt=filename=plain.Dockerfile", OUT)),
    Case("opt-no-cache-stage", (*FILES, "--opt=no-cache=base")),
    Case("opt-platform", (*FRONTEND, "--opt=filename=plain.Dockerfile", "--opt=platform=linux/arm64", OUT)),
    Case(
        "opt-multi-platform", (*FRONTEND, "--opt=filename=plain.Dockerfile", "--opt=multi-platform=true", OUT)
    ),
    Case("opt-add-hosts", (*STEPS, "--opt=add-hosts=example.test=10.9.8.7")),
    Case("opt-hostname", (*STEPS, "--opt=add-hosts=example.test=10.9.8.7", "--opt=hostname=built")),
    Case("opt-shm-size", (*STEPS, "--opt=add-hosts=example.test=10.9.8.7", "--opt=shm-size=8388608")),
    Case("opt-ulimit", (*STEPS, "--opt=add-hosts=example.test=10.9.8.7", "--opt=ulimit=nofile=99:100")),
    Case(
        "opt-network-none", (*STEPS, "--opt=add-hosts=example.test=10.9.8.7", "--opt=force-network-mode=none")
    ),
    Case("opt-resolve-mode", (*FILES, "--opt=image-resolve-mode=pull")),
    Case(
        "opt-context-local",
        (
            *FRONTEND,
            "--opt=filename=named.Dockerfile",
            "--opt=context:other=local:o",
            "--local=o={dir}/other",
            OUT,
        ),
    ),
    Case(
        "opt-context-image",
        (
            *FRONTEND,
            "--opt=filename=image.Dockerfile",
            "--opt=context:other=docker-image://busybox:latest",
            OUT,
        ),
    ),
    Case(
        "opt-dockerfile-key",
        (*FRONTEND, "--local=d={dir}/sub/deep", "--opt=dockerfilekey=d", OUT),
        code=1,
        says="/f",
    ),
    Case(
        "opt-context-subdir",
        (
            *FRONTEND,
            "--local=context={dir}/sub",
            "--opt=contextsubdir=deep",
            "--local=dockerfile={dir}/sub/deep",
            OUT,
        ),
        code=1,
    ),
    Case("opt-syntax", (*FILES, "--opt=build-arg:BUILDKIT_SYNTAX="), code=1, says="BUILDKIT_SYNTAX"),
    Case("opt-cgroup-parent", (*FILES, "--opt=cgroup-parent=parity")),
    Case("opt-without-equals-sign", (*FILES, "--opt=target"), code=1),
    Case("no-cache", (*FILES, "--no-cache")),
    Case(
        "epoch-from-env",
        (*FRONTEND, "--opt=filename=epoch.Dockerfile", OUT),
        env={"SOURCE_DATE_EPOCH": "1234567890"},
    ),
    Case(
        "epoch-opt-over-env",
        (*FRONTEND, "--opt=filename=epoch.Dockerfile", "--opt=build-arg:SOURCE_DATE_EPOCH=9", OUT),
        env={"SOURCE_DATE_EPOCH": "1234567890"},
    ),
    Case("secret-file", (*SECRET, "--secret=id=token,src={dir}/token")),
    Case("secret-source", (*SECRET, "--secret=id=token,type=file,source={dir}/token")),
    Case("secret-env", (*SECRET, "--secret=id=token,env=PARITY"), env={"PARITY": "from env"}),
    Case("secret-type-env", (*SECRET, "--secret=type=env,id=token,src=PARITY"), env={"PARITY": "from env"}),
    Case("secret-by-its-own-name", (*SECRET, "--secret=id=token"), env={"token": "own"}),
    Case(
        "secret-missing", (*FRONTEND, "--opt=filename=unasked.Dockerfile"), code=1, says="--secret id=token"
    ),
    Case("secret-no-such-file", (*SECRET, "--secret=id=token,src={dir}/none"), code=1),
    Case("secret-unknown-key", (*SECRET, "--secret=id=token,colour=red"), code=1),
    Case("secret-unknown-type", (*SECRET, "--secret=id=token,type=sound"), code=1),
    Case("allow-network", (*FRONTEND, "--opt=filename=network.Dockerfile", "--allow=network.host", OUT)),
    Case(
        "allow-insecure", (*FRONTEND, "--opt=filename=insecure.Dockerfile", "--allow=security.insecure", OUT)
    ),
    Case(
        "not-allowed",
        (*FRONTEND, "--opt=filename=network.Dockerfile", OUT),
        code=1,
        says="--allow network.host",
    ),
    Case("allow-unknown", (*FILES, "--allow=flying"), code=1),
    Case("proxy-network", (*FILES, "--proxy-network")),
    Case("registry-tls", (*FILES, "--registry-auth-tlscontext=host=registry.example,insecure=true")),
    Case("registry-tls-without-host", (*FILES, "--registry-auth-tlscontext=insecure=true"), code=1),
    Case("registry-tls-without-key", (*FILES, "--registry-auth-tlscontext=host=h,ca=x,cert=y"), code=1),
    Case(
        "local-missing",
        ("--frontend=dockerfile.v0", "--local=context={ctx}", "--progress=quiet"),
        code=1,
        says="dockerfile",
    ),
    Case("local-no-directory", (*FILES, "--local=x={dir}/none"), code=1, says="none"),
    Case("local-a-file", (*FILES, "--local=x={dir}/token"), code=1, says="token"),
    Case("local-without-equals-sign", (*FILES, "--local=x"), code=1),
    Case("oci-layout-without-equals-sign", (*FILES, "--oci-layout=x"), code=1),
    Case("frontend-unknown", ("--frontend=zz", "--progress=quiet"), code=1, says="zz"),
    Case("fails", (*FRONTEND, "--opt=filename=fails.Dockerfile"), code=1, says="exit code: 7"),
    Case("broken", (*FRONTEND, "--opt=filename=broken.Dockerfile"), code=1, says=">>> RUM echo"),
    Case("no-dockerfile", (*FRONTEND, "--opt=filename=none"), code=1, says="none"),
    Case("no-stage", (*FRONTEND, "--opt=target=none"), code=1, says="none"),
    Case("progress-unknown", ("--frontend=dockerfile.v0", "--progress=zz"), code=(1, 2), same=""),
    Case("tty-without-a-terminal", (*FILES, "--progress=tty"), code=1, same="stdout"),
    Case(
        "progress-env-unknown",
        ("--frontend=dockerfile.v0", "--local=context={ctx}"),
        code=1,
        env={"BUILDKIT_PROGRESS": "zz"},
    ),
    Case("unknown-flag", ("--zz",), code=(1, 2), same=""),
    Case("graph", GRAPH, stdin=FILES_OF_A_GRAPH),
    Case("graph-no-cache", (*GRAPH, "--no-cache"), stdin=FILES_OF_A_GRAPH),
    Case("graph-local", (*GRAPH, "--local=src={ctx}"), stdin=LOCAL_GRAPH),
    Case("graph-local-missing", GRAPH, stdin=LOCAL_GRAPH, code=1, says="src"),
    Case("graph-epoch", (*GRAPH, "--opt=build-arg:SOURCE_DATE_EPOCH=1234567890"), stdin=FILES_OF_A_GRAPH),
    Case("graph-opt", (*GRAPH, "--opt=target=x"), stdin=FILES_OF_A_GRAPH, says="no effect"),
    Case("graph-empty", GRAPH, code=1, says="--frontend"),
    Case("graph-rubbish", GRAPH, stdin=b"\xff\xff\xff", code=1),
    Case("outline", (*ASK, "--opt=requestid=frontend.outline")),
    Case("targets", (*ASK, "--opt=requestid=frontend.targets")),
    Case("describe", (*ASK, "--opt=requestid=frontend.subrequests.describe")),
    Case("lint", (*ASK, "--opt=requestid=frontend.lint")),
    Case("request-unknown", (*ASK, "--opt=requestid=frontend.zz"), code=1),
]


@pytest.mark.parametrize("case", BUILDS, ids=str)
def test_builds(sides: Sides, case: Case) -> None:
    sides.check(case)


POLICIES = {
    "policy-deny": (
        {"action": "DENY", "selector": {"identifier": "docker-image://docker.io/library/busybox*"}},
        1,
    ),
    "policy-allow": ({"action": "ALLOW", "selector": {"identifier": "*"}}, 0),
    "policy-convert": (
        {
            "action": "CONVERT",
            "selector": {"identifier": "docker-image://docker.io/library/busybox:latest"},
            "updates": {"identifier": "docker-image://docker.io/library/alpine:latest"},
        },
        0,
    ),
}


@pytest.mark.parametrize("name", POLICIES)
def test_source_policies(sides: Sides, tmp_path: Path, name: str) -> None:
    """B30, V81."""
    rule, code = POLICIES[name]
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"version": 1, "rules": [rule]}))
    sides.check(Case(name, (*FILES, f"--source-policy-file={path}"), code=code))


@pytest.mark.parametrize("text", [None, "{", '{"rules": 7}'], ids=["missing", "cut off", "wrong"])
def test_policies_that_can_not_be_read(sides: Sides, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "policy.json"
    if text is not None:
        path.write_text(text)
    sides.check(Case("policy", (*FILES, f"--source-policy-file={path}"), code=1, says="policy.json"))


def test_an_oci_layout(sides: Sides, tmp_path: Path) -> None:
    """B21: an image that one build has written is the other's base."""
    made = Case(
        "make",
        (
            *FRONTEND,
            "--opt=filename=plain.Dockerfile",
            "--output=type=oci,tar=false,dest={dir}/layout,name=n:1",
        ),
        same="",
    )
    ours = sides.check(made)[1]
    digest = ours.metadata["containerimage.digest"]
    layout = f"--opt=context:other=oci-layout://store@{digest}"
    (tmp_path / "ctx" / "layout.Dockerfile").write_text("FROM other\n")
    options = (*FRONTEND, "--opt=filename=layout.Dockerfile", layout, OUT)
    sides.check(Case("oci-layout", (*options, "--oci-layout=store={dir}/layout"), same="files"))
    unknown = f"--opt=context:other=oci-layout://store@sha256:{'0' * 64}"
    sides.check(Case("oci-layout-missing", (*options, unknown, "--oci-layout=store={dir}/layout"), code=1))


def test_ref_file(sides: Sides) -> None:
    """V50: also of a build that fails."""
    for code, name in ((0, "plain.Dockerfile"), (1, "fails.Dockerfile")):
        case = Case("ref-file", (*FRONTEND, f"--opt=filename={name}", "--ref-file={out}/ref"), code=code)
        theirs, ours = sides.check(case)
        for done in (theirs, ours):
            assert len((done.out / "ref").read_text()) == 25
        (ours.out / "ref").unlink()
        (theirs.out / "ref").unlink()


def test_trace(sides: Sides) -> None:
    """B19: readable for the owner only, appended to, one batch a line, the same keys."""
    case = Case("trace", (*FILES, "--trace={out}/trace.json"))
    sides.check(case)
    theirs, ours = sides.check(case)
    shapes = []
    for done in (theirs, ours):
        path = done.out / "trace.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        batches = [json.loads(line) for line in path.read_text().splitlines()]
        shapes.append(
            {(kind, key) for batch in batches for kind, items in batch.items() for i in items for key in i}
        )
        names = {v["name"] for batch in batches for v in batch.get("vertexes", ())}
        assert "[internal] load build definition from Dockerfile" in names
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("where", ["stdout", "file"])
def test_cache_metrics(sides: Sides, where: str) -> None:
    """B33: what was missed, and the sums."""
    flag = "stdout" if where == "stdout" else "{out}/metrics"
    sides.check(Case("warm up", FILES))
    case = Case("metrics", (*FILES, f"--debug-json-cache-metrics={flag}"), same="metadata")
    found = []
    for done in sides.check(case):
        text = done.stdout.decode() if where == "stdout" else (done.out / "metrics").read_text()
        *missed, sums = text.splitlines()
        values = json.loads(sums)
        assert values.pop("client_duration_ms") >= 0
        found.append((sorted(missed), list(json.loads(sums)), values))
    assert found[0] == found[1]


def test_files_are_made_as_the_umask_says(sides: Sides) -> None:
    """B14: buildctl sets it to 0; we leave the user's as it is, and results have their own modes all the same."""
    before = os.umask(0o077)
    try:
        sides.check(Case("umask", FILES))
    finally:
        os.umask(before)
