"""Private registries: what opens them, what the daemon gets to know of it, and what happens when it is wrong."""

from __future__ import annotations

import base64
import json
import logging
import os
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.errors import RegistryAuthError
from pybuildkit.events import SolveStatus
from pybuildkit.fsutil import MemoryTree
from pybuildkit.outputs import Image
from pybuildkit.registry import Credentials, DockerConfig, RegistryAuth, RegistryTLS
from pybuildkit.testing.images import OCIImage
from pybuildkit.testing.push import push
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdService
from tests.conftest import find_tool
from tests.support.tokenserver import TokenServer, token_server

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

USERS = {"alice": "hunter2", "bob": "hunter3"}


@pytest.fixture(scope="module")
def basic() -> Generator[Registry]:
    """A registry that wants a password with each request."""
    binary = find_tool("registry")
    if binary is None:
        pytest.skip("registry is not there; run 'make tools'")
    with Registry(binary, users=USERS) as registry:
        yield registry


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Generator[TokenServer]:
    """A token server."""
    with token_server(tmp_path_factory.mktemp("tokens"), USERS) as server:
        yield server


@pytest.fixture(scope="module")
def bearer(tokens: TokenServer) -> Generator[Registry]:
    """A registry that wants tokens of that server."""
    binary = find_tool("registry")
    if binary is None:
        pytest.skip("registry is not there; run 'make tools'")
    with Registry(binary, token=tokens.auth) as registry:
        yield registry


@pytest.fixture(autouse=True)
def as_it_was(tokens: TokenServer) -> Generator[None]:
    """Each test finds the token server in good temper."""
    tokens.asked.clear()
    tokens.users_seen.clear()
    yield
    tokens.life, tokens.age, tokens.spoilt, tokens.oauth = 300, 0, 0, True


async def private(registry: Registry, image: OCIImage, tokens: TokenServer | None = None) -> str:
    """Put the base image into a repository of its own, so that the daemon knows nothing of it yet."""
    name = f"private-{uuid.uuid4().hex[:12]}"
    if tokens is None:
        header = "Basic " + base64.b64encode(b"alice:hunter2").decode()
    else:
        header = f"Bearer {tokens.token(f'repository:{name}:pull,push', user='alice')}"
    headers = {"Authorization": header}
    await anyio.to_thread.run_sync(lambda: push(image, f"{registry.host}/{name}:1", headers=headers))
    return f"{registry.host}/{name}"


class Watched:
    """The names of the steps that were shown."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def __call__(self, batch: SolveStatus) -> None:
        self.steps += [vertex.name for vertex in batch.vertexes if vertex.name not in self.steps]

    @property
    def auth(self) -> list[str]:
        """Those on registries."""
        return [name for name in self.steps if name.startswith("[auth]")]


async def build_on(client: AsyncClient, image: str, **options: Any) -> Watched:
    """Pull an image and use it."""
    watched = Watched()
    dockerfile = f"FROM {image}:1\nRUN echo {uuid.uuid4().hex}\n"
    await client.build(MemoryTree({"Dockerfile": dockerfile}), progress=watched, **options)
    return watched


async def test_basic_authentication(buildkit: AsyncClient, basic: Registry, base_image: OCIImage) -> None:
    """S68: pull and push; the daemon needs the password itself, and that is told (S79)."""
    image = await private(basic, base_image)
    with pytest.raises(RegistryAuthError) as caught:
        await build_on(buildkit, image, auth=False)
    assert caught.value.host == basic.host
    auth = {basic.host: ("alice", "hunter2")}
    output = Image(f"{image}:out", push=True)
    assert (await build_on(buildkit, image, auth=auth, outputs=output)).auth == [
        f"[auth] sharing credentials for {basic.host}"
    ]


async def test_a_wrong_password(buildkit: AsyncClient, basic: Registry, base_image: OCIImage) -> None:
    image = await private(basic, base_image)
    with pytest.raises(RegistryAuthError) as caught:
        await build_on(buildkit, image, auth={basic.host: ("alice", "hunter9")})
    assert caught.value.host == basic.host
    assert f"docker login {basic.host}" in str(caught.value)
    assert "hunter" not in str(caught.value)


async def test_a_corrected_password_is_used_at_once(
    buildkit: AsyncClient, basic: Registry, base_image: OCIImage
) -> None:
    """S76: what a registry has refused is not kept, although the client lives on."""
    image = await private(basic, base_image)
    passwords = iter(["hunter9", "hunter2"])
    async with AsyncClient(buildkit.address, auth=lambda host: ("alice", next(passwords))) as client:
        with pytest.raises(RegistryAuthError):
            await build_on(client, image)
        await build_on(client, image)


@pytest.mark.parametrize("oauth", [True, False], ids=["oauth", "basic"])
async def test_a_token_where_one_will_do(
    buildkit: AsyncClient, bearer: Registry, tokens: TokenServer, base_image: OCIImage, oauth: bool
) -> None:
    """S69 to S72: this client fetches the tokens, for pulling and for pushing; the daemon never sees the password."""
    image = await private(bearer, base_image, tokens)
    tokens.oauth = oauth
    name = image.partition("/")[2]
    watched = await build_on(
        buildkit, image, auth={bearer.host: ("alice", "hunter2")}, outputs=Image(f"{image}:out", push=True)
    )
    assert f"[auth] {name}:pull token for {bearer.host}" in watched.auth
    assert f"[auth] {name}:pull,push token for {bearer.host}" in watched.auth
    assert not [line for line in watched.auth if "sharing" in line]
    assert set(tokens.users_seen) == {"alice"}
    assert all(asked.headers["user-agent"].startswith("pybuildkit/") for asked in tokens.asked)


async def test_an_identity_token(
    buildkit: AsyncClient, bearer: Registry, tokens: TokenServer, base_image: OCIImage
) -> None:
    """S69: what ``docker login`` gets from servers that know OAuth."""
    image = await private(bearer, base_image, tokens)
    await build_on(buildkit, image, auth={bearer.host: Credentials(identity_token="hunter2")})
    assert [asked.form["grant_type"] for asked in tokens.asked] == [["refresh_token"]]


async def test_a_finished_token(
    buildkit: AsyncClient, bearer: Registry, tokens: TokenServer, base_image: OCIImage
) -> None:
    """S69: ``registrytoken`` is handed on; no server is asked."""
    image = await private(bearer, base_image, tokens)
    scope = f"repository:{image.partition('/')[2]}:pull"
    await build_on(buildkit, image, auth={bearer.host: Credentials(registry_token=tokens.token(scope))})
    assert tokens.asked == []


async def test_a_wrong_password_at_the_token_server(
    buildkit: AsyncClient, bearer: Registry, tokens: TokenServer, base_image: OCIImage
) -> None:
    """The error has what the token server says."""
    image = await private(bearer, base_image, tokens)
    with pytest.raises(RegistryAuthError, match="401 Unauthorized: incorrect username or password") as caught:
        await build_on(buildkit, image, auth={bearer.host: ("alice", "hunter9")})
    assert caught.value.host == bearer.host
    assert "hunter" not in str(caught.value)


async def test_nobody_in_particular(
    buildkit: AsyncClient, bearer: Registry, tokens: TokenServer, base_image: OCIImage
) -> None:
    """S72: without credentials the daemon fetches a token itself, which opens nothing here."""
    image = await private(bearer, base_image, tokens)
    with pytest.raises(RegistryAuthError) as caught:
        await build_on(buildkit, image, auth=lambda host: None)
    assert caught.value.host == bearer.host
    assert {asked.headers["user-agent"].partition("/")[0] for asked in tokens.asked}.isdisjoint(
        {"pybuildkit"}
    )


async def test_a_token_that_is_expired_already(
    buildkit: AsyncClient, bearer: Registry, tokens: TokenServer, base_image: OCIImage
) -> None:
    """One dead token is replaced; a server that gives nothing else ends the build, and in finite time."""
    image = await private(bearer, base_image, tokens)
    auth = {bearer.host: ("alice", "hunter2")}
    tokens.spoilt = 1
    await build_on(buildkit, image, auth=auth)
    assert len(tokens.asked) >= 2
    image = await private(bearer, base_image, tokens)
    tokens.spoilt = 1000
    started = time.monotonic()
    with pytest.raises(RegistryAuthError) as caught:
        await build_on(buildkit, image, auth=auth)
    assert caught.value.host == bearer.host
    assert time.monotonic() - started < 60


async def test_a_token_that_expires_between_builds(
    buildkit: AsyncClient, bearer: Registry, tokens: TokenServer, base_image: OCIImage
) -> None:
    """S69: the daemon is told how long it lives, and asks again; a second build uses it as long as it lives."""
    image = await private(bearer, base_image, tokens)
    auth = {bearer.host: ("alice", "hunter2")}
    await build_on(buildkit, image, auth=auth)
    asked = len(tokens.asked)
    tokens.life, tokens.age = 60, 57
    image = await private(bearer, base_image, tokens)
    await build_on(buildkit, image, auth=auth)
    tokens.life, tokens.age = 300, 0
    await build_on(buildkit, image, auth=auth)
    assert len(tokens.asked) > asked + 1


async def test_one_users_tokens_are_not_anothers(
    buildkitd: BuildkitdService, bearer: Registry, tokens: TokenServer, base_image: OCIImage
) -> None:
    """S70: the daemon keeps tokens by the client's identity, and each user is somebody else."""
    image = await private(bearer, base_image, tokens)
    async with buildkitd.client(auth={bearer.host: ("alice", "hunter2")}) as alice:
        await build_on(alice, image)
    async with buildkitd.client(auth={bearer.host: ("bob", "hunter9")}) as bob:
        with pytest.raises(RegistryAuthError):
            await build_on(bob, image, pull=True)
    async with buildkitd.client(auth={bearer.host: ("bob", "hunter3")}) as bob:
        await build_on(bob, image, pull=True)
    assert set(tokens.users_seen) == {"alice", "bob"}


@pytest.mark.parametrize("why", ["variable", "library"])
async def test_where_tokens_will_not_do(
    buildkit: AsyncClient,
    bearer: Registry,
    tokens: TokenServer,
    base_image: OCIImage,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S72, S74: without a library to sign with, or when it is turned off, the daemon gets the password."""
    image = await private(bearer, base_image, tokens)
    if why == "variable":
        monkeypatch.setenv("BUILDKIT_NO_CLIENT_TOKEN", "1")
    else:
        monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    watched = await build_on(buildkit, image, auth={bearer.host: ("alice", "hunter2")})
    assert watched.auth == [f"[auth] sharing credentials for {bearer.host}"]


def helper(folder: Path, script: str) -> DockerConfig:
    """Docker's configuration with a credential helper."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"credsStore": "test"}')
    path = folder / "docker-credential-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return DockerConfig(folder, environ={"PATH": f"{folder}:/usr/bin:/bin"}, helper_timeout=2)


async def test_a_credential_helper(
    buildkit: AsyncClient, bearer: Registry, tokens: TokenServer, base_image: OCIImage, tmp_path: Path
) -> None:
    """S77: it is asked once for a build and more (S76), and the identity is kept beside docker's configuration (S73)."""
    image = await private(bearer, base_image, tokens)
    script = f'cat >> {tmp_path}/asked; echo >> {tmp_path}/asked; echo \'{{"Username":"alice","Secret":"hunter2"}}\''
    config = helper(tmp_path / "docker", script)
    await build_on(buildkit, image, auth=config, outputs=Image(f"{image}:out", push=True))
    assert (tmp_path / "asked").read_text().split() == [bearer.host]
    assert list(json.loads((tmp_path / "docker" / ".token_seed").read_text())) == [bearer.host]


@pytest.mark.parametrize("kind", ["basic", "bearer"])
@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo hunter2; echo hunter2 >&2; exit 1", "failed (exit code 1)"),
        ("echo hunter2; sleep 60", "did not answer within 2 s"),
        ("echo hunter2", "answered something else than credentials"),
    ],
    ids=["fails", "hangs", "rubbish"],
)
async def test_a_bad_credential_helper(
    buildkit: AsyncClient,
    basic: Registry,
    bearer: Registry,
    tokens: TokenServer,
    base_image: OCIImage,
    tmp_path: Path,
    kind: str,
    script: str,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error says which helper, for which registry, and how to see more; what it printed is nowhere."""
    registry = basic if kind == "basic" else bearer
    image = await private(registry, base_image, tokens if kind == "bearer" else None)
    with caplog.at_level(logging.DEBUG), pytest.raises(RegistryAuthError) as caught:
        await build_on(buildkit, image, auth=helper(tmp_path, script))
    shown = str(caught.value)
    assert f"the credential helper docker-credential-test {text} for {registry.host}" in shown
    assert "docker-credential-test get` to see why" in shown
    assert caught.value.host == registry.host
    assert "hunter2" not in shown + caplog.text


@pytest.fixture
def secured(tmp_path: Path) -> Generator[tuple[Registry, TokenServer]]:
    """A registry whose token server has a certificate of its own authority, which is in ``ca.pem``."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with (
        token_server(tmp_path / "tokens", USERS, tls=context) as server,
        Registry(find_tool("registry"), token=server.auth) as registry,
    ):
        yield registry, server


async def test_a_token_server_with_its_own_authority(
    buildkit: AsyncClient, secured: tuple[Registry, TokenServer], base_image: OCIImage, tmp_path: Path
) -> None:
    """S78, X26: TLS is set up for one registry, and is for that one alone."""
    registry, server = secured
    image = await private(registry, base_image, server)
    credentials = {registry.host: ("alice", "hunter2")}
    with pytest.raises(RegistryAuthError, match=r"is not trusted: .*--registry-auth-tlscontext"):
        await build_on(buildkit, image, auth=RegistryAuth(credentials, tls="host=other.test,insecure=true"))
    tls = {registry.host: RegistryTLS(ca=(tmp_path / "ca.pem",))}
    await build_on(buildkit, image, auth=RegistryAuth(credentials, tls=tls))


async def test_images_of_a_graph(
    buildkitd: BuildkitdService, bearer: Registry, tokens: TokenServer, base_image: OCIImage
) -> None:
    """The client's credentials are those of everything that it does: looking up an image for a graph as well."""
    image = await private(bearer, base_image, tokens)
    async with buildkitd.client(auth={bearer.host: ("alice", "hunter2")}) as client:
        await client.solve(llb.image(f"{image}:1", resolve=True).run("true"))


def test_the_blocking_client(
    buildkitd: BuildkitdService, bearer: Registry, tokens: TokenServer, base_image: OCIImage
) -> None:
    image = anyio.run(private, bearer, base_image, tokens)
    with Client(buildkitd.address, auth={bearer.host: ("alice", "hunter2")}) as client:
        client.build(MemoryTree({"Dockerfile": f"FROM {image}:1\n"}))


def test_the_command_line_takes_dockers_configuration(
    buildkitd: BuildkitdService, bearer: Registry, tokens: TokenServer, base_image: OCIImage, tmp_path: Path
) -> None:
    """S77: as after ``docker login``; nothing of it is shown."""
    image = anyio.run(private, bearer, base_image, tokens)
    (tmp_path / "docker").mkdir()
    auth = base64.b64encode(b"alice:hunter2").decode()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {bearer.host: {"auth": auth}}}))
    (tmp_path / "Dockerfile").write_text(f"FROM {image}:1\nRUN true\n")
    environ = {**os.environ, "DOCKER_CONFIG": str(tmp_path / "docker"), "BUILDKIT_HOST": buildkitd.address}
    done = subprocess.run(
        [sys.executable, "-m", "pybuildkit", "build", str(tmp_path), "--progress", "plain"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert f"[auth] {image.partition('/')[2]}:pull token for {bearer.host}" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert auth not in done.stdout + done.stderr
