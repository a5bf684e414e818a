"""Which docker engine is meant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme

from pybuildkit.errors import ConfigError
from pybuildkit.transport.docker_engine import Engine, find_engine


def context(folder: Path, name: str, host: str, **endpoint: object) -> Path:
    """A context as the docker command stores it; its TLS folder."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(
        json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host, **endpoint}}})
    )
    return folder / "contexts" / "tls" / key / "docker"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    context(tmp_path, "one", "unix:///one.sock")
    context(tmp_path, "two", "tcp://two:5")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "environ", "engine"),
    [
        ("", {}, Engine("unix:///var/run/docker.sock", socket_path="/var/run/docker.sock")),
        ("", {"DOCKER_HOST": "unix:///h.sock"}, Engine("unix:///h.sock", socket_path="/h.sock")),
        ("", {"DOCKER_HOST": "tcp://h"}, Engine("tcp://h", host="h", port=2375)),
        ("", {"DOCKER_HOST": "tcp://[::1]:9"}, Engine("tcp://[::1]:9", host="::1", port=9)),
        ("", {"DOCKER_CONTEXT": "one"}, Engine("unix:///one.sock", socket_path="/one.sock")),
        ("", {"DOCKER_CONTEXT": "one", "DOCKER_HOST": "tcp://h:1"}, Engine("tcp://h:1", host="h", port=1)),
        (
            "two",
            {"DOCKER_CONTEXT": "one", "DOCKER_HOST": "tcp://h:1"},
            Engine("tcp://two:5", host="two", port=5),
        ),
        (
            "default",
            {"DOCKER_CONTEXT": "one", "DOCKER_HOST": "tcp://h:1"},
            Engine("tcp://h:1", host="h", port=1),
        ),
        ("default", {"DOCKER_CONTEXT": "one"}, Engine("unix:///var/run/docker.sock", "/var/run/docker.sock")),
    ],
)
def test_order(folder: Path, name: str, environ: Mapping[str, str], engine: Engine) -> None:
    assert find_engine(name, {"DOCKER_CONFIG": str(folder), **environ}) == engine


def test_current_context(folder: Path) -> None:
    (folder / "config.json").write_text('{"currentContext": "two"}')
    environ = {"DOCKER_CONFIG": str(folder)}
    assert find_engine("", environ).host == "two"
    assert find_engine("", {**environ, "DOCKER_CONTEXT": "one"}).socket_path == "/one.sock"
    home = folder / "home"
    (home / ".docker").mkdir(parents=True)
    (home / ".docker" / "config.json").write_text('{"currentContext": "default"}')
    assert find_engine("", {"HOME": str(home)}).socket_path == "/var/run/docker.sock"


@pytest.mark.parametrize(
    ("name", "environ", "says"),
    [
        ("three", {}, "no docker context 'three'; 'docker context ls'"),
        ("", {"DOCKER_HOST": "ssh://joe@h"}, r"\$DOCKER_HOST, 'ssh://joe@h', can not be reached from here"),
        ("", {"DOCKER_HOST": "tcp://h:x"}, "can not be read"),
        ("", {"DOCKER_HOST": "h:2375"}, "only unix:///path and tcp://host:port"),
    ],
)
def test_what_can_not_be(folder: Path, name: str, environ: Mapping[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find_engine(name, {"DOCKER_CONFIG": str(folder), **environ})


def test_broken_files(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json can not be read"):
        find_engine("", {"DOCKER_CONFIG": str(folder)})
    meta = next((folder / "contexts" / "meta").iterdir()) / "meta.json"
    name = json.loads(meta.read_text())["Name"]
    meta.write_text('{"Endpoints": {}}')
    with pytest.raises(ConfigError, match=f"docker context '{name}' can not be read"):
        find_engine(name, {"DOCKER_CONFIG": str(folder)})


def write_certificates(folder: Path) -> None:
    ca = trustme.CA()
    leaf = ca.issue_cert("client")
    folder.mkdir(parents=True)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))


def test_tls(tmp_path: Path) -> None:
    """As docker has it: a folder means TLS, DOCKER_TLS_VERIFY that the engine's certificate is checked."""
    write_certificates(tmp_path / "certs")
    environ = {
        "DOCKER_HOST": "tcp://h",
        "DOCKER_CERT_PATH": str(tmp_path / "certs"),
        "DOCKER_TLS_VERIFY": "1",
    }
    engine = find_engine("", environ)
    assert engine.port == 2376
    assert engine.tls is not None
    assert engine.tls.check_hostname
    unchecked = find_engine("", {**environ, "DOCKER_TLS_VERIFY": ""})
    assert unchecked.tls is not None
    assert not unchecked.tls.check_hostname
    (tmp_path / "certs" / "key.pem").write_text("no key")
    with pytest.raises(ConfigError, match=r"certificates in .* can not be used"):
        find_engine("", environ)


def test_tls_of_a_context(tmp_path: Path) -> None:
    write_certificates(context(tmp_path, "far", "tcp://far"))
    engine = find_engine("far", {"DOCKER_CONFIG": str(tmp_path)})
    assert (engine.port, engine.tls is not None) == (2376, True)
