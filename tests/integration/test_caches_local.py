"""Caches in directories that several builds use at the same time."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient
from pybuildkit.caches import LocalCache
from pybuildkit.content.ociindex import OCIIndex
from pybuildkit.content.reachable import reachable
from pybuildkit.content.store import LocalStore
from pybuildkit.errors import BuildError, ConfigError
from pybuildkit.testing.service import BuildkitdOptions
from tests.support.daemons import fresh_daemon, steps_of

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

WRITERS = 6


def project(folder: Path, mark: str) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        f"FROM busybox AS work\nRUN echo {mark} > /one && head -c 200000 /dev/urandom > /two\n"
        "FROM scratch\nCOPY --from=work /one /two /\n"
    )
    return folder


def check_layout(root: Path) -> None:
    """Every blob that the index reaches is there, and is what its name says."""
    store = LocalStore(root)
    for digest in reachable(store, OCIIndex(root).manifests()):
        assert f"sha256:{hashlib.sha256(store.path(digest).read_bytes()).hexdigest()}" == digest


@pytest.mark.parametrize("reset", [False, True])
async def test_writers_side_by_side(
    buildkit: AsyncClient, buildkitd_options: BuildkitdOptions, tmp_path: Path, reset: bool
) -> None:
    """X13, X14: each finds its own again, though all wrote the same index, and cleaned up."""
    cache = tmp_path / "cache"

    async def build(number: int) -> None:
        context = project(tmp_path / str(number), f"{tmp_path.name}-{number}")
        to = LocalCache(cache, tag=f"t{number}", mode="max", reset=reset)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await buildkit.build(context, cache_to=to)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for number in range(WRITERS):
                tasks.start_soon(build, number)
    tags = [
        m.annotations["org.opencontainers.image.ref.name"] for m in await run_sync(OCIIndex(cache).manifests)
    ]
    assert sorted(tags) == [f"t{number}" for number in range(WRITERS)]
    await run_sync(check_layout, cache)
    async with fresh_daemon(buildkitd_options) as (new, _):
        for number in range(WRITERS):
            steps = await steps_of(
                new, tmp_path / str(number), cache_from=LocalCache(cache, tag=f"t{number}")
            )
            assert all(steps.values()), steps


async def test_a_reader_beside_writers(
    buildkit: AsyncClient, buildkitd_options: BuildkitdOptions, tmp_path: Path
) -> None:
    """Whoever imports while others export and clean has the cache of before, or of after, and no error."""
    cache = tmp_path / "cache"
    context = project(tmp_path / "read", tmp_path.name)
    await buildkit.build(context, cache_to=LocalCache(cache, mode="max"))

    async def write(number: int) -> None:
        other = project(tmp_path / str(number), f"{tmp_path.name}-{number}")
        await buildkit.build(other, cache_to=LocalCache(cache, tag="other", mode="max", reset=True))

    async with fresh_daemon(buildkitd_options) as (new, _), anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(write, number)
        for _ in range(3):
            assert all((await steps_of(new, context, cache_from=LocalCache(cache))).values())
            await new.prune(all=True)


async def test_a_build_that_fails_leaves_the_cache_as_it_was(buildkit: AsyncClient, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    context = project(tmp_path / "context", tmp_path.name)
    await buildkit.build(context, cache_to=LocalCache(cache, mode="max"))
    before = (cache / "index.json").read_bytes()
    (context / "Dockerfile").write_text("FROM busybox\nRUN false\n")
    with pytest.raises(BuildError):
        await buildkit.build(context, cache_to=LocalCache(cache, mode="max", reset=True))
    assert (cache / "index.json").read_bytes() == before
    await run_sync(check_layout, cache)


async def test_a_place_where_no_directory_can_be(buildkit: AsyncClient, tmp_path: Path) -> None:
    """Found before anything is built."""
    (tmp_path / "file").write_text("")
    context = project(tmp_path / "context", tmp_path.name)
    with pytest.raises(ConfigError, match="file"):
        await buildkit.build(context, cache_to=LocalCache(tmp_path / "file" / "cache"))


async def test_a_cache_that_was_cut_short(
    buildkit: AsyncClient, buildkitd_options: BuildkitdOptions, tmp_path: Path
) -> None:
    """A blob that is gone costs its step, and does not fail the build; a broken index is told."""
    cache = tmp_path / "cache"
    context = project(tmp_path / "context", tmp_path.name)
    await buildkit.build(context, cache_to=LocalCache(cache, mode="max"))
    blobs = sorted((cache / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    os.unlink(blobs[-1])
    async with fresh_daemon(buildkitd_options) as (new, _):
        await new.build(context, cache_from=LocalCache(cache))
    (cache / "index.json").write_text("{")
    with pytest.warns(Warning, match=r"left out: .*index\.json"):
        await buildkit.build(context, cache_from=LocalCache(cache))
