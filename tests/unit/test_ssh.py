"""SSH agents as values: which socket, which keys, buildctl's text."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.errors import ConfigError
from pybuildkit.ssh import MAX_KEY_SIZE, SSHAgent, coerce_ssh


@pytest.fixture
def sock(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        yield path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "id_ed25519"
    path.write_bytes(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    return path


def test_buildctl_text(sock: Path, key: Path, tmp_path: Path) -> None:
    """B28, S85."""
    other = tmp_path / "other"
    other.write_bytes(b"x")
    assert SSHAgent.parse("default") == ("default", SSHAgent())
    assert SSHAgent.parse("") == ("default", SSHAgent())
    assert SSHAgent.parse("git=") == ("git", SSHAgent())
    assert SSHAgent.parse(f"git={sock}") == ("git", SSHAgent(socket=str(sock)))
    assert SSHAgent.parse(f"git={sock},raw=true") == ("git", SSHAgent(socket=str(sock), raw=True))
    assert SSHAgent.parse(f"git={key},{other}") == ("git", SSHAgent(keys=(str(key), str(other))))
    assert SSHAgent.parse(f"git={key},raw=false") == ("git", SSHAgent(keys=(str(key),)))


def test_bad_text(sock: Path, key: Path) -> None:
    for text, says in (
        ("a=/nowhere", "'/nowhere' can not be used: No such file"),
        ("a=raw=true", "exactly one socket"),
        (f"a={sock},{sock},raw=true", "exactly one socket"),
        (f"a={key},raw=true", "is none"),
        (f"a={sock},{key}", "one socket or several keys"),
        (f"a={sock},{sock}", "one socket or several keys"),
        (f"a={sock},raw=si", "raw='si' is not a boolean"),
    ):
        with pytest.raises(ConfigError, match=says):
            SSHAgent.parse(text)


def test_the_default_agent_is_the_environments() -> None:
    assert SSHAgent().socket_path({"SSH_AUTH_SOCK": "/s"}) == Path("/s")
    assert SSHAgent(socket="/mine").socket_path({"SSH_AUTH_SOCK": "/s"}) == Path("/mine")
    assert SSHAgent(keys=(b"k",)).socket_path({}) is None
    for environ in ({}, {"SSH_AUTH_SOCK": ""}):
        with pytest.raises(ConfigError, match=r"SSH_AUTH_SOCK is not set"):
            SSHAgent().socket_path(environ)


def test_check_before_the_build(
    sock: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S83, R13."""
    assert stat.S_ISSOCK(sock.stat().st_mode)
    for agent in (SSHAgent(socket=sock), SSHAgent(keys=(key, b"key"))):
        agent.check("x")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
    SSHAgent().check("x")
    for agent, says in (
        (SSHAgent(socket=key), "is not a socket"),
        (SSHAgent(socket=tmp_path / "no"), "No such file"),
        (SSHAgent(keys=(tmp_path / "no",)), "No such file"),
        (SSHAgent(keys=(tmp_path,)), "can not be read"),
        (SSHAgent(keys=(b"x" * (MAX_KEY_SIZE + 1),)), "no key is that big"),
    ):
        with pytest.raises(ConfigError, match=says):
            agent.check("x")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SSHAgent(socket="/s", keys=(b"k",)), "not both"),
        (lambda: SSHAgent(raw=True), "needs a socket"),
        (lambda: SSHAgent(socket=""), "is empty"),
        (lambda: SSHAgent(keys=b"k"), "put the one into brackets"),  # type: ignore[arg-type]
        (lambda: SSHAgent(keys=(b"k",), passphrase="x"), "must be bytes"),  # type: ignore[arg-type]
        (lambda: coerce_ssh(["default", SSHAgent()]), "given twice"),
        (lambda: coerce_ssh({"x": 7}), "not int"),
    ],
)
def test_bad_values(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_coercion(sock: Path, key: Path) -> None:
    agent = SSHAgent(keys=(b"k",))
    assert coerce_ssh(None) == coerce_ssh(False) == {}
    assert coerce_ssh(True) == coerce_ssh("default") == {"default": SSHAgent()}
    assert coerce_ssh(agent) == coerce_ssh([agent]) == {"default": agent}
    assert coerce_ssh(["default", f"git={key}"]) == {
        "default": SSHAgent(),
        "git": SSHAgent(keys=(str(key),)),
    }
    assert coerce_ssh({"a": agent, "b": sock, "c": str(key)}) == {
        "a": agent,
        "b": SSHAgent(socket=sock),
        "c": SSHAgent(keys=(key,)),
    }


def test_repr_shows_no_key() -> None:
    shown = repr(SSHAgent(keys=(b"hunter2", Path("/k")), passphrase=b"hunter2"))
    assert shown == "SSHAgent(keys=[<7 bytes>, '/k'], passphrase=<hidden>)"
    assert repr(SSHAgent(socket="/s", raw=True)) == "SSHAgent(socket='/s', raw=True)"
