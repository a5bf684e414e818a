"""What ``pybuildkit.testing`` gives, with the real programs."""

from __future__ import annotations

import base64
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest
import trustme

from pybuildkit.client import AsyncClient
from pybuildkit.errors import ConfigError, ConnectError, RegistryAuthError
from pybuildkit.sync import Client
from pybuildkit.testing.images import OCIImage, busybox
from pybuildkit.testing.push import push
from pybuildkit.testing.registry import Registry, TokenAuth
from pybuildkit.testing.service import BuildkitdService
from tests.conftest import BASE_IMAGES, find_tool

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def registry_binary(monkeypatch: pytest.MonkeyPatch) -> Path:
    path = find_tool("registry")
    if path is None:
        pytest.skip("registry is not there; run 'make tools'")
    monkeypatch.setenv("PYBUILDKIT_REGISTRY", str(path))
    return path


@pytest.fixture(scope="module")
def box() -> OCIImage:
    return busybox()


def get(registry: Registry, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(registry.host, timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


# --- the registry -----------------------------------------------------------------------------------------


def test_push_and_pull(box: OCIImage) -> None:
    with Registry() as registry:
        assert registry.url == f"http://{registry.host}"
        assert push(box, f"{registry.host}/deep/er/box:1") == box.digest
        push(box, f"{registry.host}/deep/er/box:2")
        status, headers, body = get(registry, "/v2/deep/er/box/manifests/2")
        assert (status, headers["Docker-Content-Digest"], body) == (200, box.digest, box.blobs[box.digest])
        with pytest.raises(ConfigError, match="write host:port/name:tag"):
            push(box, registry.host)
        host = registry.host
    with pytest.raises(ConnectError, match=f"registry {host} does not answer"):
        push(box, f"{host}/box:1")


def test_users(box: OCIImage) -> None:
    with Registry(users={"joe": "secret", "äda": "pä ss"}) as registry:
        with pytest.raises(RegistryAuthError, match="refused the credentials") as caught:
            push(box, f"{registry.host}/box:1")
        assert caught.value.host == registry.host
        for login in ("joe:secret", "äda:pä ss"):
            header = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
            push(box, f"{registry.host}/box:1", headers=header)


def test_token(box: OCIImage, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "root.pem"))
    token = TokenAuth("http://127.0.0.1:9/token", "the-service", "the-issuer", tmp_path / "root.pem")
    with Registry(token=token) as registry:
        status, headers, _ = get(registry, "/v2/")
        assert status == 401
        assert headers["Www-Authenticate"] == 'Bearer realm="http://127.0.0.1:9/token",service="the-service"'


def test_tls(box: OCIImage, tmp_path: Path) -> None:
    import ssl

    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    with Registry(certificate=tmp_path / "both.pem", key=tmp_path / "both.pem") as registry:
        assert registry.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context()
        ca.configure_trust(context)
        push(box, f"{registry.host}/box:1", tls=context)
        with pytest.raises(ConnectError, match="certificate verify failed"):
            push(box, f"{registry.host}/box:1", tls=ssl.create_default_context())


@pytest.mark.parametrize("delete", [True, False])
def test_delete(box: OCIImage, delete: bool) -> None:
    with Registry(delete=delete) as registry:
        push(box, f"{registry.host}/box:1")
        connection = HTTPConnection(registry.host, timeout=10)
        connection.request("DELETE", f"/v2/box/manifests/{box.digest}")
        assert connection.getresponse().status == (202 if delete else 405)
        connection.close()


# --- the fixtures -----------------------------------------------------------------------------------------


def test_the_daemon_of_this_run(buildkitd: BuildkitdService, registry: Registry) -> None:
    assert buildkitd.kind == "binary"
    assert buildkitd.registry is registry
    # The tail of what the daemon says: its first lines may be out of it by now.
    assert "level=" in buildkitd.log()
    with buildkitd.blocking_client() as client:
        assert client.info().version == "v0.32.2"


async def test_async_client(buildkit: AsyncClient, buildkitd: BuildkitdService) -> None:
    assert buildkit.address == buildkitd.address
    assert (await buildkit.workers())[0].platforms


def test_blocking_client(buildkit_client: Client, buildkitd: BuildkitdService) -> None:
    assert buildkit_client.address == buildkitd.address
    assert buildkit_client.workers()


@pytest.mark.parametrize("name", BASE_IMAGES)
def test_base_images_are_there(
    buildkitd: BuildkitdService, buildctl: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {name}\nRUN test -x /bin/sh -a -d /tmp && id -u nobody | grep 65534\n"
    )
    argv = [
        str(buildctl),
        "--addr",
        buildkitd.address,
        "build",
        "--frontend=dockerfile.v0",
        "--progress=plain",
    ]
    argv += [f"--local={local}={tmp_path}" for local in ("context", "dockerfile")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


TESTS = """
import pytest

@pytest.fixture(scope="session")
def buildkitd_options():
    from pybuildkit.testing.service import BuildkitdOptions
    return BuildkitdOptions(order=["binary"])

@pytest.mark.parametrize("number", range(4))
def test_it(buildkitd, number):
    print("ADDRESS", buildkitd.address)

async def test_async(buildkit, anyio_backend_name):
    assert (await buildkit.info()).version

def test_blocking(buildkit_client):
    assert buildkit_client.info().version
"""


@pytest.fixture
def users_tests(tmp_path: Path) -> list[str]:
    """A command that runs a user's tests, with the plugin loaded as its entry point would."""
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    )
    script = f"import sys, pytest; sys.path.insert(0, {str(ROOT)!r}); sys.exit(pytest.main(sys.argv[1:]))"
    plugin = [] if _is_installed() else ["-p", "pybuildkit.testing.pytest_plugin"]
    words = ["-o", "anyio_mode=auto", "-p", "no:cacheprovider", "-W", "error", "-rP", str(tmp_path)]
    return [sys.executable, "-c", script, *plugin, *words]


def _is_installed() -> bool:
    from importlib.metadata import entry_points

    return bool(entry_points(group="pytest11", name="pybuildkit"))


@pytest.mark.parametrize("workers", [0, 2])
def test_users_tests(
    users_tests: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: int
) -> None:
    """Each worker of pytest-xdist has a daemon of its own."""
    monkeypatch.setenv("PYBUILDKIT_BUILDKITD", str(find_tool("buildkitd")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = subprocess.run(
        [*users_tests, "-n", str(workers)], cwd=tmp_path, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
    addresses = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("ADDRESS ")}
    assert len(addresses) == max(1, workers)
    assert list(tmp_path.glob("pybuildkit-*")) == []
