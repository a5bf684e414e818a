"""T20: what the daemon keeps of a build whose contexts are behind URLs with credentials. Nothing of these."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from anyio import run_process
from anyio.to_thread import run_sync

from pybuildkit import AsyncClient
from pybuildkit.daemon import Buildkitd
from pybuildkit.errors import BuildError, ConfigError
from pybuildkit.outputs import Local
from pybuildkit.testing.service import BuildkitdOptions
from tests.support.daemons import fresh_daemon
from tests.support.history import on_disk, recorded
from tests.support.servers import Files, make_repository, serve_files, serve_git_over_http

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PASSWORD = "hunter2/hunter2"
IN_URL = "hunter2%2Fhunter2"
BASIC = "dXNlcjpodW50ZXIyL2h1bnRlcjI="
SECRETS = ("hunter2", BASIC, BASIC.rstrip("="))


@pytest.fixture
async def daemon(
    buildkitd_options: BuildkitdOptions, tmp_path: Path
) -> AsyncGenerator[tuple[AsyncClient, Buildkitd]]:
    async with fresh_daemon(buildkitd_options, root=tmp_path / "root") as both:
        yield both


@pytest.fixture
def repository(tmp_path: Path) -> Generator[str]:
    """A host with ``app.git``."""
    files = {"Dockerfile": "FROM scratch\nCOPY a /\nCOPY --from=lib context /b\n", "a": "from git"}
    make_repository(tmp_path / "git" / "app.git", files)
    with serve_git_over_http(tmp_path / "git", f"user:{PASSWORD}") as host:
        yield host


@pytest.fixture
def files() -> Generator[Files]:
    """A server with a file, and with an archive to build."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as tar:
        for name, data in (("b", b"from an archive"), ("Dockerfile", b"FROM scratch\nCOPY b /\n")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    contents = {"/app.tar.gz": held.getvalue(), "/b": b"from http"}
    with serve_files(contents, token=f"Basic {BASIC}") as served:
        yield served


async def test_git_and_http_contexts(
    daemon: tuple[AsyncClient, Buildkitd], repository: str, files: Files, tmp_path: Path
) -> None:
    client, buildkitd = daemon
    app = f"http://user:{IN_URL}@{repository}/app.git#main"
    lib = files.url.replace("://", f"://user:{IN_URL}@") + "/b"
    result = await client.build(app, contexts={"lib": lib}, outputs=Local(tmp_path / "out"), provenance=True)
    out = {path.name: path.read_text() for path in (tmp_path / "out").rglob("*") if path.name in "ab"}
    assert out == {"a": "from git", "b": "from http"}
    history = await recorded(client, result.ref)
    assert f"http://{repository}/app.git#main".encode() in history
    assert [secret for secret in SECRETS if secret.encode() in history] == []
    assert await run_sync(on_disk, tmp_path / "root", SECRETS) == []
    assert "hunter2" not in buildkitd.log


async def test_the_command_line(
    daemon: tuple[AsyncClient, Buildkitd], repository: str, files: Files, tmp_path: Path
) -> None:
    """``build``, and ``solve`` with a frontend's own words, show and record none either."""
    client, buildkitd = daemon
    url = files.url.replace("://", f"://user:{IN_URL}@") + "/app.tar.gz"
    for words in (["build", url], ["solve", "--frontend=dockerfile.v0", f"--opt=context={url}"]):
        command = [sys.executable, "-m", "pybuildkit", "--addr", buildkitd.address, *words]
        done = await run_process(
            [*command, "--progress=plain", "--output", f"type=local,dest={tmp_path}/out"], check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"hunter2" not in done.stdout + done.stderr
    assert (tmp_path / "out" / "b").read_text() == "from an archive"
    records = await client.history.list()
    assert len(records) == 2
    for record in records:
        assert b"hunter2" not in await recorded(client, record.ref)
    assert await run_sync(on_disk, tmp_path / "root", SECRETS) == []


async def test_wrong_credentials(daemon: tuple[AsyncClient, Buildkitd], repository: str) -> None:
    """The daemon's error has none to show."""
    with pytest.raises(BuildError) as caught:
        await daemon[0].build(f"http://user:hunter3@{repository}/app.git")
    assert "hunter3" not in str(caught.value)
    with pytest.raises(ConfigError, match="others already") as refused:
        await daemon[0].build(
            f"http://user:hunter3@{repository}/app.git",
            secrets={f"GIT_AUTH_HEADER.{repository}": b"Basic x"},
        )
    assert "hunter3" not in str(refused.value)
