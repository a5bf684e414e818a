"""A token server for registries, as the distribution project describes them, with all that can go wrong."""

from __future__ import annotations

import base64
import json
import ssl
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pybuildkit.testing.registry import TokenAuth
from tests.support.httpserver import Answer, Asked, WebServer, serve

SERVICE = "registry.test"
ISSUER = "tokens.test"


@dataclass
class TokenServer:
    """A running one.

    Attributes:
        users: name to password; a password may also be sent as an identity token.
        life: seconds that its tokens live.
        age: seconds since which they are said to live already.
        spoilt: how many tokens are given that the registry will not take.
        oauth: whether it knows POST.
    """

    users: Mapping[str, str]
    folder: Path
    life: int = 300
    age: int = 0
    spoilt: int = 0
    oauth: bool = True
    web: WebServer = field(init=False)
    users_seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._chain = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
        (self.folder / "tokens.pem").write_bytes(certificate.public_bytes(Encoding.PEM))

    @property
    def asked(self) -> list[Asked]:
        return self.web.asked

    @property
    def auth(self) -> TokenAuth:
        """For a registry that sends its clients here."""
        return TokenAuth(f"{self.web.url}/token", SERVICE, ISSUER, self.folder / "tokens.pem")

    def token(self, *scopes: str, user: str = "") -> str:
        """A token for some scopes."""
        now = int(time.time()) - self.age
        if self.spoilt:
            self.spoilt -= 1
            now -= 10 * self.life + 3600
        access = []
        for scope in scopes:
            kind, name, actions = scope.rsplit(":", 2) if scope.count(":") > 1 else (scope, "", "")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "exp": now + self.life,
            "nbf": now - 10,
            "iat": now,
            "jti": uuid.uuid4().hex,
            "access": access,
        }
        header = {"typ": "JWT", "alg": "ES256", "x5c": [self._chain]}
        signed = f"{_encoded(header)}.{_encoded(claims)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32) + s.to_bytes(32))}"

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            if not self.oauth:
                return Answer(404)
            form = {key: values[0] for key, values in asked.form.items()}
            if form.get("grant_type") == "refresh_token":
                user = next((u for u, p in self.users.items() if p == form["refresh_token"]), None)
            else:
                user = form["username"] if self.users.get(form["username"]) == form["password"] else None
            scopes = form.get("scope", "").split()
        else:
            user = self._basic(asked.headers.get("authorization", ""))
            scopes = [scope for value in asked.query.get("scope", []) for scope in value.split()]
        if user is None:
            return Answer(401, {"details": "incorrect username or password"})
        self.users_seen.append(user)
        token = self.token(*(scopes if user else ()), user=user)
        document = {"token": token, "access_token": token, "expires_in": self.life}
        if self.age:
            document["issued_at"] = datetime.fromtimestamp(time.time() - self.age, UTC).isoformat()
        return Answer(body=document)

    def _basic(self, header: str) -> str | None:
        if not header:
            return ""
        user, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        return user if self.users.get(user) == password else None


def _encoded(document: Mapping[str, object]) -> str:
    return _base64(json.dumps(document).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def token_server(
    folder: Path, users: Mapping[str, str], *, tls: ssl.SSLContext | None = None
) -> Generator[TokenServer]:
    """Run one on loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    server = TokenServer(users, folder)
    with serve(lambda asked: server.answer(asked), tls=tls) as web:
        server.web = web
        yield server
