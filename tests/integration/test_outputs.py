"""What a real daemon exports, received: directories, layouts, caches; buildctl's results are the measure."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient
from pybuildkit.caches import LocalCache
from pybuildkit.content.ociindex import OCIIndex
from pybuildkit.content.reachable import reachable
from pybuildkit.content.store import LocalStore
from pybuildkit.errors import BuildError, BuildKitError, ConfigError
from pybuildkit.events import VertexCompleted
from pybuildkit.outputs import OCI, Local, Tar
from tests.support.trees import snapshot
from tests.unit.docs.test_outputs_page import examples

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

FILES = """\
FROM busybox AS work
RUN mkdir -p /out/d/empty && cd /out && echo hello > d/hello && ln d/hello hard && ln -s d/hello soft \
 && head -c 300000 /dev/urandom > big && touch zero && mkfifo pipe \
 && chmod 4755 d/hello && chmod 1777 d && chmod 500 d/empty && touch -d @1500000000 zero d/empty
FROM scratch
COPY --from=work /out /
"""


def project(folder: Path, dockerfile: str, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


Buildctl = Callable[..., str]


@pytest.fixture
def run_buildctl(buildctl: Path, buildkitd: Any) -> Buildctl:
    def run(*args: str | Path) -> str:
        done = subprocess.run(
            [buildctl, "--addr", buildkitd.address, *args], capture_output=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stderr.decode()

    return run


def frontend(folder: Path, *args: str) -> list[str]:
    return [
        "build",
        "--progress=plain",
        "--frontend=dockerfile.v0",
        f"--local=context={folder}",
        f"--local=dockerfile={folder}",
        *args,
    ]


# --- directories ---


async def test_a_directory_as_buildctl_has_it(
    buildkit: AsyncClient, run_buildctl: Buildctl, tmp_path: Path
) -> None:
    """S57, V44: content, modes, link groups, targets and times."""
    context = project(tmp_path / "ctx", FILES)
    await buildkit.build(context, outputs=Local(tmp_path / "ours"))
    run_buildctl(*frontend(context, f"--output=type=local,dest={tmp_path}/theirs"))
    ours, theirs = snapshot(tmp_path / "ours"), snapshot(tmp_path / "theirs")
    assert ours["d/hello"][1] == 0o4755
    assert ours["d/hello"][3] == ours["hard"][3] == "hard"
    assert stat.S_ISFIFO(int(str(ours["pipe"][0])))
    for name, value in theirs.items():
        if value[0] == stat.S_IFDIR:  # Go gives them their time too early, before their entries come
            assert ours[name][:4] == value[:4]
        else:
            assert ours[name] == value
    assert ours.keys() == theirs.keys()
    assert ours["d/empty"][4] == 1_500_000_000 * 10**9


async def test_merge_and_mirror(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S62, S63."""
    context = project(tmp_path / "ctx", "FROM scratch\nCOPY a b /d/\n", a="a", b="b")
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "d" / "old").write_text("old")
    (out / "d" / "a").write_text("before")
    await buildkit.build(context, outputs=Local(out))
    assert set(snapshot(out)) == {"d", "d/a", "d/b", "d/old"}
    assert (out / "d" / "a").read_text() == "a"
    await buildkit.build(context, outputs=Local(out, mode="delete"))
    assert set(snapshot(out)) == {"d", "d/a", "d/b"}


@pytest.mark.parametrize("mode", ["copy", "delete"])
@pytest.mark.parametrize("split", [True, False])
async def test_several_platforms(buildkit: AsyncClient, tmp_path: Path, mode: Any, split: bool) -> None:
    """S62, S63, V44: streams side by side into one directory, or one stream of all."""
    dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH} /d/${TARGETARCH}\n"
    context = project(tmp_path / "ctx", dockerfile, amd64="x86", arm64="arm")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    build = buildkit.build(
        context,
        platforms=["linux/amd64", "linux/arm64"],
        outputs=Local(tmp_path / "out", mode=mode, platform_split=split),
    )
    if mode == "delete" and not split:
        # T22: this daemon merges the platforms, can not open the first one's files any more, and sends them
        # empty. buildctl writes empty files and is content.
        with pytest.raises(BuildError, match="sent 0 of the 3 bytes of 'd/amd64'; it could not open"):
            await build
        assert (tmp_path / "out" / "old").exists()
        return
    await build
    files = {path for path in snapshot(tmp_path / "out") if (tmp_path / "out" / path).is_file()}
    expected = {"linux_amd64/d/amd64", "linux_arm64/d/arm64"} if split else {"d/amd64", "d/arm64"}
    assert files == expected | ({"old"} if mode == "copy" else set())


async def test_what_a_failed_build_leaves(buildkit: AsyncClient, tmp_path: Path) -> None:
    """X16, R24: an older file is as it was, and nothing half-written is beside it."""
    context = project(tmp_path / "ctx", "FROM busybox\nRUN false\n")
    out = tmp_path / "out"
    out.mkdir()
    (out / "image.tar").write_text("old")
    with pytest.raises(BuildError):
        await buildkit.build(context, outputs=[Tar(out / "image.tar"), Local(out / "dir")])
    assert os.listdir(out) == ["image.tar"]
    assert (out / "image.tar").read_text() == "old"


async def test_device_nodes(buildkit: AsyncClient, tmp_path: Path) -> None:
    """The error names the path; the build does not go on as if all were well."""
    dockerfile = "FROM busybox AS work\nRUN mkdir /out && mknod /out/null c 1 3\nFROM scratch\nCOPY --from=work /out /\n"
    context = project(tmp_path / "ctx", dockerfile)
    with pytest.raises(BuildKitError, match="device node"):
        await buildkit.build(context, outputs=Local(tmp_path / "out"))


# --- layouts ---


def check_layout(root: Path) -> str:
    """Every blob is what its name says, and is reached from the index; the digest of the only manifest."""
    index = OCIIndex(root)
    store = LocalStore(root)
    used = reachable(store, index.manifests())
    assert {blob.digest for blob in store.walk()} == used
    for digest in used:
        assert f"sha256:{hashlib.sha256(store.path(digest).read_bytes()).hexdigest()}" == digest
    single = index.single()
    assert single is not None
    return single.digest


async def test_an_image_into_a_directory(
    buildkit: AsyncClient, run_buildctl: Buildctl, tmp_path: Path
) -> None:
    """S93, S94, W2: the layout is buildctl's, to the last file."""
    context = project(tmp_path / "ctx", "FROM busybox\nRUN echo layer > /layer\n")
    result = await buildkit.build(
        context, tags=["example.test/a:1"], outputs=OCI(tmp_path / "ours", tar=False)
    )
    run_buildctl(
        *frontend(context, f"--output=type=oci,tar=false,name=example.test/a:1,dest={tmp_path}/theirs")
    )
    assert result.digest is not None
    assert (tmp_path / "ours" / "oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'
    assert await run_sync(OCIIndex(tmp_path / "ours").get, "example.test/a:1") is not None
    await run_sync(check_layout, tmp_path / "ours")
    ours, theirs = (
        {path: value[:2] for path, value in snapshot(tmp_path / name).items()} for name in ("ours", "theirs")
    )
    blobs = {path for path in ours if path.startswith("blobs/sha256/")}
    assert blobs == {path for path in theirs if path.startswith("blobs/sha256/")}
    assert ours.keys() == theirs.keys()
    assert {path: ours[path] for path in blobs} == {path: theirs[path] for path in blobs}


async def test_a_layout_is_added_to(buildkit: AsyncClient, tmp_path: Path) -> None:
    for number in (1, 2):
        context = project(tmp_path / "ctx", f"FROM busybox\nRUN echo {number} > /layer\n")
        await buildkit.build(
            context, tags=[f"example.test/a:{number}"], outputs=OCI(tmp_path / "out", tar=False)
        )
    manifests = await run_sync(OCIIndex(tmp_path / "out").manifests)
    names = [found.annotations["io.containerd.image.name"] for found in manifests]
    assert names == ["example.test/a:1", "example.test/a:2"]


async def test_building_on_a_layout(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S93, V56: blobs are read from here, and only read."""
    base = project(tmp_path / "base", "FROM busybox\nRUN echo base > /base\n")
    await buildkit.build(base, outputs=OCI(tmp_path / "layout", tar=False))
    before = snapshot(tmp_path / "layout")
    context = project(tmp_path / "ctx", "FROM base AS b\nFROM scratch\nCOPY --from=b /base /\n")
    await buildkit.build(
        context, contexts={"base": f"oci-layout://{tmp_path}/layout:latest"}, outputs=Local(tmp_path / "out")
    )
    assert (tmp_path / "out" / "base").read_text() == "base\n"
    assert snapshot(tmp_path / "layout") == before


async def test_two_images_into_directories(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S67."""
    context = project(tmp_path / "ctx", "FROM scratch\nCOPY Dockerfile /\n")
    with pytest.raises(ConfigError, match="one OCI directory a build"):
        await buildkit.build(
            context, outputs=[OCI(tmp_path / "a", tar=False), OCI(tmp_path / "b", tar=False)]
        )


# --- caches ---

STEPS = """\
FROM busybox AS work
RUN echo one > /one
RUN head -c 200000 /dev/urandom > /two
FROM scratch
COPY --from=work /one /two /
"""


async def cached_steps(buildkit: AsyncClient, context: Path, **options: Any) -> dict[str, bool]:
    """The RUN steps of a build, and which of them were cached."""
    found = {}
    async with buildkit.stream(context, **options) as build:
        async for event in build:
            if isinstance(event, VertexCompleted) and "RUN" in event.vertex.name:
                found[event.vertex.name.rpartition("] ")[2]] = event.vertex.cached
        await build.result()
    return found


@pytest.mark.parametrize("manifest", [True, False])
async def test_a_local_cache_goes_out_and_comes_back(
    buildkit: AsyncClient, run_buildctl: Buildctl, tmp_path: Path, manifest: bool
) -> None:
    """V23, V31 to V33, S93, W3: after all is forgotten, the steps come from the directory."""
    context = project(tmp_path / "ctx", STEPS.replace("one", tmp_path.name))
    cache = LocalCache(tmp_path / "cache", mode="max", image_manifest=manifest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = await cached_steps(buildkit, context, cache_from=cache, cache_to=cache)
    assert list(first.values()) == [False, False]
    await run_sync(check_layout, tmp_path / "cache")
    assert await run_sync(OCIIndex(tmp_path / "cache").get, "latest") is not None

    run_buildctl("prune", "--all")
    again = await cached_steps(buildkit, context, cache_from=cache, outputs=Local(tmp_path / "out"))
    assert list(again.values()) == [True, True]
    assert len((tmp_path / "out" / "two").read_bytes()) == 200_000

    run_buildctl("prune", "--all")
    text = run_buildctl(*frontend(context, f"--import-cache=type=local,src={tmp_path}/cache"))
    assert text.count("CACHED") >= 2, "Go reads what we have written"


async def test_a_cache_that_buildctl_has_written(
    buildkit: AsyncClient, run_buildctl: Buildctl, tmp_path: Path
) -> None:
    context = project(tmp_path / "ctx", STEPS.replace("one", tmp_path.name))
    run_buildctl(*frontend(context, f"--export-cache=type=local,mode=max,dest={tmp_path}/cache"))
    before = snapshot(tmp_path / "cache")
    run_buildctl("prune", "--all")
    steps = await cached_steps(buildkit, context, cache_from=LocalCache(tmp_path / "cache"))
    assert list(steps.values()) == [True, True]
    assert snapshot(tmp_path / "cache") == before, "T21: an import leaves no trace"


async def test_a_cache_that_is_reset(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V24, X13: it does not grow for ever."""
    sizes = []
    for number in range(3):
        context = project(tmp_path / "ctx", STEPS.replace("one", f"{tmp_path.name}{number}"))
        cache = LocalCache(tmp_path / "cache", mode="max", reset=True)
        await buildkit.build(context, cache_to=cache)
        await run_sync(check_layout, tmp_path / "cache")
        blobs = (tmp_path / "cache" / "blobs" / "sha256").iterdir()
        sizes.append(sum(path.stat().st_size for path in blobs))
    assert max(sizes) < 1.2 * min(sizes)


async def test_two_caches_at_once(buildkit: AsyncClient, tmp_path: Path) -> None:
    """X15: the daemon tells one manifest; each directory must get its own."""
    context = project(tmp_path / "ctx", STEPS.replace("one", tmp_path.name))
    caches = [
        LocalCache(tmp_path / "gzip", mode="max", compression="gzip", force_compression=True),
        LocalCache(tmp_path / "zstd", mode="max", compression="zstd", force_compression=True),
    ]
    await buildkit.build(context, cache_to=caches)
    digests = {await run_sync(check_layout, tmp_path / name) for name in ("gzip", "zstd")}
    assert len(digests) == 2


async def test_a_cache_that_is_not_there(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V33, T21."""
    context = project(tmp_path / "ctx", "FROM scratch\nCOPY Dockerfile /\n")
    with pytest.warns(Warning, match="is left out"):
        await buildkit.build(context, cache_from=LocalCache(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


# --- the page ---


async def test_the_pages_examples(buildkit: AsyncClient, tmp_path: Path) -> None:
    """``docs/outputs.md``."""
    page = examples()
    context = project(tmp_path / "ctx", "FROM busybox AS work\nFROM scratch\nCOPY Dockerfile /file\n")
    await page["files"](buildkit, str(context), str(tmp_path / "out"))
    (tmp_path / "out" / "old").write_text("old")
    await page["mirror"](buildkit, str(context), str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == ["file"]
    (tmp_path / "several").mkdir()
    assert len(await page["several"](buildkit, str(context), tmp_path / "several")) > 1000
    assert sorted(os.listdir(tmp_path / "several")) == ["files", "files.tar", "layout"]
    sizes: list[int] = []
    await buildkit.build(context, outputs=page["counted"](sizes))
    assert sum(sizes) == (tmp_path / "several" / "files.tar").stat().st_size
    (tmp_path / "named").mkdir()
    for _ in range(2):
        await buildkit.build(context, outputs=page["by_digest"](tmp_path / "named"))
        assert len(os.listdir(tmp_path / "named")) == 1
    on_base = project(tmp_path / "ctx2", "FROM base\nCOPY Dockerfile /other\n")
    layout = str(tmp_path / "several" / "layout")
    await page["on_a_layout"](buildkit, str(on_base), layout, str(tmp_path / "both"))
    assert sorted(os.listdir(tmp_path / "both")) == ["file", "other"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            await page["with_cache"](buildkit, str(context), str(tmp_path / "cache"))
    assert len(caught) == 1
    await run_sync(check_layout, tmp_path / "cache")
