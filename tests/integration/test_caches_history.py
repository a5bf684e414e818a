"""T20: what the daemon keeps of a build with caches. No credential is in its history, in its folder, or in its log."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Generator, Iterable
from pathlib import Path
from typing import Any

import pytest
from anyio import run_process
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient, llb, plan
from pybuildkit.caches import AzureBlobCache, Cache, GHACache, S3Cache
from pybuildkit.daemon import Buildkitd
from pybuildkit.errors import ExecError, FrontendError
from pybuildkit.events import VertexCompleted
from pybuildkit.outputs import OCI
from pybuildkit.testing.service import BuildkitdOptions
from tests.conftest import find_tool
from tests.support.cacheservers import S3, Azurite, serve_azurite, serve_s3
from tests.support.daemons import fresh_daemon, steps_of
from tests.support.ghacache import GitHubCache, serve_github_cache
from tests.support.history import on_disk, recorded

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture(scope="module")
def s3() -> Generator[S3]:
    with serve_s3() as server:
        yield server


@pytest.fixture(scope="module")
def azurite() -> Generator[Azurite]:
    binary = find_tool("azurite-blob")
    if binary is None:
        pytest.skip("Azurite is not there; run 'make test'")
    with serve_azurite(binary) as server:
        yield server


@pytest.fixture(scope="module")
def github() -> Generator[GitHubCache]:
    with serve_github_cache() as server:
        yield server


@pytest.fixture
def caches(s3: S3, azurite: Azurite, github: GitHubCache) -> list[Cache]:
    """One of each kind that takes credentials."""
    return [
        S3Cache(
            bucket=s3.bucket,
            region="us-east-1",
            endpoint_url=s3.url,
            use_path_style=True,
            access_key_id=s3.key_id,
            secret_access_key=s3.secret,
            session_token=f"session-{s3.secret}",
            mode="max",
        ),
        AzureBlobCache(
            account_url=azurite.url,
            account_name=azurite.account,
            secret_access_key=azurite.key,
            mode="max",
        ),
        GHACache(url=github.url, token=github.token, version=1, scope="v1", mode="max"),
        GHACache(url_v2=github.url, token=github.token, version=2, scope="v2", mode="max"),
    ]


@pytest.fixture
def credentials(s3: S3, azurite: Azurite, github: GitHubCache) -> list[str]:
    return [s3.secret, azurite.key, github.token, github.token.rpartition(".")[2]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
async def daemon(
    buildkitd_options: BuildkitdOptions, root: Path
) -> AsyncGenerator[tuple[AsyncClient, Buildkitd]]:
    async with fresh_daemon(buildkitd_options, root=root) as both:
        yield both


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM busybox\nRUN echo {tmp_path.name} > /x\n")
    return folder


def found_in(data: bytes, credentials: Iterable[str]) -> list[str]:
    return [secret for secret in credentials if secret.encode() in data]


async def test_a_dockerfile(
    daemon: tuple[AsyncClient, Buildkitd],
    context: Path,
    root: Path,
    caches: list[Cache],
    credentials: list[str],
) -> None:
    """Imports and exports of all kinds, and the record is as full as ever."""
    client, buildkitd = daemon
    await client.build(context, cache_to=caches)
    await client.prune(all=True)
    async with client.stream(
        context,
        cache_from=caches,
        build_args={"SHOWN": "yes"},
        outputs=OCI(context.parent / "image.tar", names=("example.test/a:1",)),
        provenance="mode=max",
    ) as build:
        cached = {e.name async for e in build if isinstance(e, VertexCompleted) and e.cached}
        result = await build.result()
    assert any("RUN" in name for name in cached)
    record = await client.history.get(result.ref)
    assert record.frontend_attrs["build-arg:SHOWN"] == "yes"
    assert record.exporters[0].type == "oci"
    assert "cache-imports" not in record.frontend_attrs
    assert found_in(await recorded(client, result.ref), credentials) == []
    assert found_in((context.parent / "image.tar").read_bytes(), credentials) == []
    assert found_in(buildkitd.log.encode(), credentials) == []
    await buildkitd.astop()
    assert await run_sync(on_disk, root, [result.ref]), "the test looks where records are"
    assert await run_sync(on_disk, root, credentials) == []


async def test_what_would_be_kept(
    daemon: tuple[AsyncClient, Buildkitd],
    context: Path,
    root: Path,
    caches: list[Cache],
    credentials: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The daemon keeps what the solve itself is told: without our way round it, these tests do find it."""
    monkeypatch.setattr(plan, "_hidden_attrs", lambda *_: frozenset())
    client, buildkitd = daemon
    result = await client.build(context, cache_from=caches)
    assert found_in(await recorded(client, result.ref), credentials) == credentials
    await buildkitd.astop()
    assert await run_sync(on_disk, root, credentials)


async def test_exports_alone(
    daemon: tuple[AsyncClient, Buildkitd], context: Path, caches: list[Cache], credentials: list[str]
) -> None:
    """The daemon keeps nothing of caches that are exported to."""
    client, _ = daemon
    result = await client.build(context, cache_to=caches)
    assert found_in(await recorded(client, result.ref), credentials) == []


async def test_a_graph(
    daemon: tuple[AsyncClient, Buildkitd],
    context: Path,
    root: Path,
    caches: list[Cache],
    credentials: list[str],
) -> None:
    """A graph has no frontend that would have to be told."""
    client, buildkitd = daemon
    state = llb.image("busybox").run(f"echo {context.parent.name} > /graph")
    result = await client.solve(state, cache_from=caches, cache_to=caches)
    assert found_in(await recorded(client, result.ref), credentials) == []
    await buildkitd.astop()
    assert await run_sync(on_disk, root, credentials) == []


async def test_a_gateway_build(
    daemon: tuple[AsyncClient, Buildkitd], context: Path, caches: list[Cache], credentials: list[str]
) -> None:
    client, _ = daemon
    state = llb.image("busybox").run(f"echo {context.parent.name} > /gateway")
    async with client.gateway(cache_from=caches) as gateway:
        await gateway.finish(await gateway.solve(state))
        ref = gateway.ref
    assert found_in(await recorded(client, ref), credentials) == []


async def test_a_frontends_own_attribute(
    daemon: tuple[AsyncClient, Buildkitd], context: Path, caches: list[Cache], credentials: list[str]
) -> None:
    """V39: who writes the attribute by hand gets the same care."""
    client, _ = daemon
    told = [{"Type": cache.type, "Attrs": cache.import_attrs({})} for cache in caches]
    result = await client.solve(
        frontend="dockerfile.v0",
        attrs={"cache-imports": json.dumps(told)},
        locals={"context": context, "dockerfile": context},
    )
    assert found_in(await recorded(client, result.ref), credentials) == []


async def test_failures_are_as_ever(
    daemon: tuple[AsyncClient, Buildkitd], context: Path, github: GitHubCache, credentials: list[str]
) -> None:
    """Where a step failed, and what a frontend refuses, does not depend on the way; nor has the record less of it."""
    client, _ = daemon
    cache = GHACache(url=github.url, token=github.token)
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo why && exit 7\n")
    refs = []
    for imports in ([], [cache]):
        with pytest.raises(ExecError) as failed:
            await client.build(context, cache_from=imports)
        error = failed.value
        assert (error.exit_code, error.log) == (7, "why")
        assert error.source is not None
        assert error.source.line == 2
        refs.append(error.ref)
    plain, discreet = [await client.history.get(ref) for ref in refs]
    assert plain.error is not None
    assert discreet.error is not None
    assert discreet.error.message == plain.error.message
    assert found_in(await recorded(client, refs[1]), credentials) == []
    with pytest.raises(FrontendError, match="nope"):
        await client.build(context, target="nope", cache_from=cache)
    (context / "Dockerfile").write_text("FRM busybox\n")
    with pytest.raises(FrontendError) as refused:
        await client.build(context, cache_from=cache)
    assert refused.value.source is not None


@pytest.mark.parametrize("options", [{"platforms": ["linux/amd64", "linux/arm64"]}, {"sbom": False}])
async def test_results_are_as_ever(
    daemon: tuple[AsyncClient, Buildkitd], context: Path, github: GitHubCache, options: dict[str, Any]
) -> None:
    """The same image comes out, index and attestations included."""
    client, _ = daemon
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    digests = []
    for number, imports in enumerate(([], [GHACache(url=github.url, token=github.token)])):
        result = await client.build(
            context,
            cache_from=imports,
            build_args={"SOURCE_DATE_EPOCH": "1500000000"},
            outputs=OCI(context.parent / f"{number}.tar", rewrite_timestamp=True),
            **options,
        )
        digests.append(result.digest)
    assert digests[0] == digests[1]


async def test_a_secret_is_fetched_on_this_way_too(
    daemon: tuple[AsyncClient, Buildkitd], context: Path, github: GitHubCache
) -> None:
    client, _ = daemon
    (context / "Dockerfile").write_text(
        "FROM busybox\nRUN --mount=type=secret,id=a test $(cat /run/secrets/a) = b\n"
    )
    steps = await steps_of(
        client, context, secrets={"a": b"b"}, cache_from=GHACache(url=github.url, token=github.token)
    )
    assert len(steps) == 1


@pytest.mark.parametrize("command", ["build", "solve"])
async def test_the_command_line(
    daemon: tuple[AsyncClient, Buildkitd],
    context: Path,
    github: GitHubCache,
    credentials: list[str],
    command: str,
) -> None:
    """Which does not use the client above, where it can do without."""
    client, buildkitd = daemon
    cache = f"type=gha,url={github.url},token={github.token}"
    words = {
        "build": [str(context), "--cache-from", cache],
        "solve": [
            "--frontend=dockerfile.v0",
            f"--local=context={context}",
            f"--local=dockerfile={context}",
            "--import-cache",
            cache,
        ],
    }[command]
    argv = [
        sys.executable,
        "-m",
        "pybuildkit",
        "--addr",
        buildkitd.address,
        command,
        "--progress=plain",
        *words,
    ]
    done = await run_process(argv, check=False)
    assert done.returncode == 0, done.stderr.decode()
    (record,) = await client.history.list()
    assert record.error is None
    assert found_in(await recorded(client, record.ref), credentials) == []
    assert found_in(done.stdout + done.stderr, credentials) == []
