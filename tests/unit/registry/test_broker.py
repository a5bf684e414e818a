"""The broker: look-ups one at a time, tokens that live, seeds that tell one user from another."""

from __future__ import annotations

import ssl
from pathlib import Path

import anyio
import pytest
import trustme

from pybuildkit.errors import ConfigError, SessionError
from pybuildkit.registry import Credentials, DockerConfig, RegistryAuth, RegistryTLS
from pybuildkit.registry.auth import AuthBroker, auth_broker
from pybuildkit.registry.tokens import TokenRequest
from tests.support.httpserver import Answer, Asked, serve


async def test_one_look_up_at_a_time() -> None:
    """S76: macOS' helper hangs when two run at once."""
    running = 0

    async def slow(host: str) -> tuple[str, str]:
        nonlocal running
        running += 1
        assert running == 1
        await anyio.sleep(0.02)
        running -= 1
        return "me", host

    broker = auth_broker(slow)
    async with anyio.create_task_group() as tasks:
        for host in ("a.test", "b.test", "a.test"):
            tasks.start_soon(broker.credentials, host)
    assert await broker.credentials("b.test") == Credentials("me", "b.test")


async def test_a_token_lives_until_it_is_almost_over(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(100))
    broker = auth_broker({"a.test": ("me", "pw")})
    now = 1e9
    monkeypatch.setattr("pybuildkit.registry.auth.time.time", lambda: now)
    with serve(lambda asked: Answer(body={"access_token": f"T{next(numbers)}", "expires_in": 100})) as server:
        wanted = TokenRequest(server.url, "s", ("x",))
        seen = []
        for step in (0, 80, 9, 2):
            now += step
            seen.append((await broker.token("a.test", wanted)).value)
        assert seen == ["T0", "T0", "T0", "T1"]
        assert (await broker.token("a.test", wanted, fresh=True)).value == "T2"
        assert (await broker.token("a.test", TokenRequest(server.url, "s", ("y",)))).value == "T3"


async def test_after_a_refusal_credentials_are_looked_up_anew() -> None:
    passwords = iter(["wrong", "right"])

    def answers(asked: Asked) -> Answer:
        right = asked.form.get("password") == ["right"]
        return Answer(body={"access_token": "T"}) if right else Answer(401, {"details": "no"})

    broker = auth_broker(lambda host: ("me", next(passwords)))
    with serve(answers) as server:
        with pytest.raises(SessionError, match="401"):
            await broker.token("a.test", TokenRequest(server.url))
        assert (await broker.token("a.test", TokenRequest(server.url))).value == "T"


async def test_who_is_who(tmp_path: Path) -> None:
    """S70: what one's password has opened is not for somebody else, not even in the same process."""
    alice, bob = (auth_broker({"a.test": (name, "pw")}) for name in ("alice", "bob"))
    assert await alice.seed("a.test") == await alice.seed("a.test") != b""
    assert await alice.seed("a.test") != await bob.seed("a.test")
    assert await alice.seed("b.test") == b""
    config = '{"auths": {"a.test": {"auth": "YTpi"}, "b.test": {"registrytoken": "t"}}}'
    (tmp_path / "config.json").write_text(config)
    first, second = (auth_broker(DockerConfig(tmp_path)) for _ in range(2))
    assert await first.seed("a.test") == await second.seed("a.test") != b""
    assert await first.seed("b.test") != b""
    assert await first.seed("c.test") == b""


async def test_one_hosts_tls_is_not_anothers(tmp_path: Path) -> None:
    """S78, X26: Go uses it for all that come after."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("client@a.test")
    client.private_key_pem.write_to_path(tmp_path / "key.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    pairs = ((tmp_path / "cert.pem", tmp_path / "key.pem"),)
    auth = RegistryAuth(
        False,
        tls={
            "a.test": RegistryTLS((tmp_path / "ca.pem",), pairs),
            "b.test": RegistryTLS(key_pairs=pairs, insecure=True),
            "c.test": RegistryTLS((tmp_path / "ca.pem",)),
        },
    )
    broker = AuthBroker(auth)
    with serve(lambda asked: Answer(body={"token": "T"}), tls=context) as server:
        wanted = TokenRequest(server.url)
        for host in ("a.test", "b.test"):
            assert (await broker.token(host, wanted)).value == "T"
        with pytest.raises(SessionError):
            await broker.token("c.test", wanted)
        with pytest.raises(SessionError, match="is not trusted"):
            await broker.token("d.test", wanted)


@pytest.mark.parametrize("kind", ["ca", "pair"])
async def test_files_that_are_no_certificates(tmp_path: Path, kind: str) -> None:
    (tmp_path / "bad.pem").write_text("hunter2")
    bad = tmp_path / "bad.pem"
    for path in (bad, tmp_path / "missing.pem"):
        tls = RegistryTLS((path,)) if kind == "ca" else RegistryTLS(key_pairs=((path, path),))
        broker = AuthBroker(RegistryAuth(False, tls={"a.test": tls}))
        with pytest.raises(ConfigError, match=rf"registry TLS for a.test: '{path}' can not be used"):
            await broker.token("a.test", TokenRequest("https://127.0.0.1:1/"))
