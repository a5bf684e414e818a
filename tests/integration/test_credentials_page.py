"""The examples of ``docs/credentials.md`` and ``docs/sessions.md``, run as they are printed."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import pytest

from pybuildkit import AsyncClient
from pybuildkit.errors import PolicyError
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdService
from tests.conftest import find_tool
from tests.support.sshagents import make_key, running_agent

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """All names that the blocks define."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for name in ("credentials.md", "sessions.md"):
        for block in re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL):
            exec(compile(block, name, "exec"), namespace)
    return namespace


@pytest.fixture
def private() -> Generator[Registry]:
    """A registry that wants a password."""
    binary = find_tool("registry")
    if binary is None:
        pytest.skip("registry is not there; run 'make tools'")
    with Registry(binary, users={"ci": "hunter2"}) as registry:
        yield registry


def context(folder: Path, dockerfile: str) -> str:
    (folder / "Dockerfile").write_text(dockerfile)
    return str(folder)


async def test_pushing(
    page: dict[str, Any], buildkitd: BuildkitdService, private: Registry, tmp_path: Path
) -> None:
    digest = await page["push"](
        buildkitd.address, context(tmp_path, "FROM busybox\n"), private.host, "ci", "hunter2"
    )
    assert digest.startswith("sha256:")


async def test_agents(
    page: dict[str, Any], buildkit: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = context(tmp_path, "FROM busybox\nRUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK\n")
    key = await anyio.to_thread.run_sync(make_key, tmp_path)
    await page["deploy_key"](buildkit, source, key.read_bytes())
    (tmp_path / "agent").mkdir()
    with running_agent(tmp_path / "agent") as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        await page["running_agent"](buildkit, source)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".ssh").mkdir()
        key.rename(tmp_path / ".ssh" / "deploy")
        await page["several"](buildkit, source)


async def test_secrets(
    page: dict[str, Any], buildkit: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "k")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".npmrc").write_text("n")
    step = "test \"$(cat /run/secrets/token /run/secrets/npmrc /run/secrets/fresh)$KEY\" = 'tna valuek'"
    mounts = " ".join(f"--mount=type=secret,id={name}" for name in ("token", "npmrc", "fresh", "key,env=KEY"))
    source = context(tmp_path, f"FROM busybox\nRUN {mounts} {step}\n")
    await page["with_secrets"](buildkit, source, b"t")


async def test_sessions(
    page: dict[str, Any], buildkit: AsyncClient, registry: Registry, tmp_path: Path
) -> None:
    source = context(tmp_path, "FROM busybox AS a\nCOPY . /\nFROM busybox AS b\nCOPY . /\nLABEL version=7\n")
    await page["all_targets"](buildkit, source, ["a", "b"])
    await page["push_by_label"](buildkit, source, registry.host)
    signed: list[str] = []

    async def sign(image: str) -> None:
        signed.append(image)

    await page["push_and_sign"](buildkit, source, f"{registry.host}/signed:1", sign)
    assert signed[0].startswith(f"{registry.host}/signed:1@sha256:")
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as tar:
        tar.add(source, "")
    await page["context_from_a_stream"](buildkit, held.getvalue())
    with pytest.raises(PolicyError, match="runs as root"):
        await page["build_without_root"](buildkit, source)
