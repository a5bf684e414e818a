"""Ways to a daemon: sockets, TCP, TLS, a private one, one that comes late, none at all."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import anyio
import pytest
import trio
import trustme

from pybuildkit import AsyncClient, Buildkitd, Client
from pybuildkit.daemon import ServerTLS
from pybuildkit.errors import ConfigError, ConnectError, ConnectionLost, ConnectTimeout, DaemonError
from pybuildkit.fsutil import MemoryTree
from pybuildkit.outputs import Local
from pybuildkit.testing.service import BuildkitdService
from pybuildkit.tls import TLS
from tests.conftest import find_tool

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

HELLO = MemoryTree({"Dockerfile": b"FROM scratch\nCOPY file /\n", "file": b"hello"})


@pytest.fixture
def binary() -> Path:
    found = find_tool("buildkitd")
    if found is None:
        pytest.skip("buildkitd is not there; run 'make tools'")
    return found


async def build_hello(client: AsyncClient, out: Path) -> None:
    await client.build(HELLO, outputs=Local(out))
    assert (out / "file").read_bytes() == b"hello"


@pytest.mark.parametrize("own_session", [True, False, None])
async def test_a_unix_socket_with_both_carriers(
    buildkitd: BuildkitdService, tmp_path: Path, own_session: bool | None
) -> None:
    """Nothing above the carrier knows which one it is."""
    async with AsyncClient(buildkitd.address, own_session=own_session) as client:
        assert client.address == buildkitd.address
        await build_hello(client, tmp_path / "out")


async def test_tcp_with_tls_both_ways(binary: Path, tmp_path: Path) -> None:
    """C40, C41, R23: only the given authority is trusted, and the daemon wants to know us."""
    ca, other = trustme.CA(), trustme.CA()
    server, client_cert = ca.issue_cert("127.0.0.1", "buildkitd.test"), ca.issue_cert("client.test")
    paths = {}
    for name, blob in (
        ("ca", ca.cert_pem),
        ("cert", server.cert_chain_pems[0]),
        ("key", server.private_key_pem),
    ):
        paths[name] = tmp_path / f"{name}.pem"
        blob.write_to_path(str(paths[name]))
    tls = ServerTLS(cert=paths["cert"], key=paths["key"], client_ca=paths["ca"])
    good = TLS(
        ca=ca.cert_pem.bytes(),
        cert=client_cert.cert_chain_pems[0].bytes(),
        key=client_cert.private_key_pem.bytes(),
    )
    stranger = other.issue_cert("client.test")
    async with Buildkitd(binary=binary, address="tcp://127.0.0.1:0", tls=tls) as daemon:
        async with AsyncClient(daemon.address, tls=good) as client:
            await build_hello(client, tmp_path / "out")
        async with AsyncClient(
            daemon.address, tls=TLS(ca=good.ca, cert=good.cert, key=good.key, server_name="buildkitd.test")
        ) as client:
            assert (await client.info()).version
        for bad in (
            TLS(ca=other.cert_pem.bytes(), cert=good.cert, key=good.key),
            TLS(ca=good.ca, cert=good.cert, key=good.key, server_name="wrong.test"),
            TLS(
                ca=good.ca,
                cert=stranger.cert_chain_pems[0].bytes(),
                key=stranger.private_key_pem.bytes(),
            ),
            None,
        ):
            with pytest.raises(ConnectError) as caught:
                async with AsyncClient(daemon.address, tls=bad, timeout=10):
                    pass
            assert caught.value.address == daemon.address
            assert daemon.address in str(caught.value)


async def test_tls_is_for_tcp(buildkitd: BuildkitdService) -> None:
    with pytest.raises(ConfigError, match="tcp://"):
        async with AsyncClient(buildkitd.address, tls=TLS(ca=b"-----BEGIN CERTIFICATE-----\n")):
            pass


async def test_a_private_daemon_when_there_is_none(
    binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No address, no $BUILDKIT_HOST, no socket: a daemon is started, and gone with the client."""
    monkeypatch.setattr("pybuildkit.transport.address.SYSTEM_SOCKET", tmp_path / "none.sock")
    monkeypatch.setenv("PATH", f"{binary.parent}:{os.environ['PATH']}")
    async with AsyncClient() as client:
        address = client.address
        assert Path(address.removeprefix("unix://")).is_socket()
        await build_hello(client, tmp_path / "out")
    assert not Path(address.removeprefix("unix://")).exists()


def test_no_daemon_and_no_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybuildkit.transport.address.SYSTEM_SOCKET", tmp_path / "none.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("pybuildkit.daemon.binary._COMMON_FOLDERS", ())
    with pytest.raises(DaemonError, match="buildkitd"), Client():
        pass


async def test_a_dead_address_fails_at_once_and_names_itself(tmp_path: Path) -> None:
    """C38: Go's client does not notice before the first call, and then names no address."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        dead = f"tcp://127.0.0.1:{bound.getsockname()[1]}"
        for address in (dead, f"unix://{tmp_path}/no.sock"):
            with (
                anyio.fail_after(5),
                pytest.raises(ConnectError, match="is buildkitd running there") as caught,
            ):
                async with AsyncClient(address):
                    pass
            assert address in str(caught.value)


async def test_a_silent_address_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        with anyio.fail_after(5), pytest.raises(ConnectTimeout, match=r"within 0\.5 s"):
            async with AsyncClient(f"unix://{tmp_path}/silent.sock", timeout=0.5):
                pass


async def test_waiting_for_a_daemon_that_is_just_starting(binary: Path, tmp_path: Path) -> None:
    """C44."""
    address = f"unix://{tmp_path}/late.sock"
    daemon = Buildkitd(binary=binary, address=address)
    starter = threading.Timer(0.7, daemon.start)
    starter.start()
    try:
        async with AsyncClient(address, wait=True, timeout=30) as client:
            assert (await client.info()).version
        await anyio.to_thread.run_sync(starter.join)
    finally:
        starter.cancel()
        await anyio.to_thread.run_sync(starter.join)
        await anyio.to_thread.run_sync(daemon.stop)
    with pytest.raises(ConnectTimeout, match="is buildkitd running there"):
        async with AsyncClient(address, wait=True, timeout=0.5):
            pass


async def test_a_closed_client_says_so(buildkitd: BuildkitdService) -> None:
    client = AsyncClient(buildkitd.address)
    with pytest.raises(ConfigError, match="not connected"):
        await client.info()
    async with client:
        await client.info()
        with pytest.raises(ConfigError, match="in use"):
            async with client:
                pass
    with pytest.raises(ConfigError, match="not connected"):
        await client.info()
    async with client:
        await client.info()


async def test_a_daemon_that_dies_in_the_middle(binary: Path) -> None:
    """R18: no hang, and the error says that it is the daemon."""
    daemon = Buildkitd(binary=binary)
    await anyio.to_thread.run_sync(daemon.start)
    try:
        async with AsyncClient(daemon.address) as client:
            context = MemoryTree({"Dockerfile": b"FROM scratch\nCOPY big /\n", "big": b"x" * 1000})
            await client.build(context)
            await anyio.to_thread.run_sync(daemon.stop)
            with anyio.fail_after(10), pytest.raises((ConnectionLost, ConnectError)):
                await client.build(context)
    finally:
        await anyio.to_thread.run_sync(daemon.stop)


def test_trio_is_refused_in_one_clear_sentence(buildkitd: BuildkitdService) -> None:
    async def main() -> None:
        async with AsyncClient(buildkitd.address):
            pass

    with pytest.raises(ConfigError, match="asyncio"):
        trio.run(main)
