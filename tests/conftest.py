"""What all tests stand on: a daemon, a registry with a base image, a clean environment, no leaks."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
from collections.abc import AsyncGenerator, Generator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

from pybuildkit.testing.images import OCIImage, busybox, index
from pybuildkit.testing.push import push
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdOptions
from tests.support.leaks import Snapshot, leaked_tasks

# Time says nothing about an example when other tests share the cores.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

# A checkout need not be installed to be tested.
if not entry_points(group="pytest11", name="pybuildkit"):
    pytest_plugins = ["pybuildkit.testing.pytest_plugin"]

TOOLS = Path(__file__).parents[1] / ".tools" / "bin"
"""Where ``make tools`` puts what it builds."""

BASE_IMAGES = ("busybox", "alpine")
"""Names in ``docker.io/library`` under which the daemon of the tests finds a busybox."""

_HOME = os.environ.get("HOME", "/root")
_CLEANED = ("BUILDKIT", "DOCKER_", "OTEL_", "ACTIONS_", "AWS_", "AZURE_", "PYBUILDKIT_")
_CLEANED_NAMES = (
    "SOURCE_DATE_EPOCH",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
    "TRACEPARENT",
    "TRACESTATE",
    "NO_COLOR",
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY", "GRPC_PROXY")


def find_tool(name: str) -> Path | None:
    """A tool of the tests: what ``make tools`` has built, else the PATH."""
    found = shutil.which(name, path=str(TOOLS)) or shutil.which(name)
    return Path(found) if found else None


# --- the daemon and what is around it ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """grpc.aio knows asyncio only."""
    return "asyncio"


@pytest.fixture(scope="session")
def buildctl() -> Path:
    """The path of ``buildctl``, the measure."""
    path = find_tool("buildctl")
    if path is None:
        pytest.skip("buildctl is not there; run 'make tools'")
    return path


@pytest.fixture(scope="session")
def base_image() -> OCIImage:
    """A static busybox of this machine's platform, and the same bytes called linux/arm64."""
    other = "linux/arm64" if busybox().platform != "linux/arm64" else "linux/amd64"
    return index([busybox(), busybox(platform=other)])


@pytest.fixture(scope="session")
def registry(base_image: OCIImage) -> Generator[Registry]:
    """A registry on loopback that is the daemon's mirror of docker.io, with the base images in it."""
    binary = find_tool("registry")
    if binary is None:
        pytest.skip("registry is not there; run 'make tools'")
    with Registry(binary) as registry:
        for name in BASE_IMAGES:
            push(base_image, f"{registry.host}/library/{name}:latest")
        yield registry


@pytest.fixture(scope="session")
def buildkitd_options(registry: Registry) -> BuildkitdOptions:
    """Our own daemon first: it is the pinned version, and sees the registry on loopback."""
    return BuildkitdOptions(
        order=("binary", "environment", "container"),
        binary=find_tool("buildkitd"),
        mirrors={"docker.io": [registry.url]},
        entitlements=("network.host", "security.insecure"),
        registry=registry,
    )


# --- around each test -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch, _empty_home: Path) -> None:
    """Nothing that the user has set changes a test, and no test writes to the user's home."""
    for name in list(os.environ):
        if name.startswith(_CLEANED) or name in _CLEANED_NAMES or name.upper() in _PROXIES:
            monkeypatch.delenv(name)
    for name, folder in (("GOPATH", "go"), ("GOCACHE", ".cache/go-build"), ("GOENV", ".config/go/env")):
        if name not in os.environ:
            monkeypatch.setenv(name, f"{_HOME}/{folder}")
    monkeypatch.setenv("HOME", str(_empty_home))


@pytest.fixture(autouse=True)
def no_leaks(clean_environ: None) -> Generator[None]:
    """A test that leaves a thread, a file descriptor or a child process behind fails.

    What fixtures of a wider scope hold was there before, and counts for nothing.
    """
    before = Snapshot.take()
    yield
    if leaks := before.leaks():
        pytest.fail("the test leaks " + ", ".join(leaks))


@pytest.fixture
async def strict_loop() -> AsyncGenerator[None]:
    """For async tests: a task that is left behind, or pybuildkit blocking the event loop, fails the test."""
    before = asyncio.all_tasks()
    with blockbuster_ctx("pybuildkit") as blockbuster:
        # One look at a path in a folder that was made a moment ago, before the socket there is bound in a thread.
        blockbuster.functions["os.stat"].can_block_in("anyio/_core/_sockets.py", "setup_unix_local_socket")
        # grpc.aio joins its poller's thread when the last channel is gone, wherever that happens to be.
        blockbuster.functions["threading.Lock.acquire"].can_block_in("threading.py", "_wait_for_tstate_lock")
        yield
    if leaks := await leaked_tasks(before):
        pytest.fail("the test leaks " + ", ".join(leaks))


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Put ``strict_loop`` around every async test, before anyio's plugin looks at it."""
    if collector.funcnamefilter(name) and inspect.iscoroutinefunction(obj):
        pytest.mark.usefixtures("strict_loop")(obj)
