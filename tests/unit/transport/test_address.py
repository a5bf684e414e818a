"""Addresses: N1 to N5."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit.errors import ConfigError
from pybuildkit.transport import (
    Address,
    DockerContainerAddress,
    TCPAddress,
    UnixAddress,
    address,
    default_address,
    dial,
    parse_address,
)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("unix:///run/buildkit/buildkitd.sock", UnixAddress("/run/buildkit/buildkitd.sock")),
        ("unix:///tmp/a%20b c", UnixAddress("/tmp/a%20b c")),
        ("tcp://127.0.0.1:1234", TCPAddress("127.0.0.1", 1234)),
        ("tcp://BuildKit.example:1234/", TCPAddress("buildkit.example", 1234)),
        ("tcp://[::1]:1234", TCPAddress("::1", 1234)),
        ("docker-container://buildx_buildkit_a-b.c0", DockerContainerAddress("buildx_buildkit_a-b.c0")),
        ("docker-container://b?context=my%20host", DockerContainerAddress("b", "my host")),
        ("docker-container://b?context=", DockerContainerAddress("b")),
    ],
)
def test_forms(text: str, parsed: Address) -> None:
    """N2, N3, N5."""
    assert parse_address(text) == parsed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no scheme"),
        ("/run/buildkit/buildkitd.sock", "did you mean unix:///run/buildkit/buildkitd.sock?"),
        ("localhost:1234", "no scheme"),
        ("unix:/run/x.sock", "no absolute path"),
        ("unix://relative/x.sock", "no absolute path"),
        ("unix:///x.sock?y=1", "no absolute path"),
        ("unix:///" + "x" * 107, "108 bytes; a unix socket's has at most 107"),
        ("tcp://host", "needs a host and a port"),
        ("tcp://:1234", "needs a host and a port"),
        ("tcp://host:0", "needs a host and a port"),
        ("tcp://host:99999", "can not be read"),
        ("tcp://host:x", "can not be read"),
        ("tcp://[::1:12", "can not be read"),
        ("tcp://host:1234/path", "behind the port"),
        ("tcp://host:1234?x=y", "behind the port"),
        ("tcp://host:1234#x", "leave #x out"),
        ("docker-container://", "names no container"),
        ("docker-container://-x", "names no container"),
        ("docker-container://a/b", "names no container"),
        ("docker-container://a?ctx=b", "unknown parameter 'ctx'"),
        ("kube-pod://a", "unknown scheme 'kube-pod'"),
        (
            "http://host:1234",
            "use unix:///path/to/buildkitd.sock, tcp://host:port or docker-container://name",
        ),
    ],
)
def test_refused(text: str, says: str) -> None:
    """N13: unlike Go, an unknown scheme is an error at once."""
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert says in str(caught.value)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="leave it out") as caught:
        parse_address("tcp://joe:hunter2@host:1234")
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=40))
def test_anything_else_is_a_config_error(text: str) -> None:
    for prefix in ("", "unix://", "tcp://", "docker-container://"):
        try:
            parsed = parse_address(prefix + text)
        except ConfigError:
            continue
        assert parse_address(str(parsed)) == parsed


async def test_dialling_only_translates() -> None:
    async with dial("unix:///run/x.sock") as endpoint:
        assert (endpoint.target, endpoint.socket_path) == ("unix:/run/x.sock", "/run/x.sock")
        assert endpoint.one_daemon
        assert not endpoint.tls_allowed
        assert endpoint.trouble() == ""
    async with dial("tcp://builder.example:1234") as endpoint:
        assert endpoint.address == "tcp://builder.example:1234"
        assert (endpoint.target, endpoint.host_port) == (
            "dns:///builder.example:1234",
            "builder.example:1234",
        )
        assert endpoint.tls_allowed
        assert not endpoint.one_daemon, "a name may stand for a balancer"
    async with dial(TCPAddress("::1", 1234)) as endpoint:
        assert (endpoint.address, endpoint.target) == ("tcp://[::1]:1234", "dns:///[::1]:1234")
        assert endpoint.one_daemon


# --- the default ------------------------------------------------------------------------------------------


@pytest.fixture
def no_system_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "system.sock"
    monkeypatch.setattr(address, "SYSTEM_SOCKET", path)
    return path


def listen(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))  # the file stays when the socket is closed


def test_default_is_none_without_anything(no_system_daemon: Path) -> None:
    assert default_address({}) is None
    assert default_address({"BUILDKIT_HOST": "", "XDG_RUNTIME_DIR": "/nowhere"}) is None


def test_default_order(no_system_daemon: Path, tmp_path: Path) -> None:
    """N1: the environment, the system's daemon, the user's own."""
    own = tmp_path / "buildkit" / "buildkitd.sock"
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    listen(own)
    assert default_address(environ) == f"unix://{own}"
    listen(no_system_daemon)
    assert default_address(environ) == f"unix://{no_system_daemon}"
    assert default_address({**environ, "BUILDKIT_HOST": "tcp://h:1"}) == "tcp://h:1"


def test_default_needs_a_socket_one_may_use(
    no_system_daemon: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_system_daemon.write_text("not a socket")
    assert default_address({}) is None
    no_system_daemon.unlink()
    listen(no_system_daemon)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert default_address({}) is None
