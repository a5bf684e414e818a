"""Containers in which steps failed: what the step left, what it had, and what was there before (C57, X31)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.errors import BuildError, ConfigError, ExecError
from pybuildkit.fsutil import MemoryTree
from pybuildkit.gateway import GatewayBuild, GatewayResult
from pybuildkit.testing.service import BuildkitdService

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

DOCKERFILE = b"""
FROM busybox AS base
RUN echo base > /etc/base
ENV A=1
WORKDIR /w

FROM base AS command
USER nobody
RUN --mount=type=cache,target=/c,id=failed,uid=65534 --mount=type=tmpfs,target=/t \
    --mount=type=secret,id=token,uid=65534 --mount=type=secret,id=token,env=TOKEN \
    --mount=type=bind,source=Dockerfile,target=/src/file --network=none \
    echo made > /tmp/made; echo kept > /c/kept; echo said; exit 3

FROM base AS missing
COPY Dockerfile nothere /x/

FROM base AS blocked
COPY Dockerfile /etc/passwd/x

FROM base AS fine
RUN true
"""


@asynccontextmanager
async def failing(
    buildkit: AsyncClient, target: str
) -> AsyncGenerator[tuple[GatewayBuild, GatewayResult, BuildError]]:
    """A build whose target fails, and the error."""
    tree = MemoryTree({"Dockerfile": DOCKERFILE})
    async with buildkit.gateway(
        locals={"context": tree, "dockerfile": tree}, secrets={"token": b"s3cr3t"}
    ) as gateway:
        result = await gateway.solve(
            frontend="dockerfile.v0", attrs={"target": target, "add-hosts": "there=192.0.2.7"}
        )
        with pytest.raises(BuildError) as caught:
            await result.ref.evaluate()
        yield gateway, result, caught.value


async def test_a_command_is_gone_into_with_all_that_it_had(buildkit: AsyncClient) -> None:
    script = """
        cat /tmp/made /etc/base; echo A=$A; pwd; whoami; cat /run/secrets/token; echo " $TOKEN"
        head -n 2 /src/file; ls -d /c/kept /t; grep there /etc/hosts; ls /sys/class/net
    """
    async with failing(buildkit, "command") as (gateway, _, error):
        assert isinstance(error, ExecError)
        async with gateway.container_for(error) as container:
            done = await container.run(["sh", "-c", script])
    lines = done.stdout.decode().split("\n")
    assert lines[:6] == ["made", "base", "A=1", "/w", "nobody", "s3cr3t s3cr3t"]
    assert lines[6:11] == ["", "FROM busybox AS base", "/c/kept", "/t", "192.0.2.7\tthere"]
    assert lines[11:] == ["lo", ""], "no network"


async def test_as_it_was_before_and_with_something_else(buildkit: AsyncClient) -> None:
    async with (
        failing(buildkit, "command") as (gateway, _, error),
        gateway.container_for(error, before=True, env={"B": "2"}, user="root", cwd="/") as container,
    ):
        done = await container.run(["sh", "-c", "ls /tmp; echo A=$A B=$B; whoami; pwd"])
    assert done.stdout == b"A= B=2\nroot\n/\n"


async def test_a_copy_that_could_not_be_made_shows_where_to_and_what_from(buildkit: AsyncClient) -> None:
    """The daemon names its inputs."""
    async with (
        failing(buildkit, "blocked") as (gateway, _, error),
        gateway.container_for(error) as container,
    ):
        done = await container.run(["sh", "-c", "cat /etc/base; ls /mnt/source"])
    assert done.stdout == b"base\nDockerfile\n"


async def test_a_copy_of_what_is_not_there_needs_the_graph(buildkit: AsyncClient) -> None:
    """The daemon names only what it looked in; the rest is in the result's graph, and in its cache."""
    async with failing(buildkit, "missing") as (gateway, result, error):
        with pytest.raises(ConfigError, match=r"give the graph too: container_for\(error, result.ref\)"):
            async with gateway.container_for(error):
                pass
        async with gateway.container_for(error, result) as container:
            done = await container.run(["sh", "-c", "cat /etc/base; ls /mnt/source"])
    assert done.stdout == b"base\nDockerfile\n"


async def test_a_graph_of_ones_own(buildkit: AsyncClient) -> None:
    state = llb.image("busybox").run("echo x > /out/x; exit 1", mounts={"/out": llb.scratch()})["/out"]
    async with buildkit.gateway() as gateway:
        with pytest.raises(ExecError) as caught:
            await gateway.solve(state, evaluate=True)
        async with gateway.container_for(caught.value) as container:
            assert (await container.run(["cat", "/out/x"])).stdout == b"x\n"
            assert await container.read_file("/out/x") == b"x\n"


async def test_an_error_of_no_step_says_so(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        with pytest.raises(BuildError) as caught:
            await gateway.solve(frontend="no-such-frontend")
        with pytest.raises(ConfigError, match="names no step that failed"):
            async with gateway.container_for(caught.value):
                pass
        with pytest.raises(BuildError) as caught:
            await gateway.solve(frontend="dockerfile.v0", attrs={"context": "http://127.0.0.1:1/x"})
        with pytest.raises(ConfigError, match="runs no command and writes no files"):
            async with gateway.container_for(caught.value):
                pass


async def test_an_error_of_another_build_says_so(buildkit: AsyncClient) -> None:
    """The ids are those of the connection that made them."""
    async with failing(buildkit, "command") as (_, _, error):
        pass
    async with buildkit.gateway(secrets={"token": b"x"}) as gateway:
        with pytest.raises(BuildError, match="failed to find ref"):
            async with gateway.container_for(error):
                pass


def test_code_that_blocks_can_do_it_too(buildkitd: BuildkitdService) -> None:
    with Client(buildkitd.address) as client, client.gateway() as gateway:
        with pytest.raises(ExecError) as caught:
            gateway.solve(llb.image("busybox").run("echo made > /made; exit 1"), evaluate=True)
        with gateway.container_for(caught.value) as container:
            assert container.run(["cat", "/made"]).stdout == b"made\n"
