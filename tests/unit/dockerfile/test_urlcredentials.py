"""T20: credentials in the URLs of contexts become secrets."""

from __future__ import annotations

import base64

import pytest

from pybuildkit.dockerfile.urlcredentials import take_credentials
from pybuildkit.errors import ConfigError
from pybuildkit.planning import dockerfile_build, frontend_build, gateway_build
from pybuildkit.secrets import Secret


async def values(secrets: dict[str, Secret]) -> dict[str, str]:
    """The secrets, user and password readable."""
    found = {name: await secret.resolve(name) for name, secret in secrets.items()}
    return {
        name: base64.b64decode(data.removeprefix(b"Basic "), validate=True).decode()
        for name, data in found.items()
    }


@pytest.mark.parametrize(
    ("url", "told", "name", "login"),
    [
        (
            "https://user:hunter2@host/repo.git#main:sub",
            "https://host/repo.git#main:sub",
            "GIT_AUTH_HEADER.host",
            "user:hunter2",
        ),
        (
            "https://hunter2@host:8443/repo.git?ref=v1",
            "https://host:8443/repo.git?ref=v1",
            "GIT_AUTH_HEADER.host:8443",
            "hunter2:",
        ),
        (
            "HTTPS://u%40x:a%3Ab%2Fc@host/repo.git",
            "HTTPS://host/repo.git",
            "GIT_AUTH_HEADER.host",
            "u@x:a:b/c",
        ),
        (
            "http://:p@q@host:80/context.tar.gz?x=@y",
            "http://host:80/context.tar.gz?x=@y",
            "HTTP_AUTH_HEADER_host",
            ":p@q",
        ),
        ("https://u:p@[::1]:80/x", "https://[::1]:80/x", "HTTP_AUTH_HEADER_::1", "u:p"),
        ("https://u:p@host", "https://host", "HTTP_AUTH_HEADER_host", "u:p"),
    ],
)
async def test_a_url_with_credentials(url: str, told: str, name: str, login: str) -> None:
    for key in ("context", "context:lib", "context:lib::linux/amd64"):
        attrs = {key: url, "build-arg:URL": url}
        secrets = take_credentials(attrs, {"mine": Secret.value(b"Basic bWluZQ==")})
        assert attrs == {key: told, "build-arg:URL": url}
        assert await values(secrets) == {"mine": "mine", name: login}


@pytest.mark.parametrize(
    "text",
    [
        "https://host/repo.git?a=u:p@x",
        "https://host/u:p@x",
        "git@github.com:moby/buildkit.git",
        "ssh://git@host/repo.git",
        "git://user@host/repo.git",
        f"docker-image://busybox:1@sha256:{'0' * 64}",
        f"oci-layout://layout:1@sha256:{'0' * 64}",
        "local:a@b",
    ],
)
def test_no_credentials(text: str) -> None:
    attrs = {"context:x": text}
    assert take_credentials(attrs, {}) == {}
    assert attrs == {"context:x": text}


def test_the_main_context_may_have_another_name() -> None:
    attrs = {"contextkey": "main", "main": "https://u:p@host/x", "other": "https://u:p@host/x"}
    assert list(take_credentials(attrs, {})) == ["HTTP_AUTH_HEADER_host"]
    assert attrs == {"contextkey": "main", "main": "https://host/x", "other": "https://u:p@host/x"}


@pytest.mark.parametrize(
    ("attrs", "text"),
    [
        ({"context": "ssh://git:hunter2@host/x.git"}, "the context: the password in its URL .* ssh://"),
        ({"context:a": "git://u:hunter2@host/x.git"}, "the context 'a': the password .* leave it out"),
        (
            {"context": "https://u:hunter2@host/x.git", "context:a": "https://v:hunter2@host/y.git"},
            "the context 'a': its URL has credentials for host, and there are others .*GIT_AUTH_HEADER.host",
        ),
        ({"context": "https://u:hunter2@given/x"}, r"credentials for given.*\{'HTTP_AUTH_HEADER_given': b"),
    ],
)
def test_what_can_not_be_used_is_not_shown(attrs: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        take_credentials(attrs, {"HTTP_AUTH_HEADER_given": Secret.value(b"x")})
    assert "hunter2" not in str(caught.value)


def test_two_contexts_of_one_host() -> None:
    attrs = {"context": "https://u:p@host/x.git", "context:a": "https://u:p@host/y.git"}
    assert list(take_credentials(attrs, {})) == ["GIT_AUTH_HEADER.host"]


def test_each_way_to_a_frontend() -> None:
    url = "https://u:hunter2@host/x.git"
    for made in (
        dockerfile_build(url, {"contexts": {"lib": url}}),
        frontend_build({"frontend": "dockerfile.v0", "attrs": {"context": url}}, {}),
        gateway_build({"attrs": {"context": url}}, {}),
    ):
        assert made.attrs["context"] == "https://host/x.git"
        assert list(made.secrets) == ["GIT_AUTH_HEADER.host"]
        assert "hunter2" not in repr(made)
