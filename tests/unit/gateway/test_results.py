"""Results: what a solve gives, and what exporters take (V48)."""

from __future__ import annotations

import json

import pytest

from pybuildkit.errors import ConfigError
from pybuildkit.gateway import Attestation, Bridge, GatewayResult, Reference, Subject
from pybuildkit.platforms import Platform
from tests.unit.gateway.channels import FakeGateway

BRIDGE = Bridge(FakeGateway())
ONE, TWO = Reference(BRIDGE, "one", b""), Reference(BRIDGE, "two", b"")
AMD = {"os": "linux", "architecture": "amd64"}
ARM = {"os": "linux", "architecture": "arm", "variant": "v7"}


def test_one_reference() -> None:
    result = GatewayResult(ONE)
    assert result.ref is ONE
    assert result.references == (ONE,)
    assert result.platforms == {}
    assert result.config() is None


def test_one_image() -> None:
    result = GatewayResult.image(ONE, {**AMD, "config": {"Cmd": ["x"]}})
    assert result.ref is ONE
    assert list(result.platforms) == ["linux/amd64"]
    assert result.config() == {**AMD, "config": {"Cmd": ["x"]}}
    assert GatewayResult.image(None, json.dumps(AMD)).single is None
    encoded = json.dumps(AMD).encode()
    assert GatewayResult.image(ONE, encoded).metadata["containerimage.config"] == encoded


@pytest.mark.parametrize("config", [{}, {"os": "linux"}, "[]", b"{", {"os": object()}])
def test_configurations_that_can_not_work(config: object) -> None:
    with pytest.raises(ConfigError):
        GatewayResult.image(ONE, config)  # type: ignore[arg-type]


def test_an_index() -> None:
    made = GatewayResult.index({"linux/amd64": (ONE, AMD), "linux/arm/v7": (TWO, ARM)})
    assert dict(made.refs) == {"linux/amd64": ONE, "linux/arm/v7": TWO}
    assert json.loads(made.metadata["refs.platforms"]) == {
        "Platforms": [
            {"ID": "linux/amd64", "Platform": AMD},
            {"ID": "linux/arm/v7", "Platform": ARM},
        ]
    }
    assert made.config("linux/arm/v7") == ARM
    assert made.platforms["linux/arm/v7"] == Platform("linux", "arm", "v7")
    with pytest.raises(ConfigError, match=r"use \.refs"):
        _ = made.ref
    only = GatewayResult.index({"linux/arm64/v8": (ONE, AMD)})
    assert list(only.refs) == ["linux/arm64"]
    assert only.ref is ONE
    assert only.config() == AMD


def test_an_index_of_results() -> None:
    """A frontend's results for single platforms, their attestations and base images with them."""
    base = GatewayResult.image(ONE, AMD).with_metadata({"containerimage.base.config": b"{}"})
    part = base.with_attestations([Attestation(TWO, "/p", "t")])
    made = GatewayResult.index({"linux/amd64": part})
    assert made.metadata["containerimage.base.config/linux/amd64"] == b"{}"
    assert [a.path for a in made.attestations["linux/amd64"]] == ["/p"]
    with pytest.raises(ConfigError, match="has several platforms itself"):
        GatewayResult.index({"linux/amd64": made})


def test_an_index_that_can_not_work() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        GatewayResult.index({})
    with pytest.raises(ConfigError, match="twice"):
        GatewayResult.index({"linux/arm64": (ONE, AMD), "linux/arm64/v8": (ONE, AMD)})
    with pytest.raises(ConfigError):
        GatewayResult.index({"nonsense/!": (ONE, AMD)})


def test_attestations_find_their_image() -> None:
    """They are looked up by platform id: that of the configuration, or of the list of platforms."""
    note = Attestation(TWO, "/p", "t")
    single = GatewayResult.image(ONE, ARM).with_attestations([note]).with_attestations([note])
    assert single.attestations == {"linux/arm/v7": (note, note)}
    bare = GatewayResult(ONE).with_attestations([note], "linux/amd64")
    assert bare.attestations == {"linux/amd64": (note,)}
    assert list(bare.platforms) == ["linux/amd64"]
    index = GatewayResult.index({"linux/amd64": (ONE, AMD), "linux/arm64": (ONE, AMD)})
    assert index.with_attestations([note], Platform("linux", "arm64", "v8")).attestations == {
        "linux/arm64": (note,)
    }
    with pytest.raises(ConfigError, match="2 platforms"):
        index.with_attestations([note])
    with pytest.raises(ConfigError, match="no known platforms"):
        GatewayResult(ONE).with_attestations([note])
    with pytest.raises(ConfigError, match=r"no image for linux/s390x, only for linux/amd64, linux/arm64"):
        index.with_attestations([note], "linux/s390x")


def test_attestations_that_can_not_work() -> None:
    with pytest.raises(ConfigError, match="kind"):
        Attestation(ONE, "/p", kind="other")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="kind"):
        Subject(kind="other")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="digests"):
        Subject("x")
    with pytest.raises(ConfigError, match="no reference"):
        Attestation(None, "/p", "t").check()
    Attestation(ONE, "", kind="bundle").check()


@pytest.mark.parametrize("encoded", [b"{", b"[]", b'{"Platforms": 5}', b'{"Platforms": [{}]}'])
def test_platforms_that_can_not_be_read(encoded: bytes) -> None:
    with pytest.raises(ConfigError, match=r"refs\.platforms"):
        _ = GatewayResult(ONE, metadata={"refs.platforms": encoded}).platforms


def test_platforms_with_versions_and_features() -> None:
    windows = "windows(10.0.17763+win32k)/amd64"
    made = GatewayResult.index({windows: (ONE, {"os": "windows", "architecture": "amd64"})})
    entry = json.loads(made.metadata["refs.platforms"])["Platforms"][0]
    assert entry["Platform"]["os.version"] == "10.0.17763"
    assert entry["Platform"]["os.features"] == ["win32k"]
    assert list(made.platforms) == [windows]


def test_references_say_who_they_are() -> None:
    assert repr(ONE) == "<Reference one>"
