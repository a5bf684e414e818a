"""Solves on a real daemon: frontends and graphs, outputs, secrets, events, cancellation."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.errors import (
    BuildCancelled,
    BuildError,
    ConfigError,
    EntitlementError,
    ExecError,
    FrontendError,
    LocalNotFound,
    SecretNotFound,
)
from pybuildkit.events import Log, VertexCompleted, VertexStarted
from pybuildkit.outputs import OCI, Docker, Image, Local, Tar
from pybuildkit.testing.service import BuildkitdService

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


def project(folder: Path, dockerfile: str, **files: str) -> dict[str, str]:
    """A Dockerfile directory; the locals of a frontend build of it."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        (folder / name).write_text(content)
    return {"context": str(folder), "dockerfile": str(folder)}


HELLO = "FROM busybox AS work\nRUN echo hello > /greeting\nFROM scratch\nCOPY --from=work /greeting /\n"


async def test_frontend_to_files(buildkit: AsyncClient, tmp_path: Path) -> None:
    locals_ = project(tmp_path / "ctx", HELLO)
    result = await buildkit.solve(frontend="dockerfile.v0", locals=locals_, outputs=Local(tmp_path / "out"))
    assert (tmp_path / "out" / "greeting").read_text() == "hello\n"
    assert result.digest is None
    assert len(result.ref) == 25


async def test_several_outputs_of_one_solve(buildkit: AsyncClient, tmp_path: Path) -> None:
    """C25, S66: each exporter's bytes find their own destination."""
    locals_ = project(tmp_path / "ctx", HELLO)
    held = io.BytesIO()
    result = await buildkit.solve(
        frontend="dockerfile.v0",
        locals=locals_,
        outputs=[
            Local(tmp_path / "out"),
            Tar(tmp_path / "files.tar"),
            OCI(tmp_path / "oci.tar"),
            Docker(held, names=("example.test/hello:1",)),
        ],
    )
    assert (tmp_path / "out" / "greeting").read_text() == "hello\n"
    with tarfile.open(tmp_path / "files.tar") as tar:
        assert tar.getnames() == ["greeting"]
    with tarfile.open(tmp_path / "oci.tar") as tar:
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
    assert result.descriptor is not None
    assert index["manifests"][0]["digest"].startswith("sha256:")
    held.seek(0)
    with tarfile.open(fileobj=held) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert manifest[0]["RepoTags"] == ["example.test/hello:1"]
    assert result.image_names == ("example.test/hello:1",)
    assert result.config_digest is not None


async def test_push_to_a_registry(buildkit: AsyncClient, buildkitd: BuildkitdService, tmp_path: Path) -> None:
    assert buildkitd.registry is not None
    name = f"{buildkitd.registry.host}/pushed/hello:1"
    result = await buildkit.solve(
        frontend="dockerfile.v0",
        locals=project(tmp_path / "ctx", HELLO),
        outputs=Image(name, push=True, insecure=True),
    )
    assert result.digest is not None
    again = await buildkit.solve(
        frontend="dockerfile.v0",
        locals=project(tmp_path / "two", f"FROM {name}\n"),
        outputs=Local(tmp_path / "out"),
    )
    assert again.digest is None
    assert (tmp_path / "out" / "greeting").read_text() == "hello\n"


async def test_secrets_of_every_kind(
    buildkit: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_FOR_TEST", "from env")
    (tmp_path / "file").write_text("from file")

    async def fetch() -> bytes:
        await anyio.lowlevel.checkpoint()
        return b"from call"

    from pybuildkit.secrets import Secret

    ids = ("a", "b", "c", "d")
    mounts = " ".join(f"--mount=type=secret,id={i}" for i in ids)
    text = "FROM busybox AS work\nRUN " + mounts + " cat " + " ".join(f"/run/secrets/{i}" for i in ids)
    text += " > /out\nFROM scratch\nCOPY --from=work /out /\n"
    await buildkit.solve(
        frontend="dockerfile.v0",
        locals=project(tmp_path / "ctx", text),
        secrets={"a": b"from bytes", "b": tmp_path / "file", "c": Secret.env("TOKEN_FOR_TEST"), "d": fetch},
        outputs=Local(tmp_path / "out"),
    )
    assert (tmp_path / "out" / "out").read_text() == "from bytesfrom filefrom envfrom call"


async def test_events(buildkit: AsyncClient, tmp_path: Path) -> None:
    locals_ = project(tmp_path / "ctx", f"FROM busybox\nRUN echo {tmp_path.name} && echo two >&2\n")
    async with buildkit.stream(frontend="dockerfile.v0", locals=locals_) as build:
        events = [event async for event in build]
        await build.result()
    assert any(isinstance(event, VertexStarted) and "RUN echo" in event.name for event in events)
    ended = [event for event in events if isinstance(event, VertexCompleted) and "RUN echo" in event.name]
    assert ended[-1].duration > 0
    assert not ended[-1].error
    logs = {(event.stream, event.data.strip()) for event in events if isinstance(event, Log)}
    assert {(1, tmp_path.name.encode()), (2, b"two")} <= logs


async def test_a_definition_from_bytes(buildkit: AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "ctx").mkdir()
    (tmp_path / "ctx" / "file").write_text("content")
    encoded = await anyio.to_thread.run_sync(_copying)
    await buildkit.solve(encoded, locals={"src": tmp_path / "ctx"}, outputs=Local(tmp_path / "out"))
    assert (tmp_path / "out" / "copied").read_text() == "content"
    with pytest.raises(LocalNotFound, match="'src'"):
        await buildkit.solve(encoded)


def _copying() -> bytes:
    return llb.scratch().copy(llb.local(name="src"), "/file", "/copied").marshal().to_bytes()


async def test_no_cache_runs_steps_again(buildkit: AsyncClient, tmp_path: Path) -> None:
    locals_ = project(tmp_path / "ctx", f"FROM busybox\nRUN echo {tmp_path} > /x\n")

    async def cached(**options: object) -> bool:
        async with buildkit.stream(frontend="dockerfile.v0", locals=locals_, **options) as build:  # type: ignore[arg-type]
            ends = [e async for e in build if isinstance(e, VertexCompleted) and "RUN" in e.name]
            await build.result()
        return ends[-1].cached

    assert not await cached()
    assert await cached()
    assert not await cached(no_cache=True)


async def test_cancel_stops_the_step_in_the_daemon(buildkit: AsyncClient, tmp_path: Path) -> None:
    """R15: the process of the step is gone soon after."""
    mark = f"{len(str(tmp_path))}7654321"
    locals_ = project(tmp_path / "ctx", f"FROM busybox\nRUN sleep {mark}\n")
    with anyio.fail_after(20):
        async with buildkit.stream(frontend="dockerfile.v0", locals=locals_) as build:
            async for event in build:
                if isinstance(event, VertexStarted) and "sleep" in event.name:
                    await anyio.sleep(0.3)
                    build.cancel()
            with pytest.raises(BuildCancelled):
                await build.result()
        while await anyio.to_thread.run_sync(_running, mark):  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.05)


def _running(mark: str) -> bool:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"sleep\0" + mark.encode() in line:
                return True
    return False


async def test_a_failed_run(buildkit: AsyncClient, tmp_path: Path) -> None:
    """W6: argv, exit code, log tail and the Dockerfile's lines."""
    text = "FROM busybox\nRUN echo why it failed && exit 7\n"
    with pytest.raises(ExecError) as caught:
        await buildkit.solve(frontend="dockerfile.v0", locals=project(tmp_path / "ctx", text))
    error = caught.value
    assert error.exit_code == 7
    assert error.argv == ("/bin/sh", "-c", "echo why it failed && exit 7")
    assert error.log.endswith("why it failed")
    assert "RUN echo why" in error.vertex
    assert error.source is not None
    assert (error.source.filename, error.source.line) == ("Dockerfile", 2)
    assert ">>> RUN echo why it failed" in str(error)
    assert error.ref


async def test_failures_say_what_to_do(buildkit: AsyncClient, tmp_path: Path) -> None:
    async def failing(text: str, kind: type[BuildError], **options: object) -> BuildError:
        with pytest.raises(kind) as caught:
            await buildkit.solve(frontend="dockerfile.v0", locals=project(tmp_path / "ctx", text), **options)  # type: ignore[arg-type]
        return caught.value

    secret = await failing("FROM busybox\nRUN --mount=type=secret,id=tok,required cat /x\n", SecretNotFound)
    assert isinstance(secret, SecretNotFound)
    assert secret.id == "tok"
    assert "secrets=" in str(secret)

    refused = await failing("FROM busybox\nRUN --security=insecure true\n", EntitlementError)
    assert "entitlements=" in str(refused)

    unknown = await failing(HELLO, FrontendError, attrs={"target": "nope"})
    assert "nope" in str(unknown)

    parse = await failing("FROM busybox\nRUNN x\n", FrontendError)
    assert parse.source is not None
    assert parse.source.line == 2

    with pytest.raises(LocalNotFound) as caught:
        await buildkit.solve(frontend="dockerfile.v0", locals={"context": tmp_path})
    assert caught.value.name == "dockerfile"


async def test_nothing_is_sent_for_arguments_that_can_not_work(buildkit: AsyncClient, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or directory"):
        await buildkit.solve(frontend="dockerfile.v0", locals={"context": tmp_path / "none"})
    with pytest.raises(ConfigError, match="nothing to build"):
        await buildkit.solve()
    with pytest.raises(ConfigError, match="progress"):
        async with buildkit.stream(frontend="dockerfile.v0", progress="plain"):
            pass
    with pytest.raises(TypeError, match="outptus"):
        await buildkit.solve(frontend="dockerfile.v0", outptus="type=local,dest=x")  # type: ignore[call-arg]


async def test_entitlements_that_are_granted(buildkit: AsyncClient, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN --security=insecure true\n"
    await buildkit.solve(
        frontend="dockerfile.v0",
        locals=project(tmp_path / "ctx", text),
        entitlements=["security.insecure"],
    )


async def test_many_builds_at_once(buildkit: AsyncClient, tmp_path: Path) -> None:
    async def one(number: int) -> None:
        locals_ = project(
            tmp_path / f"c{number}", f"FROM scratch\nCOPY file /\n# {number}\n", file=f"{number}"
        )
        out = tmp_path / f"o{number}"
        await buildkit.solve(frontend="dockerfile.v0", locals=locals_, outputs=Local(out))
        assert (out / "file").read_text() == str(number)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(one, number)


def test_the_blocking_client(buildkit_client: Client, tmp_path: Path) -> None:
    locals_ = project(tmp_path / "ctx", HELLO)
    assert buildkit_client.info().version.startswith("v")
    assert buildkit_client.workers()[0].platforms
    with buildkit_client.stream(
        frontend="dockerfile.v0", locals=locals_, outputs=Local(tmp_path / "out")
    ) as build:
        names = [event.name for event in build if isinstance(event, VertexCompleted)]
        build.result()
    assert any("COPY" in name for name in names)
    assert (tmp_path / "out" / "greeting").read_text() == "hello\n"
    with pytest.raises(ExecError):
        buildkit_client.solve(
            frontend="dockerfile.v0", locals=project(tmp_path / "bad", "FROM busybox\nRUN false\n")
        )
