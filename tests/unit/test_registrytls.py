"""TLS towards token servers, as buildctl's flag has it."""

from __future__ import annotations

import pytest

from pybuildkit.errors import ConfigError
from pybuildkit.registrytls import RegistryTLS, parse_registry_tls


def test_buildctl_text() -> None:
    """B32: several of one host add up."""
    assert parse_registry_tls(None) == {}
    assert parse_registry_tls("host=a,insecure=true") == {"a": RegistryTLS(insecure=True)}
    assert parse_registry_tls(["HOST=a,ca=1", "host=a,cert=c,key=k", "host=a,ca=2,cert=d,key=l,insecure=0", "host=b,ca=3"]) == {
        "a": RegistryTLS(ca=("1", "2"), key_pairs=(("c", "k"), ("d", "l"))),
        "b": RegistryTLS(ca=("3",)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ca=x", "has no host"),
        ("host=a", "says nothing"),
        ("host=a,insecure=false", "says nothing"),
        ("host=a,cert=c", "go together"),
        ("host=a,ca=x,key=k", "go together"),
        ("host=a,insecure=si", "not a boolean"),
        ("host=a,cacert=x", "'cacert' is not one of host, ca"),
    ],
)
def test_bad_text(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_registry_tls(text)
