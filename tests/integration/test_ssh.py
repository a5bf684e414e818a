"""SSH for steps: a repository that only a key opens, cloned in a RUN; and the key stays on this side."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from pybuildkit import AsyncClient, Buildkitd
from pybuildkit.errors import ConfigError, ExecError, SSHNotFound
from pybuildkit.events import SolveStatus
from pybuildkit.fsutil import MemoryTree
from pybuildkit.outputs import Local
from pybuildkit.ssh import SSHAgent
from pybuildkit.testing.push import push
from pybuildkit.testing.registry import Registry
from tests.conftest import find_tool
from tests.support.programs import program_image
from tests.support.servers import SSHServer, make_repository, serve_ssh
from tests.support.sshagents import make_key, running_agent, ssh_add

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.integration,
    pytest.mark.skipif(
        shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin") is None, reason="there is no sshd"
    ),
]

CLONE = """FROM git-and-ssh AS work
RUN --mount=type=ssh{more} GIT_SSH_COMMAND='ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null' \
    git clone -q {url} /src && cp /src/secret.txt /
FROM scratch
COPY --from=work /secret.txt /
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a daemon of these tests' own, to look through."""
    return tmp_path_factory.mktemp("daemon") / "root"


@pytest.fixture(scope="module")
def daemon(root: Path, registry: Registry) -> Generator[Buildkitd]:
    """That daemon; its steps may use this machine's network."""
    push(program_image("git", "ssh", "ssh-add"), f"{registry.host}/library/git-and-ssh:latest")
    with Buildkitd(
        find_tool("buildkitd"),
        root=root,
        mirrors={"docker.io": [registry.url]},
        entitlements=["network.host"],
        gc=False,
    ) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[SSHServer]:
    """An SSH server with a repository; ``user`` is the key that opens it."""
    folder = tmp_path_factory.mktemp("ssh")
    folder.chmod(0o700)
    with serve_ssh(folder) as server:
        make_repository(folder / "private", {"secret.txt": "only with a key\n"})
        yield server


def url(server: SSHServer) -> str:
    return f"{server.address}{server.key.parent}/private"


class Shown:
    """What a build has printed."""

    def __init__(self) -> None:
        self.text = b""

    def __call__(self, batch: SolveStatus) -> None:
        self.text += b"".join(log.data for log in batch.logs)
        self.text += b"".join(vertex.name.encode() for vertex in batch.vertexes)


def key_material(key: Path) -> list[bytes]:
    """What a private key can be told by: its file's lines, and the number itself."""
    private = load_ssh_private_key(key.read_bytes(), None)
    lines = [line.encode() for line in key.read_text().splitlines()[1:-1] if len(line) > 40]
    return [*lines[1:-1], private.private_bytes_raw()]  # type: ignore[union-attr]


def found_in(folder: Path, needles: list[bytes]) -> list[Path]:
    """The files that have one of some bytes in them, compressed ones looked into."""
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data += gzip.decompress(data)
        if any(needle in data for needle in needles):
            found.append(path)
    return found


@pytest.mark.parametrize("kind", ["agent", "key", "bytes", "locked"])
async def test_git_clone_in_a_step(
    daemon: Buildkitd, root: Path, server: SSHServer, tmp_path: Path, kind: str
) -> None:
    """S80 to S83: with a forwarded agent, and with keys in memory; the key is on no disk and in no history."""
    material = key_material(server.key)
    assert found_in(server.key.parent, material) == [server.key]
    shown = Shown()
    async with AsyncClient(daemon.address) as client:
        with ExitStack() as stack:
            agent = await anyio.to_thread.run_sync(lambda: make_agent(kind, server, tmp_path, stack))
            dockerfile = CLONE.format(url=url(server), more="") + f"# {uuid.uuid4()}\n"
            await client.build(
                MemoryTree({"Dockerfile": dockerfile}),
                ssh={"default": agent},
                network="host",
                no_cache=True,
                outputs=Local(tmp_path / "out"),
                progress=shown,
            )
        assert (tmp_path / "out" / "secret.txt").read_text() == "only with a key\n"
        assert await client.history.list()
    assert not any(needle in shown.text for needle in material)
    assert await anyio.to_thread.run_sync(found_in, root, [b"only with a key"])  # it is looked through indeed
    assert await anyio.to_thread.run_sync(found_in, root, material) == []
    assert await anyio.to_thread.run_sync(found_in, tmp_path / "out", material) == []


def make_agent(kind: str, server: SSHServer, folder: Path, stack: ExitStack) -> SSHAgent:
    """The key that opens the repository, in each way to give it."""
    if kind == "agent":
        return SSHAgent(socket=stack.enter_context(running_agent(folder, [server.key])))
    if kind == "locked":
        copy = folder / "locked"
        shutil.copy(server.key, copy)
        make_locked(copy)
        return SSHAgent(keys=[copy], passphrase=lambda prompt: "pass phrase")
    return SSHAgent(keys=[server.key if kind == "key" else server.key.read_bytes()])


def make_locked(key: Path) -> None:
    """Give a key a passphrase."""
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "pass phrase", "-f", key], check=True, capture_output=True
    )


async def test_several_agents(daemon: Buildkitd, server: SSHServer, tmp_path: Path) -> None:
    """S81: a step names the one that it wants; another key does not open the door."""
    other = await anyio.to_thread.run_sync(make_key, tmp_path)
    agents = {"default": SSHAgent(keys=[other]), "work": SSHAgent(keys=[server.key])}
    async with AsyncClient(daemon.address) as client:
        for more, opens in ((",id=work", True), ("", False)):
            tree = MemoryTree({"Dockerfile": CLONE.format(url=url(server), more=more)})
            if opens:
                await client.build(tree, ssh=agents, network="host", no_cache=True)
                continue
            with pytest.raises(ExecError, match="Permission denied"):
                await client.build(tree, ssh=agents, network="host", no_cache=True)


async def test_a_step_changes_nothing(daemon: Buildkitd, server: SSHServer, tmp_path: Path) -> None:
    """X28: neither a running agent nor keys in memory."""
    dockerfile = """FROM git-and-ssh
COPY key /key
RUN --mount=type=ssh chmod 600 /key; ssh-add -L > /before && ! ssh-add -q /key && ! ssh-add -D && ! ssh-add -d /key && \
    ssh-add -L > /after && cmp /before /after
"""
    with ExitStack() as stack:

        def prepare() -> tuple[Path, Path]:
            return make_key(tmp_path), stack.enter_context(running_agent(tmp_path, [server.key]))

        other, socket = await anyio.to_thread.run_sync(prepare)
        tree = MemoryTree({"Dockerfile": dockerfile, "key": other.read_bytes()})
        async with AsyncClient(daemon.address) as client:
            for agent in (SSHAgent(socket=socket), SSHAgent(keys=[server.key])):
                await client.build(tree, ssh=agent if agent.keys else {"default": agent}, no_cache=True)
        listed = await anyio.to_thread.run_sync(ssh_add, socket, "-L")
        assert len(listed.splitlines()) == 1


async def test_an_agent_that_was_not_given(daemon: Buildkitd, server: SSHServer) -> None:
    """S80: which one, and how to give it; when none is given, and when others are."""
    step = "FROM git-and-ssh\nRUN --mount=type=ssh,id=work,required=true true\n"
    async with AsyncClient(daemon.address) as client:
        for agents in (None, {"other": SSHAgent(keys=[server.key])}):
            options: dict[str, Any] = {} if agents is None else {"ssh": agents}
            with pytest.raises(SSHNotFound, match="--ssh work") as caught:
                await client.build(MemoryTree({"Dockerfile": step}), **options)
            assert caught.value.id == "work"
            assert ("agents given: other" in str(caught.value)) is (agents is not None)


async def test_what_is_found_out_before_the_build(daemon: Buildkitd, tmp_path: Path) -> None:
    async with AsyncClient(daemon.address) as client:
        for ssh in (True, SSHAgent(socket=tmp_path / "x"), SSHAgent(keys=[b"hunter2"])):
            with pytest.raises(ConfigError) as caught:
                await client.build(MemoryTree({"Dockerfile": "FROM scratch\n"}), ssh=ssh)
            assert "hunter2" not in str(caught.value)


async def test_a_context_over_ssh(
    daemon: Buildkitd, server: SSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository over SSH as the context: the usual agent is offered by itself, as buildx does it."""
    with ExitStack() as stack:
        socket = await anyio.to_thread.run_sync(
            lambda: stack.enter_context(running_agent(tmp_path, [server.key]))
        )
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        async with AsyncClient(daemon.address) as client:
            await client.build(
                f"{url(server)}#main",
                file=b"FROM scratch\nCOPY secret.txt /\n",
                outputs=Local(tmp_path / "out"),
            )
    assert (tmp_path / "out" / "secret.txt").read_text() == "only with a key\n"


def test_the_command_line(daemon: Buildkitd, server: SSHServer, tmp_path: Path) -> None:
    """B28: a key by its path, under an id."""
    (tmp_path / "Dockerfile").write_text(CLONE.format(url=url(server), more=",id=work"))
    words = ["build", str(tmp_path), "--network", "host", "--no-cache", "--progress", "plain"]
    done = subprocess.run(
        [sys.executable, "-m", "pybuildkit", *words, "--ssh", f"work={server.key}"],
        env={**os.environ, "BUILDKIT_HOST": daemon.address},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
