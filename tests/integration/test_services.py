"""What else a session has for a real daemon: uploads, late outputs, checks of sources, and sharing between builds."""

from __future__ import annotations

import io
import json
import tarfile
import urllib.request
import uuid
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.digests import sha256_digest
from pybuildkit.errors import BuildError, ConfigError, PolicyError
from pybuildkit.events import SolveStatus
from pybuildkit.fsutil import Directory, MemoryTree
from pybuildkit.lateoutputs import BuiltResult
from pybuildkit.outputs import OCI, Image, Local, Tar
from pybuildkit.sourcechecks import Allow, AskMore, Convert, Deny, SourceCheck, Verdict
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdService
from pybuildkit.uploads import Uploads
from tests.support.graphs import texts

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


def archive(**files: str) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return held.getvalue()


# --- uploads ------------------------------------------------------------------------------------------------


async def test_a_context_from_a_stream(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S89: an archive that nobody can seek in, as the context; no socket is opened for it."""
    data = archive(Dockerfile="FROM scratch\nCOPY a /\n", a=f"content {uuid.uuid4()}")

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 100):
            yield data[at : at + 100]

    uploads = Uploads()
    await buildkit.build(uploads.add(stream()), uploads=uploads, outputs=Local(tmp_path / "out"))
    assert (tmp_path / "out" / "a").read_text().startswith("content ")
    assert uploads.failed == {}


async def test_an_upload_in_a_graph(buildkit: AsyncClient) -> None:
    """S89."""
    uploads = Uploads()
    content = bytes(range(256)) * 40_000
    url = uploads.add(io.BytesIO(content))
    out = io.BytesIO()
    await buildkit.solve(llb.http(url, filename="file"), uploads=uploads, outputs=Tar(out))
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        file = tar.extractfile("file")
        assert file is not None
        assert file.read() == content


async def test_an_upload_that_can_not_be_read(buildkit: AsyncClient, tmp_path: Path) -> None:
    uploads = Uploads()
    url = uploads.add(tmp_path / "missing")
    with pytest.raises(BuildError, match="the upload can not be read: No such file"):
        await buildkit.build(url, uploads=uploads)
    assert isinstance(uploads.failed[url], FileNotFoundError)


async def test_an_upload_is_not_for_other_builds(buildkit: AsyncClient) -> None:
    uploads = Uploads()
    url = uploads.add(b"x")
    with pytest.raises(BuildError):
        await buildkit.solve(llb.http(url), uploads=Uploads())
    with pytest.raises(ConfigError, match="uploads= can not be bytes"):
        await buildkit.solve(llb.http(url), uploads=b"x")  # type: ignore[arg-type]


# --- late outputs -------------------------------------------------------------------------------------------


async def test_outputs_that_depend_on_the_result(
    buildkit: AsyncClient, registry: Registry, tmp_path: Path
) -> None:
    """S90, S66: they follow the others, wherever they go."""
    seen: list[BuiltResult] = []

    async def choose(result: BuiltResult) -> list[Any]:
        seen.append(result)
        return [
            Local(tmp_path / "late"),
            f"type=tar,dest={tmp_path}/late.tar",
            Image(f"{registry.host}/late:1", push=True),
        ]

    tree = MemoryTree({"Dockerfile": "FROM scratch\nCOPY a /\nLABEL late=yes\n", "a": "x"})
    result = await buildkit.build(tree, outputs=Local(tmp_path / "early"), late_outputs=choose)
    for folder in ("early", "late"):
        assert (tmp_path / folder / "a").read_text() == "x"
    with tarfile.open(tmp_path / "late.tar") as tar:
        assert tar.getnames() == ["a"]
    assert result.digest is not None
    assert result.digest.startswith("sha256:")
    assert b'"late":"yes"' in seen[0].metadata["containerimage.config"]
    assert len(seen[0].refs) == 1


async def test_no_late_outputs_after_all(buildkit: AsyncClient) -> None:
    """S90."""
    await buildkit.solve(llb.image("busybox"), late_outputs=lambda result: None)


@pytest.mark.parametrize(
    ("choose", "text"),
    [
        (lambda result: [][1], "the function that chooses outputs failed: IndexError"),
        (lambda result: "type=local", "the function that chooses outputs failed: .*dest"),
    ],
)
async def test_late_outputs_that_can_not_work(buildkit: AsyncClient, choose: Any, text: str) -> None:
    with pytest.raises(BuildError, match=text):
        await buildkit.solve(llb.image("busybox"), late_outputs=choose)
    with pytest.raises(ConfigError, match="late_outputs= can not be str"):
        await buildkit.solve(llb.image("busybox"), late_outputs="type=local")  # type: ignore[arg-type]


@pytest.mark.parametrize("as_text", [False, True])
async def test_a_layout_that_is_chosen_late(buildkit: AsyncClient, tmp_path: Path, as_text: bool) -> None:
    """S93, S67: its blobs come through the store that the session has offered from the beginning."""
    chosen = f"type=oci,tar=false,dest={tmp_path}/layout" if as_text else OCI(tmp_path / "layout", tar=False)
    tree = MemoryTree({"Dockerfile": "FROM scratch\nCOPY a /\n", "a": "x"})
    result = await buildkit.build(
        tree, tags="late:1", outputs=Local(tmp_path / "early"), late_outputs=lambda result: chosen
    )
    assert result.digest is not None
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    assert [found["digest"] for found in index["manifests"]] == [result.digest]
    blob = tmp_path / "layout" / "blobs" / result.digest.replace(":", "/")
    assert sha256_digest(blob.read_bytes()) == result.digest
    assert (tmp_path / "early" / "a").read_text() == "x"


async def test_outputs_chosen_late_do_not_get_into_each_others_way(
    buildkit: AsyncClient, tmp_path: Path
) -> None:
    """S67: the daemon knows one store to write to; and neither may two write to one directory."""
    early = [OCI(tmp_path / "a", tar=False), Local(tmp_path / "files")]
    chosen = [OCI(tmp_path / "b", tar=False), Local(tmp_path / "files")]
    for text in ("two outputs write", "one OCI directory"):
        with pytest.raises(BuildError, match=f"the function that chooses outputs failed: .*{text}") as caught:
            await buildkit.solve(
                llb.image("busybox"), outputs=early, late_outputs=lambda result: chosen.pop()
            )
        assert isinstance(caught.value.__cause__, ConfigError)


# --- when everything is exported ----------------------------------------------------------------------------


async def test_the_last_word(buildkit: AsyncClient, registry: Registry) -> None:
    """S90: the image is in the registry by then, and the solve has not been answered."""
    name = f"{registry.host}/last/word:1"
    told: list[tuple[dict[str, str], str]] = []

    def pulled() -> str:
        request = urllib.request.Request(f"{registry.url}/v2/last/word/manifests/1", method="HEAD")
        request.add_header("Accept", "application/vnd.oci.image.manifest.v1+json")
        with urllib.request.urlopen(request, timeout=20) as response:
            return str(response.headers["Docker-Content-Digest"])

    async def check(metadata: Mapping[str, str]) -> None:
        told.append((dict(metadata), await anyio.to_thread.run_sync(pulled)))

    tree = MemoryTree({"Dockerfile": f"FROM scratch\nCOPY a /\n# {uuid.uuid4()}\n", "a": "x"})
    result = await buildkit.build(
        tree, late_outputs=lambda result: Image(name, push=True), on_exported=check, cache_to="type=inline"
    )
    ((metadata, digest),) = told
    assert digest == result.digest == metadata["containerimage.digest"]
    assert metadata["image.name"] == name
    assert metadata == result.metadata


@pytest.mark.parametrize("error", [ConfigError("the image is too large"), ValueError("hunter2")])
async def test_what_it_raises_fails_the_build(
    buildkit: AsyncClient, tmp_path: Path, error: Exception
) -> None:
    """S90: results that come to this side are not put in place, and the history has the build as failed."""

    def refuse(metadata: Mapping[str, str]) -> None:
        raise error

    ref = f"refused-{uuid.uuid4()}"
    text = "the image is too large" if isinstance(error, ConfigError) else "ValueError$"
    with pytest.raises(BuildError, match=f"the function for when all is exported failed: {text}") as caught:
        await buildkit.solve(
            llb.image("busybox"), ref=ref, outputs=Tar(tmp_path / "out.tar"), on_exported=refuse
        )
    assert caught.value.__cause__ is error
    assert list(tmp_path.iterdir()) == []
    record = await buildkit.history.get(ref)
    assert record.error is not None
    assert "hunter2" not in repr(record)
    with pytest.raises(ConfigError, match="on_exported= can not be str"):
        await buildkit.solve(llb.image("busybox"), on_exported="x")  # type: ignore[arg-type]


def test_the_last_word_without_an_event_loop(buildkitd: BuildkitdService) -> None:
    """S90: nothing else was asked for; with a plain function, and with the blocking client."""
    told: list[Mapping[str, str]] = []
    with Client(buildkitd.address) as client:
        client.solve(llb.image("busybox"), on_exported=told.append)
    assert told == [{}]


# --- checks of sources --------------------------------------------------------------------------------------


async def test_a_check_denies(buildkit: AsyncClient) -> None:
    """S91, R22: with its reasons."""
    seen: list[SourceCheck] = []

    def check(asked: SourceCheck) -> Verdict:
        seen.append(asked)
        return Allow() if asked.identifier.startswith("local://") else Deny("not this one", "nor any other")

    with pytest.raises(PolicyError) as caught:
        await buildkit.build(MemoryTree({"Dockerfile": "FROM alpine\nRUN true\n"}), source_policy=check)
    assert caught.value.messages == ("not this one", "nor any other")
    assert seen[-1].identifier == "docker-image://docker.io/library/alpine:latest"
    assert seen[-1].platform is not None


async def test_a_check_looks_into_images_and_replaces_them(buildkit: AsyncClient) -> None:
    """S91: more is asked for until it is known; what replaces a source is checked too."""
    asked_for: list[tuple[str, bool]] = []

    async def check(asked: SourceCheck) -> Verdict:
        image = asked.source.image
        asked_for.append((asked.identifier, image is not None))
        if asked.identifier.endswith("/alpine:latest"):
            return Convert("docker-image://docker.io/library/busybox:latest")
        if asked.identifier.startswith("docker-image://") and image is None:
            return AskMore(config=True)
        if image is not None:
            assert image.digest.startswith("sha256:")
            assert image.document()["os"] == "linux"
        return Allow()

    state = llb.image("alpine").run(f"echo {uuid.uuid4()} > /out/x", mounts={"/out": llb.scratch()})["/out"]
    assert set(await texts(buildkit, state, source_policy=check)) == {"x"}
    busybox = "docker-image://docker.io/library/busybox:latest"
    assert {
        ("docker-image://docker.io/library/alpine:latest", False),
        (busybox, False),
        (busybox, True),
    } <= set(asked_for)


async def test_a_check_that_never_has_enough(buildkit: AsyncClient) -> None:
    """S91: the daemon asks ten times."""
    with pytest.raises(BuildError, match="too many policy requests"):
        await buildkit.solve(llb.image("alpine"), source_policy=lambda asked: AskMore(config=True))


async def test_a_check_that_fails(buildkit: AsyncClient) -> None:
    def check(asked: SourceCheck) -> Verdict:
        raise ValueError("hunter2")

    with pytest.raises(BuildError, match="the function that checks sources failed: ValueError") as caught:
        await buildkit.solve(llb.image("alpine"), source_policy=check)
    assert "hunter2" not in str(caught.value)


# --- sessions for several builds ----------------------------------------------------------------------------


class Transfers:
    """The steps that have loaded a context, by their digests."""

    def __init__(self) -> None:
        self.steps: set[str] = set()

    def __call__(self, batch: SolveStatus) -> None:
        self.steps |= {v.digest for v in batch.vertexes if v.name == "[internal] load build context"}


def big_context(folder: Path) -> Path:
    folder.mkdir()
    (folder / "data").write_bytes(uuid.uuid4().bytes * 65536)
    targets = "".join(
        f'FROM busybox AS t{n}\nCOPY data /\nRUN --mount=type=secret,id=s test "$(cat /run/secrets/s)" = v{n}\n'
        for n in range(4)
    )
    (folder / "Dockerfile").write_text(targets)
    return folder


async def test_a_directory_is_sent_once(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S18 to S20: four builds at once read it from one session; each has its own results and secrets all the same."""
    context = big_context(tmp_path / "ctx")
    transfers = Transfers()
    async with buildkit.session(locals={"context": context}, secrets={"s": b"v0"}) as session:
        assert list(session.locals) == ["context"]
        async with anyio.create_task_group() as tasks:
            for n in range(4):
                options: dict[str, Any] = {"secrets": {"s": b"v%d" % n}} if n else {}
                options["outputs"] = Local(tmp_path / f"out{n}")
                tasks.start_soon(
                    partial(
                        buildkit.build,
                        context,
                        target=f"t{n}",
                        session=session,
                        progress=transfers,
                        **options,
                    )
                )
    for n in range(4):
        assert (tmp_path / f"out{n}" / "data").read_bytes() == (context / "data").read_bytes()
    # One transfer for all; of sessions of their own there would be one each, although only one with much in it (T19).
    assert len(transfers.steps) == 1


async def test_a_graph_names_the_session(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S19, S20: and one that does not has the directory from its own session."""
    (tmp_path / "a").write_text("one")
    async with buildkit.session(locals={"src": Directory(tmp_path)}) as session:
        for state in (llb.local(name="src", session=session.id), llb.local(name="src")):
            assert await texts(buildkit, state, session=session) == {"a": "one"}
    with pytest.raises(ConfigError, match="session= can not be str"):
        await buildkit.solve(llb.image("busybox"), session=session.id)  # type: ignore[arg-type]


async def test_another_directory_of_that_name_is_the_builds_own(
    buildkit: AsyncClient, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
        (tmp_path / name / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    async with buildkit.session(locals={"context": tmp_path / "one"}) as session:
        for name in ("one", "two"):
            await buildkit.build(tmp_path / name, session=session, outputs=Local(tmp_path / f"out-{name}"))
            assert (tmp_path / f"out-{name}" / "a").read_text() == name


async def test_a_session_that_has_ended(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S17: the directory is then taken from the build's own session."""
    (tmp_path / "a").write_text("x")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    async with buildkit.session(locals={"context": tmp_path}) as session:
        pass
    await buildkit.build(tmp_path, session=session, outputs=Local(tmp_path / "out"))
    assert (tmp_path / "out" / "a").read_text() == "x"


async def test_what_a_session_does_not_take(buildkit: AsyncClient) -> None:
    with pytest.raises(TypeError, match="no option 'outputs'; it takes auth, locals, secrets, ssh"):
        async with buildkit.session(outputs=[]):  # type: ignore[call-arg]
            pass


def test_the_blocking_client_shares_sessions(buildkitd: BuildkitdService, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    with Client(buildkitd.address) as client, client.session(locals={"context": tmp_path}) as session:
        client.build(tmp_path, session=session, outputs=Local(tmp_path / "out"))
    assert (tmp_path / "out" / "a").read_text() == "x"
