"""The auth service, called as the daemon calls it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pybuildkit import _wire
from pybuildkit.errors import ConfigError
from pybuildkit.registry import Credentials, DockerConfig, RegistryAuth
from pybuildkit.registry.opener import AuthOpener
from pybuildkit.session.auth import CREDENTIALS, FETCH_TOKEN, GET_AUTHORITY, VERIFY_AUTHORITY, AuthService
from pybuildkit.session.calls import Code, Status
from tests.support import fakedaemon
from tests.support.fakedaemon import FakeDaemon, fake_daemon
from tests.support.goprograms import program
from tests.support.httpserver import Answer, Asked, serve

SALT = bytes(range(32))
PAYLOAD = b"p" * 32


@pytest.fixture(autouse=True, params=["memory", "socket"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to carry a session."""
    monkeypatch.setattr(fakedaemon, "CARRIER", request.param)


def service(auth: Any, **options: Any) -> AuthService:
    return AuthService(AuthOpener(auth), environ=options.pop("environ", {}), **options)


def message(*fields: tuple[int, str | bytes]) -> bytes:
    return b"".join(_wire.field_bytes(n, v.encode() if isinstance(v, str) else v) for n, v in fields)


async def credentials(daemon: FakeDaemon, host: str) -> tuple[str, str]:
    answer, status = await daemon.unary(CREDENTIALS, message((1, host)))
    assert status == Status()
    return _wire.first(answer or b"", 1).decode(), _wire.first(answer or b"", 2).decode()


async def authority(daemon: FakeDaemon, host: str) -> tuple[bytes, Status]:
    answer, status = await daemon.unary(GET_AUTHORITY, message((1, host), (2, SALT)))
    return _wire.first(answer or b"", 1), status


def token_request(realm: str, host: str = "a.test", *scopes: str) -> bytes:
    return message(
        (1, "buildkit-client"), (2, host), (3, realm), (4, "svc"), *((5, scope) for scope in scopes)
    )


async def test_methods_have_filesyncs_package() -> None:
    """T11."""
    async with fake_daemon(service(False)) as daemon:
        for method in ("Credentials", "FetchToken", "GetTokenAuthority", "VerifyTokenAuthority"):
            _, status = await daemon.unary(f"/moby.filesync.v1.Auth/{method}", b"\xff")
            assert status.code == Code.INVALID_ARGUMENT


async def test_credentials() -> None:
    """S68."""
    hosts = {"docker.io": ("me", "pw"), "a.test": Credentials("x", "y", "id"), "b.test": None}
    async with fake_daemon(service(hosts)) as daemon:
        assert await credentials(daemon, "registry-1.docker.io") == ("me", "pw")
        assert await credentials(daemon, "a.test") == ("", "id")
        assert await credentials(daemon, "b.test") == ("", "")
        assert await credentials(daemon, "c.test") == ("", "")


async def test_a_token() -> None:
    """S69, with its life."""
    told: list[str] = []
    document = {"access_token": "T", "expires_in": 300, "issued_at": "2001-02-03T04:05:06Z"}
    with serve(lambda asked: Answer(body=document)) as server:
        auth = service({"a.test": ("me", "pw")}, notice=told.append)
        async with fake_daemon(auth) as daemon:
            scopes = ("repository:x:pull", "repository:y:push,pull")
            answer, status = await daemon.unary(FETCH_TOKEN, token_request(server.url, "a.test", *scopes))
    assert status == Status()
    assert dict(_wire.fields(answer or b"")) == {1: b"T", 2: 300, 3: 981173106}
    assert server.asked[0].form["scope"] == ["repository:x:pull repository:y:push,pull"]
    assert server.asked[0].form["service"] == ["svc"]
    assert told == ["[auth] x:pull y:push,pull token for a.test"]


async def test_an_anonymous_token() -> None:
    """S69: nothing is said of it."""
    told: list[str] = []
    with serve(lambda asked: Answer(body={"token": "T"})) as server:
        async with fake_daemon(service(False, notice=told.append)) as daemon:
            answer, status = await daemon.unary(FETCH_TOKEN, token_request(server.url))
    assert status == Status()
    assert dict(_wire.fields(answer or b"")) == {1: b"T", 2: 60}
    assert (server.asked[0].method, told) == ("GET", [])


async def test_sessions_share_tokens_and_a_second_question_gets_a_new_one() -> None:
    """Who asks again in the same session could do nothing with the first: the registry has restarted, say."""
    numbers = iter(range(100))
    opener = AuthOpener({"a.test": ("me", "pw")})

    def answers(asked: Asked) -> Answer:
        return Answer(body={"access_token": f"T{next(numbers)}", "expires_in": 300})

    async def ask(daemon: FakeDaemon) -> bytes:
        return _wire.first((await daemon.unary(FETCH_TOKEN, token_request(server.url)))[0] or b"", 1)

    with serve(answers) as server:
        async with fake_daemon(AuthService(opener)) as one, fake_daemon(AuthService(opener)) as two:
            assert [await ask(one), await ask(two)] == [b"T0", b"T0"]
            assert [await ask(one), await ask(two)] == [b"T1", b"T2"]


async def test_a_wrong_password() -> None:
    """The daemon is told what the server says, and the build's error has it."""
    auth = service({"a.test": ("me", "hunter2")})
    with serve(lambda asked: Answer(401, {"details": "incorrect username or password"})) as server:
        async with fake_daemon(auth) as daemon:
            _, status = await daemon.unary(FETCH_TOKEN, token_request(server.url))
    assert status == Status(
        Code.UNKNOWN,
        f"failed to fetch oauth token: {server.url} answered 401 Unauthorized: incorrect username or password; "
        "log in again (docker login), or give other credentials in auth=",
    )
    assert list(auth.failed) == ["a.test"]


@pytest.mark.parametrize("first", ["go", "python"])
async def test_the_identity_is_gos(tmp_path: Path, first: str) -> None:
    """S70, S71, S73: the same keys and signatures from the same seeds, whoever has made them: tools share tokens."""
    hosts = ["registry-1.docker.io", "a.test:5000", "nobody.test"]
    document = {
        "auths": {"https://index.docker.io/v1/": {"auth": "YTpi"}, "a.test:5000": {"identitytoken": "x"}}
    }
    (tmp_path / "config.json").write_text(json.dumps(document))
    theirs = go_identities(tmp_path, hosts) if first == "go" else {}
    ours = {}
    auth = RegistryAuth(DockerConfig(tmp_path, environ={"PATH": ""}), tls="host=nobody.test,insecure=true")
    async with fake_daemon(service(auth)) as daemon:
        for host in hosts:
            key, status = await authority(daemon, host)
            assert status == Status()
            answer, _ = await daemon.unary(VERIFY_AUTHORITY, message((1, host), (2, PAYLOAD), (3, SALT)))
            signed = _wire.first(answer or b"", 1)
            Ed25519PublicKey.from_public_bytes(key).verify(signed[:64], PAYLOAD)
            assert signed[64:] == PAYLOAD
            ours[host] = key, signed
    assert ours == (theirs or go_identities(tmp_path, hosts))


def go_identities(folder: Path, hosts: list[str]) -> dict[str, tuple[bytes, bytes]]:
    """The public keys and signatures of a client in Go with that configuration."""
    question = {"hosts": hosts, "salt": b64encode(SALT).decode(), "payload": b64encode(PAYLOAD).decode()}
    done = subprocess.run(
        [str(program("authoracle"))],
        input=json.dumps(question).encode(),
        env={"DOCKER_CONFIG": str(folder)},
        capture_output=True,
        check=True,
    )
    answers = json.loads(done.stdout)
    return {h: (b64decode(answers[h]["public_key"]), b64decode(answers[h]["signed"])) for h in hosts}


async def test_another_daemon_knows_another_key() -> None:
    """S70: the salt is the daemon's own."""
    async with fake_daemon(service({"a.test": ("me", "pw")})) as daemon:
        first, _ = await authority(daemon, "a.test")
        other, _ = await daemon.unary(GET_AUTHORITY, message((1, "a.test"), (2, b"other")))
    assert first
    assert first != _wire.first(other or b"", 1)


async def test_other_credentials_are_somebody_else() -> None:
    """S70: with Go's clients one who has logged in as another is still the same."""
    keys = set()
    for password in ("one", "two"):
        async with fake_daemon(service({"a.test": ("me", password)})) as daemon:
            keys.add((await authority(daemon, "a.test"))[0])
    assert len(keys) == 2


async def test_without_credentials_the_daemon_fetches_tokens() -> None:
    """S72: UNAVAILABLE makes it ask for credentials, and go on without."""
    async with fake_daemon(service(False)) as daemon:
        assert (await authority(daemon, "a.test"))[1].code == Code.UNAVAILABLE
        _, status = await daemon.unary(VERIFY_AUTHORITY, message((1, "a.test"), (2, PAYLOAD), (3, SALT)))
        assert status.code == Code.UNAVAILABLE


@pytest.mark.parametrize(
    ("value", "off"), [("1", True), ("true", True), ("0", False), ("", False), ("what", False)]
)
async def test_tokens_can_be_turned_off(value: str, off: bool) -> None:
    """S74."""
    auth = service({"a.test": ("me", "pw")}, environ={"BUILDKIT_NO_CLIENT_TOKEN": value})
    async with fake_daemon(auth) as daemon:
        _, status = await authority(daemon, "a.test")
    assert status == (Status(Code.UNAVAILABLE, "client side tokens disabled") if off else Status())


async def test_without_cryptography_the_daemon_fetches_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """S72: UNIMPLEMENTED does it too."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    async with fake_daemon(service({"a.test": ("me", "pw")})) as daemon:
        _, status = await authority(daemon, "a.test")
        assert status.code == Code.UNIMPLEMENTED
        assert await credentials(daemon, "a.test") == ("me", "pw")


class Failing:
    """A source that raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def lookup(self, host: str) -> Credentials | None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("config.json is not JSON"), "config.json is not JSON"),
        (ValueError("hunter2"), "the credentials for a.test can not be had: ValueError"),
    ],
)
async def test_what_fails_is_told_without_secrets(
    error: Exception, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    auth = service(Failing(error))
    with caplog.at_level(logging.DEBUG):
        async with fake_daemon(auth) as daemon:
            for method in (CREDENTIALS, GET_AUTHORITY, VERIFY_AUTHORITY):
                _, status = await daemon.unary(method, message((1, "a.test"), (2, b"x")))
                assert status == Status(Code.UNKNOWN, text)
            _, status = await daemon.unary(FETCH_TOKEN, token_request("http://127.0.0.1:1/"))
            assert status == Status(Code.UNKNOWN, text)
    assert str(auth.failed["a.test"]) == text
    assert "hunter2" not in caplog.text


async def test_sharing_is_told_once_and_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """S79: as buildctl shows it."""
    told: list[str] = []
    with caplog.at_level(logging.DEBUG):
        async with fake_daemon(service({"a.test": ("me", "hunter2")}, notice=told.append)) as daemon:
            for host in ("a.test", "a.test", "b.test"):
                await credentials(daemon, host)
    assert told == ["[auth] sharing credentials for a.test"]
    assert "[auth] sharing credentials for a.test" in caplog.text
    assert "hunter2" not in caplog.text
