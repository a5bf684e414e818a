"""SSH agents of the client in graphs: for a repository, and in a step."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import anyio
import pytest

from pybuildkit import AsyncClient, llb
from pybuildkit.errors import BuildError
from pybuildkit.ssh import SSHAgent
from tests.support.graphs import texts
from tests.support.servers import make_repository, serve_ssh

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.mark.skipif(shutil.which("sshd", path="/usr/sbin:/usr/bin") is None, reason="there is no sshd")
async def test_git_over_ssh(buildkit: AsyncClient, tmp_path: Path) -> None:
    """L7, L39: the agent of the client opens the repository; a host with another key is refused."""
    make_repository(tmp_path / "repos" / "private", {"secret.txt": "only with a key\n"})
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    with serve_ssh(folder) as server:
        url = f"{server.address}{tmp_path}/repos/private"
        agent = {"work": SSHAgent(keys=(server.key,))}
        state = llb.git(url, "main", ssh="work", known_hosts=server.known_hosts)
        assert await texts(buildkit, state, ssh=agent) == {"secret.txt": "only with a key\n"}
        other = (
            server.known_hosts.rsplit(" ", 1)[0]
            + " AAAAC3NzaC1lZDI1NTE5AAAAIA8QIhGVpYYZq0fWdMtfPRBNUVdGd5zZGKSmJUW8w2Mz"
        )
        with pytest.raises(BuildError):
            await buildkit.solve(llb.git(url, "v1", ssh="work", known_hosts=other), ssh=agent)


async def test_an_agent_in_a_step(buildkit: AsyncClient, tmp_path: Path) -> None:
    """L48: the socket is there, with the mode and owner that were asked for."""
    key = tmp_path / "key"
    await anyio.to_thread.run_sync(
        lambda: subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    )
    state = llb.image("busybox").run(
        "test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK > /out/x; stat -c '%a %u' /agent >> /out/x",
        mounts={"/out": llb.scratch(), "/agent": llb.ssh("other", mode=0o666, uid=9)},
        ssh=["work"],
    )["/out"]
    agents = {name: SSHAgent(keys=(key,)) for name in ("work", "other")}
    assert (await texts(buildkit, state, ssh=agents))["x"].splitlines() == ["/agent", "666 9"]
    without = llb.image("busybox").run(
        "test -e /agent || echo none > /out/x",
        mounts={"/out": llb.scratch(), "/agent": llb.ssh("absent", optional=True)},
    )["/out"]
    assert await texts(buildkit, without) == {"x": "none\n"}
