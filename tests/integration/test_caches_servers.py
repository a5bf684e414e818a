"""Caches on real servers: exported by one daemon, imported by another that has nothing, every step from the cache."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Generator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient
from pybuildkit.caches import (
    AzureBlobCache,
    Cache,
    CacheInactiveWarning,
    GHACache,
    InlineCache,
    LocalCache,
    RegistryCache,
    S3Cache,
)
from pybuildkit.errors import BuildError, ConfigError
from pybuildkit.outputs import Image, Local
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdOptions
from tests.conftest import find_tool
from tests.support.cacheservers import S3, Azurite, serve_azurite, serve_s3
from tests.support.daemons import fresh_daemon, steps_of
from tests.support.ghacache import GitHubCache, serve_github_cache
from tests.unit.docs.test_caches_page import examples

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

DOCKERFILE = """\
FROM busybox AS work
COPY input /input
RUN head -c 3000000 /dev/urandom > /two && cat /input > /one
FROM scratch
COPY --from=work /one /two /
"""


@pytest.fixture
async def old(buildkitd_options: BuildkitdOptions) -> AsyncGenerator[AsyncClient]:
    """The daemon that exports."""
    async with fresh_daemon(buildkitd_options) as (client, _):
        yield client


@pytest.fixture
async def new(buildkitd_options: BuildkitdOptions) -> AsyncGenerator[AsyncClient]:
    """The daemon that imports."""
    async with fresh_daemon(buildkitd_options) as (client, _):
        yield client


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "input").write_text(tmp_path.name)
    return folder


@pytest.fixture(scope="module")
def s3() -> Generator[S3]:
    with serve_s3() as server:
        yield server


@pytest.fixture(scope="module")
def azurite() -> Generator[Azurite]:
    binary = find_tool("azurite-blob")
    if binary is None:
        pytest.skip("Azurite is not there; run 'make tools'")
    with serve_azurite(binary) as server:
        yield server


@pytest.fixture
def github() -> Generator[GitHubCache]:
    with serve_github_cache() as server:
        yield server


async def goes_over(
    old: AsyncClient, new: AsyncClient, context: Path, cache: Cache | str, **more: Any
) -> None:
    """Export by the one, import by the other: the same steps, all CACHED, and the same files."""
    target = context.parent
    before = await steps_of(old, context, cache_to=cache, outputs=Local(target / "a"))
    assert before
    assert not any(before.values())
    after = await steps_of(new, context, cache_from=cache, outputs=Local(target / "b"), **more)
    assert after == dict.fromkeys(before, True)
    for name in ("one", "two"):
        assert (target / "a" / name).read_bytes() == (target / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"image_manifest": True, "oci_mediatypes": True},
        {"compression": "zstd", "compression_level": 1, "force_compression": True},
    ],
)
async def test_registry(
    old: AsyncClient, new: AsyncClient, context: Path, registry: Registry, options: dict[str, Any]
) -> None:
    """V34."""
    ref = f"{registry.host}/cache/{context.parent.name.replace('_', '-')}:x"
    await goes_over(old, new, context, RegistryCache(ref, mode="max", insecure=True, **options))


async def test_a_registry_that_wants_manifests(old: AsyncClient, context: Path, registry: Registry) -> None:
    """A cache as an index of layers is older, and refused by some registries; the error says what to change."""
    cache = RegistryCache(f"{registry.host}/cache/index:x", insecure=True, image_manifest=False)
    with pytest.raises(BuildError, match="image_manifest") as caught:
        await old.build(context, cache_to=cache)
    assert "image_manifest" in caught.value.remedy


async def test_registry_in_buildctls_words(
    old: AsyncClient, new: AsyncClient, context: Path, registry: Registry
) -> None:
    """B25."""
    ref = f"{registry.host}/cache/words:x"
    await goes_over(old, new, context, f"type=registry,ref={ref},mode=max,registry.insecure=true")


async def test_directory(old: AsyncClient, new: AsyncClient, context: Path) -> None:
    """V32, V33."""
    await goes_over(old, new, context, LocalCache(context.parent / "cache", mode="max", tag="main"))


@pytest.mark.parametrize("mode", ["min", "max"])
async def test_s3(
    old: AsyncClient, new: AsyncClient, context: Path, s3: S3, mode: Literal["min", "max"]
) -> None:
    """V37. What the result does not contain is only in a cache of mode ``max``."""
    cache = S3Cache(
        bucket=s3.bucket,
        region="us-east-1",
        name=f"app-{mode}",
        prefix=f"{mode}/",
        endpoint_url=s3.url,
        use_path_style=True,
        access_key_id=s3.key_id,
        secret_access_key=s3.secret,
        mode=mode,
        upload_parallelism=2,
    )
    if mode == "max":
        await goes_over(old, new, context, cache)
    else:
        await steps_of(old, context, cache_to=cache)
        # The result's own step is there, so that the ones before it need not run.
        assert all((await steps_of(new, context, cache_from=cache)).values())
    assert f"{mode}/manifests/app-{mode}" in s3.objects()


async def test_s3_by_the_environment(
    old: AsyncClient,
    new: AsyncClient,
    context: Path,
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The default chain: variables, and a profile in the shared files."""
    (tmp_path / "credentials").write_text(
        f"[ci]\naws_access_key_id = {s3.key_id}\naws_secret_access_key = {s3.secret}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "ci")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    cache = S3Cache(bucket=s3.bucket, name="env", use_path_style=True, mode="max")
    assert (await run_sync(cache.import_attrs))["secret_access_key"] == s3.secret
    await goes_over(old, new, context, cache)


async def test_azure(old: AsyncClient, new: AsyncClient, context: Path, azurite: Azurite) -> None:
    """V38."""
    cache = AzureBlobCache(
        account_url=azurite.url,
        account_name=azurite.account,
        secret_access_key=azurite.key,
        container="caches",
        name="app",
        mode="max",
    )
    await goes_over(old, new, context, cache)


@pytest.mark.parametrize("version", [1, 2])
async def test_github(
    old: AsyncClient,
    new: AsyncClient,
    context: Path,
    github: GitHubCache,
    version: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """V36, by the variables that a workflow has."""
    for name, value in (github.environ if version == 1 else github.environ_v2).items():
        monkeypatch.setenv(name, value)
    await goes_over(old, new, context, GHACache(scope="app", mode="max"))
    protocol = "/_apis/" if version == 1 else "/twirp/"
    assert all(protocol in call for call in github.calls if "/blob/" not in call)
    assert any(entry.key.startswith("index-app-1-") for entry in github.entries)


async def test_github_by_arguments(
    old: AsyncClient, new: AsyncClient, context: Path, github: GitHubCache
) -> None:
    """Both versions read what the other has written."""
    export = GHACache(url=github.url, token=github.token, version=1, mode="max", timeout="1m")
    await steps_of(old, context, cache_to=export)
    imported = GHACache(url_v2=github.url, token=github.token, version=2)
    assert all((await steps_of(new, context, cache_from=imported)).values())


async def test_github_where_there_is_none(old: AsyncClient, context: Path) -> None:
    """A workflow's variables are missing: an error, or a warning where that is wanted, and never silence."""
    with pytest.raises(ConfigError, match="ACTIONS_RUNTIME_TOKEN"):
        await old.build(context, cache_to=GHACache())
    with pytest.warns(CacheInactiveWarning, match="ACTIONS_RUNTIME_TOKEN"):
        await old.build(context, cache_from=GHACache(required=False))


async def test_inline(old: AsyncClient, new: AsyncClient, context: Path, registry: Registry) -> None:
    """V35: the cache is in the image, and the image's name imports it."""
    name = f"{registry.host}/inline/app:1"
    image = Image(name, push=True, insecure=True)
    before = await steps_of(old, context, outputs=image, cache_to=InlineCache())
    assert not any(before.values())
    after = await steps_of(new, context, cache_from=RegistryCache(name, insecure=True))
    assert after
    assert all(after.values())


async def test_several_at_once(
    old: AsyncClient, new: AsyncClient, context: Path, registry: Registry, s3: S3, github: GitHubCache
) -> None:
    """V31: exported to all of them; imports that have nothing do no harm."""
    ref = f"{registry.host}/several/cache:x"
    hub = GHACache(url=github.url, token=github.token, scope="several")
    bucket = S3Cache(
        bucket=s3.bucket,
        region="us-east-1",
        name="several",
        endpoint_url=s3.url,
        use_path_style=True,
        access_key_id=s3.key_id,
        secret_access_key=s3.secret,
    )
    directory = LocalCache(context.parent / "cache")
    caches: list[Cache | str] = [RegistryCache(ref, insecure=True), hub, bucket, directory, "type=inline"]
    await steps_of(
        old,
        context,
        cache_to=caches,
        outputs=Image(f"{registry.host}/several/app:1", push=True, insecure=True),
    )
    assert "manifests/several" in s3.objects()
    assert any("index-several-" in entry.key for entry in github.entries)
    empty = RegistryCache(f"{registry.host}/several/none:x", insecure=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = await steps_of(new, context, cache_from=[empty, directory, hub])
    assert all(after.values())


async def test_an_export_that_fails(old: AsyncClient, context: Path) -> None:
    """V31: with ``ignore_error`` it does not fail the build; else the error names the registry."""
    nobody = "127.0.0.1:9/none/cache:x"
    with pytest.raises(BuildError, match=r"127\.0\.0\.1:9.*connection refused"):
        await old.build(context, cache_to=RegistryCache(nobody, insecure=True))
    await old.build(
        context,
        cache_to=RegistryCache(nobody, insecure=True, ignore_error=True),
        outputs=Local(context.parent / "out"),
    )
    assert (context.parent / "out" / "one").exists()


async def test_the_same_export_twice(old: AsyncClient, context: Path) -> None:
    """C20, found before anything is sent."""
    cache = RegistryCache("127.0.0.1:9/none/cache:x")
    with pytest.raises(ConfigError, match="exported to twice"):
        await old.build(context, cache_to=[cache, cache])


async def test_the_pages_examples(
    buildkit: AsyncClient, context: Path, registry: Registry, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``docs/caches.md``."""
    page = examples()
    await page["with_registry"](buildkit, context, f"{registry.host}/page/cache:x")
    several = (buildkit, context, f"{registry.host}/page/app:1", str(context.parent / "cache"))
    with pytest.warns(CacheInactiveWarning, match="left out"):
        await page["with_several"](*several)
    await page["with_several"](*several)
    environ = {"ACCESS_KEY_ID": s3.key_id, "SECRET_ACCESS_KEY": s3.secret, "ENDPOINT_URL_S3": s3.url}
    for name, value in environ.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    # Such an endpoint has no host name for each bucket.
    monkeypatch.setitem(page, "S3Cache", partial(page["S3Cache"], use_path_style=True))
    await page["with_bucket"](buildkit, context, s3.bucket, "feature")
    assert {"manifests/feature", "manifests/main"} <= set(s3.objects())
