"""Credentials as values, and the ways to say where they come from."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.errors import ConfigError
from pybuildkit.registry import Credentials, CredentialSource, DockerConfig, RegistryAuth, RegistryTLS
from pybuildkit.registry.auth import auth_broker
from pybuildkit.registry.credentials import coerce_source
from pybuildkit.registry.hosts import canonical_host, config_key


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("GHCR.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("ghcr.io/acme", "ghcr.io"),
        ("http://user@127.0.0.1:5000", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
    ],
)
def test_a_registry_has_many_names(name: str, host: str) -> None:
    """S75."""
    assert canonical_host(name) == host


def test_the_hub_has_a_name_of_its_own_in_dockers_files() -> None:
    """S75."""
    assert config_key("registry-1.docker.io") == "https://index.docker.io/v1/"
    assert config_key("127.0.0.1:5000") == "127.0.0.1:5000"


def test_nothing_secret_is_shown() -> None:
    every = Credentials("me", "hunter2", "hunter3", "hunter4")
    assert repr(every) == (
        "Credentials(username='me', password=<hidden>, identity_token=<hidden>, registry_token=<hidden>)"
    )
    assert "hunter" not in str(every)
    assert "hunter" not in repr(RegistryAuth({"a.test": ("me", "hunter2")}))


@pytest.mark.parametrize(
    ("credentials", "login", "there"),
    [
        (Credentials("me", "pw"), ("me", "pw"), True),
        (Credentials("me", "pw", "token"), ("", "token"), True),
        (Credentials(registry_token="t"), ("", ""), True),
        (Credentials("me"), ("me", ""), False),
    ],
)
def test_what_the_daemon_gets(credentials: Credentials, login: tuple[str, str], there: bool) -> None:
    """S68: with an identity token there is no name."""
    assert credentials.login == login
    assert bool(credentials) is there


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Credentials("a:b", "hunter2"), "'a:b' can not have a colon"),
        (lambda: Credentials("a", b"hunter2"), "password= must be a string, not bytes"),  # type: ignore[arg-type]
        (lambda: RegistryAuth({"a.test": "hunter2"}), "'a.test' can not be str"),  # type: ignore[dict-item]
        (lambda: RegistryAuth({"a.test": ("a", "b", "hunter2")}), "'a.test' can not be tuple"),  # type: ignore[dict-item]
        (lambda: RegistryAuth({"docker.io": None, "index.docker.io": None}), "docker.io is given twice"),
        (lambda: RegistryAuth({"": None}), "'' is not the name of a registry"),
        (lambda: RegistryAuth("hunter2"), "auth= can not be str"),
        (lambda: RegistryAuth(("me", "hunter2")), "auth= can not be tuple"),
        (lambda: RegistryAuth(7), "auth= can not be int"),  # type: ignore[arg-type]
        (lambda: RegistryAuth(tls="ca=x"), "has no host"),
    ],
)
def test_what_can_not_work(make: Any, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert text in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_mapping() -> None:
    source = coerce_source({"https://index.docker.io/v1/": ("me", "pw"), "b.test": Credentials("b", "c")})
    assert await source.lookup("registry-1.docker.io") == Credentials("me", "pw")
    assert await source.lookup("b.test") == Credentials("b", "c")
    assert await source.lookup("c.test") is None


async def test_functions() -> None:
    """X29: a plain one may block, so it runs in a thread; one that is async does not."""
    threads = []

    def plain(host: str) -> tuple[str, str] | None:
        threads.append(threading.current_thread())
        return ("me", host) if host == "docker.io" else None

    async def coroutine(host: str) -> Credentials:
        threads.append(threading.current_thread())
        return Credentials("async", host)

    source = coerce_source([plain, coroutine])
    assert await source.lookup("registry-1.docker.io") == Credentials("me", "docker.io")
    assert await source.lookup("b.test") == Credentials("async", "b.test")
    assert threads[0] is not threading.main_thread()
    assert threads[2] is threading.main_thread()


async def test_a_function_that_gives_something_else() -> None:
    source = coerce_source(lambda host: "hunter2")
    with pytest.raises(ConfigError, match=r"'a.test' can not be str") as caught:
        await source.lookup("a.test")
    assert "hunter2" not in str(caught.value)


async def test_nobody() -> None:
    assert await coerce_source(False).lookup("docker.io") is None


def test_a_source_stays_what_it_is(tmp_path: Path) -> None:
    config = DockerConfig(tmp_path)
    assert isinstance(config, CredentialSource)
    assert coerce_source(config) is config
    assert repr(config) == f"DockerConfig({str(tmp_path)!r})"
    assert isinstance(coerce_source(None), DockerConfig)
    assert isinstance(coerce_source(True), DockerConfig)


def test_tls_goes_by_host() -> None:
    """S78."""
    auth = RegistryAuth(False, tls=["host=index.docker.io,insecure=true", "host=a.test,ca=x.pem"])
    assert auth.tls == {"docker.io": RegistryTLS(insecure=True), "a.test": RegistryTLS(ca=("x.pem",))}
    broker = auth_broker(auth)
    assert broker.has_tls("registry-1.docker.io")
    assert not broker.has_tls("b.test")
    assert auth_broker(broker) is broker
