"""The daemon's configuration from arguments and the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pybuildkit.daemon import ServerTLS
from pybuildkit.daemon.config import Settings, build_config, merge
from pybuildkit.errors import ConfigError


@pytest.mark.parametrize(
    ("mirrors", "registry"),
    [
        (
            {"docker.io": ["localhost:5000"]},
            {"docker.io": {"mirrors": ["localhost:5000"]}, "localhost:5000": {"http": True}},
        ),
        (
            {"docker.io": ["127.0.0.2:1"]},
            {"docker.io": {"mirrors": ["127.0.0.2:1"]}, "127.0.0.2:1": {"http": True}},
        ),
        ({"docker.io": ["[::1]:1"]}, {"docker.io": {"mirrors": ["[::1]:1"]}, "[::1]:1": {"http": True}}),
        ({"docker.io": ["m.example"]}, {"docker.io": {"mirrors": ["m.example"]}}),
        ({"docker.io": ["https://localhost:5000"]}, {"docker.io": {"mirrors": ["localhost:5000"]}}),
        (
            {"docker.io": ["http://m.example/hub/"], "quay.io": ["m.example/quay", "n.example"]},
            {
                "docker.io": {"mirrors": ["m.example/hub"]},
                "m.example": {"http": True},
                "quay.io": {"mirrors": ["m.example/quay", "n.example"]},
            },
        ),
    ],
)
def test_mirrors(mirrors: dict[str, list[str]], registry: dict[str, Any]) -> None:
    assert build_config(Settings(mirrors=mirrors), None) == {"registry": registry}


def test_a_mirror_that_is_mirrored_itself_keeps_both() -> None:
    config = build_config(Settings(mirrors={"a": ["http://b"], "b": ["http://a"]}), None)
    assert config == {
        "registry": {"a": {"mirrors": ["b"], "http": True}, "b": {"mirrors": ["a"], "http": True}}
    }


def test_every_argument() -> None:
    settings = Settings(
        entitlements=("network.host", "security.insecure"),
        max_parallelism=2,
        gc=False,
        snapshotter="native",
        network="host",
        worker={"labels": {"a": "b"}, "gc": True},
        debug=True,
        tls=ServerTLS(Path("/c"), Path("/k"), Path("/ca")),
    )
    assert build_config(settings, None) == {
        "worker": {
            "oci": {
                "max-parallelism": 2,
                "gc": True,
                "snapshotter": "native",
                "networkMode": "host",
                "labels": {"a": "b"},
            }
        },
        "insecure-entitlements": ["network.host", "security.insecure"],
        "log": {"level": "debug"},
        "grpc": {"tls": {"cert": "/c", "key": "/k", "ca": "/ca"}},
    }
    assert build_config(Settings(), None) == {}


def test_arguments_win_over_the_users_and_those_over_the_base() -> None:
    text = (
        '[worker.oci]\nsnapshotter = "x"\ngc = true\n[registry."docker.io"]\nhttp = true\nmirrors = ["old"]'
    )
    base: dict[str, Any] = {"worker": {"oci": {"gc": False, "rootless": False}}}
    settings = Settings(snapshotter="native", mirrors={"docker.io": ["m.example"]})
    assert build_config(settings, text, base=base) == {
        "worker": {"oci": {"snapshotter": "native", "gc": True, "rootless": False}},
        "registry": {"docker.io": {"http": True, "mirrors": ["m.example"]}},
    }
    assert base == {"worker": {"oci": {"gc": False, "rootless": False}}}, "the caller's is left alone"
    assert merge({"a": {"b": 1}}, {"a": 2}) == {"a": 2}


@pytest.mark.parametrize(
    ("settings", "extra", "says"),
    [
        (Settings(max_parallelism=0), None, "max_parallelism is 0; use 1 or more"),
        (Settings(network="bridged"), None, "network is 'bridged'; use one of"),  # type: ignore[arg-type]
        (Settings(entitlements=["network"]), None, "entitlement 'network' is not known"),
        (Settings(mirrors={"docker.io": "localhost"}), None, "give a list of hosts"),
        (Settings(mirrors={"docker.io": ["ftp://x"]}), None, "mirror 'ftp://x' can not be read"),
        (Settings(mirrors={"docker.io": ["http://"]}), None, "can not be read"),
        (Settings(mirrors={"docker.io": ["joe:pw@x"]}), None, "a user or password in it"),
        (Settings(), "[worker", "is not TOML"),
    ],
)
def test_refused(settings: Settings, extra: str | None, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build_config(settings, extra)


def test_a_password_in_a_mirror_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(Settings(mirrors={"docker.io": ["joe:hunter2@x"]}), None)
    assert "hunter2" not in str(caught.value)


def test_tls_files_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "cert").touch()
    with pytest.raises(ConfigError, match=r"TLS key file '.*/key' is not there"):
        ServerTLS(tmp_path / "cert", tmp_path / "key").check()
