"""Dockerfile options as the frontend's attributes (V51 to V59)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.attestations import Provenance
from pybuildkit.dockerfile import FrontendRequest, Resources, dockerfile_request
from pybuildkit.errors import ConfigError
from pybuildkit.fsutil import MemoryTree
from pybuildkit.platforms import Platform

TREE = MemoryTree({"Dockerfile": b"FROM scratch\n"})
NOTHING: dict[str, str] = {}


def attrs(**options: Any) -> dict[str, str]:
    request = dockerfile_request(TREE, environ=options.pop("environ", NOTHING), **options)
    assert request.frontend == "dockerfile.v0"
    return dict(request.attrs)


def test_nothing_asked_nothing_told() -> None:
    assert dockerfile_request(TREE, environ=NOTHING) == FrontendRequest(
        "dockerfile.v0", {}, {"context": TREE, "dockerfile": TREE}
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"target": "test"}, {"target": "test"}),
        ({"build_args": {"A": "1", "B": ""}}, {"build-arg:A": "1", "build-arg:B": ""}),
        ({"labels": {"a.b": "c", "d": ""}}, {"label:a.b": "c", "label:d": ""}),
        (
            {"platforms": ["linux/amd64", Platform("linux", "arm64", "v8")]},
            {"platform": "linux/amd64,linux/arm64"},
        ),
        ({"no_cache": True}, {"no-cache": ""}),
        ({"no_cache": ["a", "b"]}, {"no-cache": "a,b"}),
        ({"no_cache": "a"}, {"no-cache": "a"}),
        ({"no_cache": []}, {}),
        ({"pull": True}, {"image-resolve-mode": "pull"}),
        (
            {"add_hosts": {"a": "1.2.3.4", "b": ["::1", "10.0.0.1"]}},
            {"add-hosts": "a=1.2.3.4,b=::1,b=10.0.0.1"},
        ),
        ({"add_hosts": ["a=1.2.3.4", "b:1.2.3.4", "c:[::1]"]}, {"add-hosts": "a=1.2.3.4,b=1.2.3.4,c=::1"}),
        ({"network": "none"}, {"force-network-mode": "none"}),
        ({"network": "sandbox"}, {"force-network-mode": "sandbox"}),
        ({"network": "default"}, {}),
        ({"hostname": "h"}, {"hostname": "h"}),
        ({"shm_size": 1024}, {"shm-size": "1024"}),
        ({"shm_size": "64m"}, {"shm-size": "67108864"}),
        ({"ulimits": ["nofile=1024:2048", "core=0", "core=-1"]}, {"ulimit": "nofile=1024:2048,core=-1:-1"}),
        ({"ulimits": {"nofile": 10, "nproc": (1, -1)}}, {"ulimit": "nofile=10:10,nproc=1:-1"}),
        ({"cgroup_parent": "/x"}, {"cgroup-parent": "/x"}),
        ({"sbom": True}, {"attest:sbom": ""}),
        ({"provenance": Provenance(mode="max")}, {"attest:provenance": "mode=max"}),
        ({"provenance": False}, {}),
        ({"syntax": "docker/dockerfile:1"}, {"build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1"}),
        ({"attrs": {"target": "b", "new": ""}, "target": "a"}, {"target": "b", "new": ""}),
        ({"file": "sub/D"}, {"filename": "sub/D"}),
    ],
)
def test_attributes(options: dict[str, Any], expected: dict[str, str]) -> None:
    """V52, V55, V57, V83."""
    assert attrs(**options) == expected


def test_resources() -> None:
    """V53."""
    resources = Resources(
        memory="512m",
        memory_swap=-1,
        cpu_shares=512,
        cpu_period=100000,
        cpu_quota=50000,
        cpuset_cpus="0-3, 5",
        cpuset_mems="0",
    )
    assert attrs(resources=resources) == {
        "memory": "536870912",
        "memswap": "-1",
        "cpushares": "512",
        "cpuperiod": "100000",
        "cpuquota": "50000",
        "cpusetcpus": "0-3, 5",
        "cpusetmems": "0",
    }
    assert Resources(memory_swap="-1").attrs() == {"memswap": "-1"}


def test_build_args_from_the_environment() -> None:
    """B12, as buildx: a variable that is not set is no argument."""
    environ = {"A": "1", "SOURCE_DATE_EPOCH": "7", "HTTP_PROXY": "p"}
    assert attrs(build_args={"A": None, "B": None}, environ=environ) == {
        "build-arg:A": "1",
        "build-arg:SOURCE_DATE_EPOCH": "7",
    }
    assert attrs(build_args={"SOURCE_DATE_EPOCH": "8"}, environ=environ) == {
        "build-arg:SOURCE_DATE_EPOCH": "8"
    }


def test_what_is_not_an_attribute() -> None:
    request = dockerfile_request(
        TREE, network="host", tags=["a", "b:1"], build_args={"BUILDKIT_INLINE_CACHE": "1"}, environ=NOTHING
    )
    assert request.entitlements == ("network.host",)
    assert request.names == ("a", "b:1")
    assert request.inline_cache
    assert not dockerfile_request(
        TREE, build_args={"BUILDKIT_INLINE_CACHE": "x"}, environ=NOTHING
    ).inline_cache
    assert dockerfile_request(TREE, tags="a", environ=NOTHING).names == ("a",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"build_args": {"": "1"}}, "'' is not a name"),
        ({"build_args": {"A=B": "1"}}, "'A=B' is not a name"),
        ({"build_args": {"A": 1}}, r"A=1 must be a string, write str\(...\)"),
        ({"labels": {"a": 1}}, "labels: 'a': 1"),
        ({"attrs": {"a": None}}, "attrs: 'a': None"),
        ({"platforms": "linux/*"}, "wildcards"),
        ({"no_cache": ["a", ""]}, "name is empty"),
        ({"add_hosts": ["a"]}, "'' for 'a' is not an IP address"),
        ({"add_hosts": {"a b": "1.2.3.4"}}, "not a host name"),
        ({"add_hosts": {"a": "host-gateway"}}, "give the address itself"),
        ({"add_hosts": {"a": "fe80::1%eth0"}}, "has a zone"),
        ({"network": "bridge"}, "knows no other networks"),
        ({"shm_size": "big"}, "'big' is not a size"),
        ({"shm_size": True}, "True is not a size"),
        ({"shm_size": -1}, "negative"),
        ({"ulimits": ["files=1"]}, "'files' is not one of"),
        ({"ulimits": ["nofile"]}, "'nofile' is not one of|not one of"),
        ({"ulimits": ["nofile=x"]}, "with integers"),
        ({"ulimits": ["nofile=1:2:3"]}, "with integers"),
        ({"ulimits": ["nofile=2:1"]}, "above the hard one"),
        ({"ulimits": ["nofile=-1:1"]}, "above the hard one"),
        ({"tags": ["A"]}, "tags: .*lower case"),
        ({"sbom": "generator=A"}, "lower case"),
        ({"provenance": "mode=all"}, "mode='all'"),
    ],
)
def test_bad_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        attrs(**options)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Resources(memory=0), "memory=0 must be more than 0"),
        (lambda: Resources(memory_swap=-2), "-1 for no limit"),
        (lambda: Resources(memory="lots"), "not a size"),
        (lambda: Resources(cpu_shares=-1), "more than 0"),
        (lambda: Resources(cpuset_cpus="3-1"), "numbers and ranges"),
        (lambda: Resources(cpuset_cpus="a"), "numbers and ranges"),
        (lambda: Resources(cpuset_mems="9999"), "numbers and ranges"),
    ],
)
def test_bad_resources(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_the_default_context_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.chdir(tmp_path)
    assert set(dockerfile_request(environ=NOTHING).locals) == {"context", "dockerfile"}
