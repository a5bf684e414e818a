"""Image configurations as exporters take them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pybuildkit.errors import ConfigError
from pybuildkit.gateway.imageconfig import image_config
from pybuildkit.gateway.results import GatewayResult
from pybuildkit.platforms import Platform

BASE: dict[str, Any] = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "created": "2020-01-01T00:00:00Z",
    "rootfs": {"type": "layers", "diff_ids": ["sha256:x"]},
    "history": [{"created_by": "base"}],
    "config": {
        "Env": ["PATH=/bin", "A=1"],
        "Entrypoint": ["/init"],
        "Cmd": ["sh"],
        "Labels": {"a": "1"},
        "ExposedPorts": {"1/tcp": {}},
    },
}


def test_without_a_base_it_is_this_machines_platform_and_exporters_take_it() -> None:
    made = image_config()
    host = Platform.host()
    assert (made["os"], made["architecture"]) == (host.os, host.architecture)
    assert GatewayResult.image(None, made).config() == made


def test_everything_has_its_place() -> None:
    made = image_config(
        "linux/arm/v6",
        env={"A": "1"},
        entrypoint=["python3"],
        cmd="serve --fast",
        working_dir="/srv",
        user="app",
        labels={"l": "v"},
        ports=[80, "53/udp"],
        volumes=["/data"],
        stop_signal="SIGTERM",
        author="me",
        Healthcheck={"Test": ["NONE"]},
    )
    assert made == {
        "os": "linux",
        "architecture": "arm",
        "variant": "v6",
        "author": "me",
        "config": {
            "Env": ["A=1"],
            "Entrypoint": ["python3"],
            "Cmd": ["/bin/sh", "-c", "serve --fast"],
            "WorkingDir": "/srv",
            "User": "app",
            "Labels": {"l": "v"},
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Volumes": {"/data": {}},
            "StopSignal": "SIGTERM",
            "Healthcheck": {"Test": ["NONE"]},
        },
    }


@pytest.mark.parametrize(
    "base", [BASE, json.dumps(BASE), json.dumps(BASE).encode()], ids=["dict", "str", "bytes"]
)
def test_a_base_stays_as_far_as_nothing_else_is_said(base: Any) -> None:
    made = image_config(base=base, env={"A": "2", "B": "3"}, labels={"b": "2"}, ports=[2])
    assert (made["architecture"], made["variant"]) == ("arm64", "v8")
    assert made["history"] == [{"created_by": "base"}], "the exporter adds to it"
    assert "rootfs" not in made
    assert "created" not in made
    assert made["config"] == {
        "Env": ["PATH=/bin", "A=2", "B=3"],
        "Entrypoint": ["/init"],
        "Cmd": ["sh"],
        "Labels": {"a": "1", "b": "2"},
        "ExposedPorts": {"1/tcp": {}, "2/tcp": {}},
    }
    assert BASE["config"]["Env"] == ["PATH=/bin", "A=1"], "the base is not changed"


def test_another_entrypoint_drops_the_bases_command() -> None:
    assert image_config(base=BASE, entrypoint=["x"])["config"].get("Cmd") is None
    assert image_config(base=BASE, entrypoint=["x"], cmd=["y"])["config"]["Cmd"] == ["y"]


def test_another_platform_replaces_all_of_the_bases() -> None:
    made = image_config("linux/amd64", base=BASE)
    assert (made["architecture"], "variant" in made) == ("amd64", False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "{"}, "is not JSON"),
        ({"base": "[]"}, "is a list"),
        ({"env": {"A=B": "1"}}, "'A=B'"),
        ({"env": {"A": 1}}, "must be a name with a string"),
        ({"cmd": ["a", 1]}, "must be strings"),
        ({"ports": ["http"]}, "port 'http' is none"),
        ({"ports": [70000]}, "port 70000 is none"),
        ({"ports": ["1/icmp"]}, "port '1/icmp' is none"),
    ],
)
def test_what_can_not_be_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        image_config(**options)
