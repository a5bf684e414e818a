"""TLS towards a daemon: which authority to trust, and who we are."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError

__all__ = ["PEM", "TLS", "TLSMaterial"]

PEM: TypeAlias = str | os.PathLike[str] | bytes
"""A PEM file's path, or its contents as bytes."""


class TLSMaterial(NamedTuple):
    """What ``TLS.load`` read, all PEM.

    Attributes:
        ca: the authorities' certificates, one text.
        cert: our certificate chain, None when we show none.
        key: its private key, None likewise.
    """

    ca: bytes
    cert: bytes | None
    key: bytes | None

    def __repr__(self) -> str:
        """Without the contents."""
        client = "a client certificate" if self.cert is not None else "no client certificate"
        return f"TLSMaterial(<{len(self.ca)} bytes of authorities, {client}>)"


@dataclass(frozen=True, slots=True)
class TLS:
    """How to speak TLS with a daemon.

    As with buildctl only the given authority is trusted; the system's own are trusted on demand (C40, R23).

    Attributes:
        ca: certificate of the authority that signed the daemon's.
        cert: our certificate, for daemons that ask for one.
        key: its private key.
        server_name: the name the daemon's certificate must have, when it is not the address' host.
        system_roots: trust the system's authorities too.
    """

    ca: PEM | None = None
    cert: PEM | None = None
    key: PEM | None = None
    server_name: str = ""
    system_roots: bool = False

    def __post_init__(self) -> None:
        """Check that the parts make a whole."""
        if (self.cert is None) != (self.key is None):
            given, missing = ("cert", "key") if self.key is None else ("key", "cert")
            raise ConfigError(f"TLS: {given} is given and {missing} is not, a client certificate needs both")
        if self.ca is None and not self.system_roots:
            raise ConfigError("TLS: nothing is trusted, give ca= or system_roots=True")

    @classmethod
    def from_dir(cls, directory: str | os.PathLike[str], *, server_name: str = "") -> Self:
        """Take what a directory holds under the usual names (B5).

        They are ``ca.pem`` or ``ca.crt``, ``cert.pem`` or ``tls.crt``, ``key.pem`` or ``tls.key``.

        Raises:
            ConfigError: one of the three is missing.
        """
        base = Path(directory)
        return cls(
            ca=_one_of(base, "ca.pem", "ca.crt"),
            cert=_one_of(base, "cert.pem", "tls.crt"),
            key=_one_of(base, "key.pem", "tls.key"),
            server_name=server_name,
        )

    def load(self) -> TLSMaterial:
        """Read the files. Blocks; call it in a thread where that matters.

        Raises:
            ConfigError: a file can not be read, or is not PEM.
        """
        roots = _system_roots() if self.system_roots else b""
        if self.ca is not None:
            roots += _read("ca", self.ca, b"CERTIFICATE")
        cert = None if self.cert is None else _read("cert", self.cert, b"CERTIFICATE")
        key = None if self.key is None else _read("key", self.key, b"PRIVATE KEY")
        return TLSMaterial(roots, cert, key)

    def __repr__(self) -> str:
        """Paths as they are, contents by their size, never a key."""
        return (
            f"TLS(ca={_shown(self.ca)}, cert={_shown(self.cert)}, key={_shown(self.key)}, "
            f"server_name={self.server_name!r}, system_roots={self.system_roots})"
        )


def _one_of(base: Path, *names: str) -> Path:
    for name in names:
        path = base / name
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            raise ConfigError(f"TLS: {path} can not be read: {exc.strerror}") from exc
        return path
    raise ConfigError(f"TLS: the directory {os.fspath(base)!r} has neither {' nor '.join(names)}")


def _read(what: str, source: PEM, marker: bytes) -> bytes:
    if isinstance(source, bytes):
        data, name = source, "the given bytes"
    else:
        name = os.fspath(source)
        try:
            data = Path(source).expanduser().read_bytes()
        except OSError as exc:
            raise ConfigError(f"TLS: {what} {name!r} can not be read: {exc.strerror}") from exc
    if marker + b"-----" not in data:
        raise ConfigError(f"TLS: {what}: {name} has no PEM block {marker.decode()}")
    return data if data.endswith(b"\n") else data + b"\n"


def _shown(source: PEM | None) -> str:
    if source is None:
        return "None"
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else repr(os.fspath(source))


def _system_roots() -> bytes:
    """The system's authorities as one PEM text."""
    context = ssl.create_default_context()
    certs = [ssl.DER_cert_to_PEM_cert(der) for der in context.get_ca_certs(binary_form=True)]
    capath = ssl.get_default_verify_paths().capath
    if not certs and capath is not None:  # a hashed directory is read by OpenSSL only on demand
        certs = [p.read_text() for p in sorted(Path(capath).glob("*.[0-9]"))]
    if not certs:
        raise ConfigError(
            "TLS: this system has no certificate authorities; install ca-certificates, or give ca="
        )
    return "".join(certs).encode()
