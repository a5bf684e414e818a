"""Attestations and entitlements as the daemon is told them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pybuildkit.attestations import SBOM, Provenance, attestation_attrs
from pybuildkit.entitlements import resolve_entitlements
from pybuildkit.errors import ConfigError


def test_attributes() -> None:
    """V83, V84."""
    assert attestation_attrs() == attestation_attrs(sbom=False, provenance=False) == {}
    assert attestation_attrs(True, True) == {"attest:sbom": "", "attest:provenance": ""}
    assert attestation_attrs(
        SBOM("a/b:c", attrs={"scan": "x,y"}),
        Provenance(
            mode="max",
            version="v0.2",
            builder_id="https://ci/1",
            filename="p.json",
            reproducible=True,
            inline_only=False,
            capture_usage=True,
        ),
    ) == {
        "attest:sbom": 'generator=a/b:c,"scan=x,y"',
        "attest:provenance": "mode=max,version=v0.2,builder-id=https://ci/1,filename=p.json,reproducible=true,"
        "inline-only=false,capture-usage=true",
    }


def test_text() -> None:
    assert attestation_attrs(sbom="generator=a/b", provenance="mode=max,new=1") == {
        "attest:sbom": "generator=a/b",
        "attest:provenance": "mode=max,new=1",
    }
    assert Provenance.parse("reproducible=,x=y") == Provenance(reproducible=True, attrs={"x": "y"})
    assert SBOM.parse("") == SBOM()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SBOM("A"), "sbom: generator: .*lower case"),
        (lambda: Provenance(mode="all"), "provenance: mode='all' is not one of min, max"),  # type: ignore[arg-type]
        (lambda: Provenance.parse("version=v2"), "provenance: version='v2'"),
        (lambda: Provenance.parse("max"), "not key=value"),
    ],
)
def test_bad_attestations(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_entitlements() -> None:
    """V86, B27."""
    assert resolve_entitlements(None) == ()
    assert resolve_entitlements("network.host") == ("network.host",)
    given = ["security.insecure", "device", "device=", "device=v/c=a,alias=gpu", "security.insecure"]
    assert resolve_entitlements(given) == (
        "security.insecure",
        "device",
        "device=",
        "device=v/c=a,alias=gpu",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not one of network.host"),
        ("fs.read=/x", "is not one of network.host"),
        ("network.host=1", "is not one of network.host"),
        ('device="a', "does not end"),
        ("device=a,name=b", "'name=b' is not alias=NAME"),
        ("device=a,alias", "'alias' is not alias=NAME"),
    ],
)
def test_bad_entitlements(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        resolve_entitlements([text])
