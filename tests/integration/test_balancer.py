"""Behind a balancer over two daemons: each connection goes to the other one (T14, X5).

A session on a connection of its own would reach the daemon that does not run the build. Over TCP it therefore rides on
the connection of its solve.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from pybuildkit import AsyncClient, Buildkitd
from pybuildkit.fsutil import MemoryTree
from pybuildkit.outputs import Local
from tests.conftest import find_tool

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@asynccontextmanager
async def balancer(ports: list[int]) -> AsyncIterator[tuple[str, list[int]]]:
    """Its address, and how many connections each of the ports got."""
    turns, counts = itertools.cycle(range(len(ports))), [0] * len(ports)

    async def pump(source: SocketStream, sink: SocketStream) -> None:
        try:
            async for data in source:
                await sink.send(data)
            await sink.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await sink.aclose()

    async def serve(client: SocketStream) -> None:
        which = next(turns)
        counts[which] += 1
        daemon = await anyio.connect_tcp("127.0.0.1", ports[which])
        async with client, daemon, anyio.create_task_group() as tasks:
            tasks.start_soon(pump, client, daemon)
            tasks.start_soon(pump, daemon, client)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"tcp://127.0.0.1:{port}", counts
        tasks.cancel_scope.cancel()


async def test_builds_behind_a_balancer(tmp_path: Path) -> None:
    binary = find_tool("buildkitd")
    assert binary is not None, "run 'make tools'"
    daemons = [Buildkitd(binary=binary, address="tcp://127.0.0.1:0") for _ in range(2)]
    async with daemons[0] as one, daemons[1] as two:
        ports = [int(daemon.address.rpartition(":")[2]) for daemon in (one, two)]
        async with balancer(ports) as (address, counts):
            for number in range(4):
                tree = MemoryTree({"Dockerfile": b"FROM scratch\nCOPY n /\n", "n": b"%d" % number})
                out = tmp_path / str(number)
                async with AsyncClient(address) as client:
                    with anyio.fail_after(20):
                        await client.build(tree, outputs=Local(out))
                assert (out / "n").read_bytes() == b"%d" % number
            assert min(counts) >= 2
