"""TLS values: what is read, what is refused, and no key in any text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme

from pybuildkit.errors import ConfigError
from pybuildkit.tls import TLS


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("pki")
    ca = trustme.CA()
    cert = ca.issue_cert("buildkitd")
    ca.cert_pem.write_to_path(base / "ca.pem")
    cert.private_key_pem.write_to_path(base / "key.pem")
    (base / "cert.pem").write_bytes(cert.cert_chain_pems[0].bytes())
    return base


def test_paths_and_bytes_give_the_same(pki: Path) -> None:
    by_path = TLS(ca=pki / "ca.pem", cert=str(pki / "cert.pem"), key=pki / "key.pem")
    by_bytes = TLS(
        ca=(pki / "ca.pem").read_bytes(),
        cert=(pki / "cert.pem").read_bytes(),
        key=(pki / "key.pem").read_bytes(),
    )
    assert by_path.load() == by_bytes.load()
    ca, cert, key = by_path.load()
    assert ca == (pki / "ca.pem").read_bytes()
    assert cert is not None
    assert key is not None
    assert b"PRIVATE KEY" in key


def test_no_text_shows_a_key(pki: Path) -> None:
    key = (pki / "key.pem").read_bytes()
    tls = TLS(ca=pki / "ca.pem", cert=(pki / "cert.pem").read_bytes(), key=key)
    secret = key.decode().splitlines()[1]
    for text in (repr(tls), str(tls), repr(tls.load()), str(tls.load())):
        assert secret not in text
    assert f"key=<{len(key)} bytes>" in repr(tls)


def test_from_dir_takes_either_naming(pki: Path, tmp_path: Path) -> None:
    """B5: .pem wins, all three are required."""
    assert TLS.from_dir(pki, server_name="x") == TLS(
        ca=pki / "ca.pem", cert=pki / "cert.pem", key=pki / "key.pem", server_name="x"
    )
    for name in ("ca.crt", "tls.crt"):
        (tmp_path / name).write_bytes((pki / "ca.pem").read_bytes())
    with pytest.raises(ConfigError, match=r"neither key\.pem nor tls\.key"):
        TLS.from_dir(tmp_path)
    (tmp_path / "tls.key").write_bytes((pki / "key.pem").read_bytes())
    assert TLS.from_dir(tmp_path) == TLS(
        ca=tmp_path / "ca.crt", cert=tmp_path / "tls.crt", key=tmp_path / "tls.key"
    )
    with pytest.raises(ConfigError, match=r"neither ca\.pem nor ca\.crt"):
        TLS.from_dir(tmp_path / "none")


def test_system_roots_are_added(pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C40: only on demand."""
    other = tmp_path / "system.pem"
    trustme.CA().cert_pem.write_to_path(other)
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(other))
    both = TLS(ca=pki / "ca.pem", system_roots=True).load().ca
    assert both.count(b"BEGIN CERTIFICATE") >= 2
    assert b"".join((pki / "ca.pem").read_bytes().split()) in b"".join(both.split())
    assert TLS(ca=pki / "ca.pem").load().ca.count(b"BEGIN CERTIFICATE") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "nothing is trusted"),
        ({"ca": "x", "cert": "x"}, "cert is given and key is not"),
        ({"ca": "x", "key": "x"}, "key is given and cert is not"),
    ],
)
def test_halves_are_refused(options: dict[str, str], says: str) -> None:
    """B4."""
    with pytest.raises(ConfigError, match=says):
        TLS(**options)  # type: ignore[arg-type]


def test_bad_files_are_named(pki: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ca '.*nothing\.pem' can not be read: No such file"):
        TLS(ca=tmp_path / "nothing.pem").load()
    with pytest.raises(ConfigError, match="no PEM block PRIVATE KEY"):
        TLS(ca=pki / "ca.pem", cert=pki / "cert.pem", key=pki / "cert.pem").load()
    with pytest.raises(ConfigError, match="the given bytes has no PEM block CERTIFICATE"):
        TLS(ca=b"der?").load()
