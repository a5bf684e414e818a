"""A daemon in a container of a real docker engine: testcontainers, and ``docker-container://``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from testcontainers.core.config import ConnectionMode, testcontainers_config

from pybuildkit.client import AsyncClient
from pybuildkit.daemon.probe import info
from pybuildkit.errors import BuildError, BuildKitError, ConfigError, ConnectError, DaemonError
from pybuildkit.outputs import DockerEngine, Image
from pybuildkit.sync import Client
from pybuildkit.testing.container import WITHOUT_SYS_RESOURCE, BuildkitContainer
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdOptions, running_buildkitd
from pybuildkit.transport import dial
from tests.conftest import find_tool
from tests.support.dockerd import IMAGE, Dockerd, NoDockerd, buildkit_image, running_dockerd
from tests.support.httpserver import Answer, Asked, serve
from tests.unit.docs.test_outputs_page import examples

pytestmark = [pytest.mark.integration, pytest.mark.docker]


@pytest.fixture(scope="module")
def engine() -> Generator[Dockerd]:
    """An engine of our own, with an image of the daemon that is tested everywhere else."""
    buildkitd, buildctl = find_tool("buildkitd"), find_tool("buildctl")
    if buildkitd is None or buildctl is None:
        pytest.skip("buildkitd and buildctl are not there; run 'make tools'")
    try:
        with running_dockerd() as dockerd:
            dockerd.load(buildkit_image(buildkitd, buildctl, Volumes={"/var/lib/buildkit": {}}), IMAGE)
            yield dockerd
    except NoDockerd as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="module")
def container(engine: Dockerd) -> Generator[BuildkitContainer]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        use(engine, monkeypatch)
        with BuildkitContainer(IMAGE, privileges=WITHOUT_SYS_RESOURCE) as container:
            yield container


@pytest.fixture(autouse=True)
def docker_host(
    no_leaks: None, engine: Dockerd, container: BuildkitContainer, monkeypatch: pytest.MonkeyPatch
) -> Generator[None]:
    use(engine, monkeypatch)
    yield
    # The module's container keeps its idle connections to the engine in a pool.
    container.get_docker_client().client.api.close()


def use(engine: Dockerd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make testcontainers and ``docker-container://`` use the engine."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    # There is no image of testcontainers' reaper here; the engine itself ends with the tests.
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    # The machine of the tests may itself look like a container.
    monkeypatch.setattr(testcontainers_config, "connection_mode_override", ConnectionMode.docker_host)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A directory that needs no registry."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    folder = tmp_path / "context"
    folder.mkdir()
    shutil.copy(busybox, folder / "busybox")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY busybox /bin/sh\nRUN echo built here > /made\n")
    return folder


def buildctl(address: str, context: Path) -> str:
    path = find_tool("buildctl")
    argv = [str(path), "--addr", address, "build", "--frontend=dockerfile.v0", "--progress=plain"]
    argv += [f"--local={name}={context}" for name in ("context", "dockerfile")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stderr


# --- testcontainers ---------------------------------------------------------------------------------------


def test_tcp(container: BuildkitContainer, context: Path) -> None:
    """DESIGN's flags in place of --privileged: a RUN works."""
    assert container.address.startswith("tcp://localhost:")
    assert "DONE" in buildctl(container.address, context)
    with container.blocking_client() as client:
        assert client.info().version == "v0.32.2"
    assert "running server on" in container.log()


def test_the_port_is_published_on_loopback_only(container: BuildkitContainer) -> None:
    ports = container.get_wrapped_container().attrs["NetworkSettings"]["Ports"]["1234/tcp"]
    assert {port["HostIp"] for port in ports} == {"127.0.0.1"}


async def test_client_of_the_container(container: BuildkitContainer, context: Path) -> None:
    async with container.client() as client:
        await client.build(context)


def test_configuration_and_host_network(registry: Registry, engine: Dockerd, context: Path) -> None:
    """With the host's network the registry on loopback can be the container's mirror."""
    (context / "Dockerfile").write_text("FROM busybox\nRUN --security=insecure --network=host true\n")
    with BuildkitContainer(
        IMAGE,
        privileges=WITHOUT_SYS_RESOURCE,
        host_network=True,
        mirrors={"docker.io": [registry.url]},
        entitlements=["security.insecure", "network.host"],
        config="[worker.oci.labels]\ncolour = 'green'\n",
        args=["--debug"],
    ) as container:
        assert container.address.startswith("tcp://127.0.0.1:")
        with container.blocking_client() as client:
            assert client.workers()[0].labels["colour"] == "green"
            client.build(context, entitlements=["security.insecure", "network.host"])
        assert "level=debug" in container.log()
    with pytest.raises(DaemonError, match="not running"):
        _ = container.address
    container.stop()
    assert engine.request("GET", "/containers/json?all=1").count(b'"Id"') <= 1, (
        "only the module's own is left"
    )


def test_a_container_that_ends(engine: Dockerd) -> None:
    with pytest.raises(DaemonError, match=r"buildkitd in the container ended \(exited\)(.|\n)*no such level"):
        BuildkitContainer(
            IMAGE, privileges=WITHOUT_SYS_RESOURCE, config={"log": {"level": "no such level"}}
        ).start()
    assert engine.request("GET", "/containers/json?all=1").count(b'"Id"') <= 1


def test_as_the_daemon_of_a_test_run(engine: Dockerd) -> None:
    options = BuildkitdOptions(order=["container", "binary"], image=IMAGE, privileges=WITHOUT_SYS_RESOURCE)
    with running_buildkitd(options) as service:
        assert service.kind == "container"
        with service.blocking_client() as client:
            assert client.info().version == "v0.32.2"


def test_an_image_that_is_not_to_be_had(engine: Dockerd, registry: Registry) -> None:
    options = BuildkitdOptions(order=["container", "environment"], image=f"{registry.host}/none/such:1")
    with pytest.raises(Exception, match=r"container: the docker engine does not run .*/none/such:1"):
        running_buildkitd(options).__enter__()


# --- an image into the engine ---


def made_here(context: Path, command: str) -> Path:
    (context / "Dockerfile").write_text(
        f'FROM scratch\nCOPY busybox /bin/sh\nRUN {command}\nLABEL made="{context}"\n'
    )
    return context


def test_an_image_into_the_engine(engine: Dockerd, buildkit_client: Client, context: Path) -> None:
    """As ``docker buildx build --load``: the engine can run what was built, under its names."""
    result = buildkit_client.build(
        made_here(context, "echo built > /made"),
        tags=["example.test/loaded:1", "example.test/loaded:2"],
        outputs=[DockerEngine(), f"type=local,dest={context.parent}/out"],
    )
    for name in ("example.test/loaded:1", "example.test/loaded:2"):
        image = json.loads(engine.request("GET", f"/images/{name}/json"))
        assert image["Id"] == result.config_digest
        assert image["Config"]["Labels"]["made"] == str(context)
    assert (context.parent / "out" / "made").read_text() == "built\n"


def test_an_image_into_the_engine_by_text(engine: Dockerd, buildkit_client: Client, context: Path) -> None:
    result = buildkit_client.build(
        made_here(context, "true"),
        outputs="type=docker-engine,name=example.test/text:1,compression=uncompressed",
    )
    assert json.loads(engine.request("GET", "/images/example.test/text:1/json"))["Id"] == result.config_digest


async def test_the_pages_example(engine: Dockerd, buildkit: AsyncClient, context: Path) -> None:
    """``docs/outputs.md``."""
    image_id = await examples()["into_the_engine"](buildkit, made_here(context, "true"))
    found = await anyio.to_thread.run_sync(engine.request, "GET", "/images/app:1/json")
    assert json.loads(found)["Id"] == image_id


def test_a_failed_build_loads_nothing(engine: Dockerd, buildkit_client: Client, context: Path) -> None:
    """Another output fails after the whole archive has gone to the engine."""
    with pytest.raises(BuildError):
        buildkit_client.build(
            made_here(context, "true"),
            outputs=[
                DockerEngine("example.test/failed:1"),
                Image("127.0.0.1:9/none/such:1", push=True, insecure=True),
            ],
        )
    assert b"example.test/failed" not in engine.request("GET", "/images/json")


def test_an_engine_that_is_not_there(
    buildkit_client: Client, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found before anything is built."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{context}/none.sock")
    with pytest.raises(ConnectError, match=r"none\.sock can not be reached"):
        buildkit_client.build(made_here(context, "false"), outputs=DockerEngine("a:1"))
    with pytest.raises(ConfigError, match="no docker context 'nowhere'"):
        buildkit_client.build(made_here(context, "false"), outputs=DockerEngine("a:1", context="nowhere"))


def test_an_image_that_the_engine_refuses(
    buildkit_client: Client, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the engine says becomes the error's text."""

    def refuse(asked: Asked) -> Answer:
        if asked.path == "/_ping":
            return Answer()
        return Answer(507, {"message": "no space left on device"})

    with serve(refuse) as server:
        monkeypatch.setenv("DOCKER_HOST", server.url.replace("http://", "tcp://"))
        with pytest.raises(BuildKitError, match="no space left on device"):
            buildkit_client.build(made_here(context, "true"), outputs=DockerEngine("a:1"))


# --- docker-container:// ----------------------------------------------------------------------------------


def processes(container: BuildkitContainer) -> str:
    return container.exec(["/bin/busybox", "ps"]).output.decode()


async def test_docker_container_address(container: BuildkitContainer, context: Path) -> None:
    """N5 without a docker binary: a whole build through the engine's API, and no process is left."""
    async with AsyncClient(container.container_address) as client:
        assert (await client.info()).version == "v0.32.2"
        await client.build(context)
        assert "dial-stdio" in await anyio.to_thread.run_sync(processes, container)
    with anyio.fail_after(10):
        while "dial-stdio" in await anyio.to_thread.run_sync(processes, container):  # noqa: ASYNC110
            await anyio.sleep(0.05)


async def test_much_data_through_it(container: BuildkitContainer, context: Path) -> None:
    """A context of 64 MiB, and an image of that size back."""
    (context / "big").write_bytes(os.urandom(1 << 20) * 64)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY big /\n")
    async with AsyncClient(container.container_address) as client:
        await client.build(context, outputs=f"type=local,dest={context}/out")
    assert (context / "out" / "big").stat().st_size == 64 << 20


async def test_several_connections(container: BuildkitContainer) -> None:
    async with dial(container.container_address) as endpoint, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(_ask, endpoint.socket_path)


async def test_a_stalled_event_loop_does_not_stall_it(container: BuildkitContainer) -> None:
    async with dial(container.container_address) as endpoint:
        versions: list[str] = []
        thread = threading.Thread(target=lambda: versions.append(info(endpoint.target, 20.0)))
        thread.start()
        thread.join()  # and meanwhile this loop does nothing
        assert versions == ["v0.32.2"]


async def _ask(path: str) -> None:
    async with AsyncClient(f"unix://{path}") as client:
        assert (await client.info()).version == "v0.32.2"


async def test_a_container_without_buildctl(engine: Dockerd, container: BuildkitContainer) -> None:
    renamed = container.exec(["/bin/busybox", "mv", "/bin/buildctl", "/bin/buildctl-away"])
    assert renamed.exit_code == 0
    try:
        with pytest.raises(ConnectError, match='"buildctl": executable file not found'):
            async with AsyncClient(container.container_address):
                pytest.fail("something answered")
    finally:
        await anyio.to_thread.run_sync(
            container.exec, ["/bin/busybox", "mv", "/bin/buildctl-away", "/bin/buildctl"]
        )


async def test_no_such_container(engine: Dockerd) -> None:
    with pytest.raises(
        ConnectError, match="there is no container 'none-such' on the docker engine at unix://"
    ):
        async with AsyncClient("docker-container://none-such"):
            pytest.fail("something answered")
