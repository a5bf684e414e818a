"""An SSH agent in memory: it holds private keys for builds, lists them and signs with them, and nothing else.

The keys are read when the build begins, and are on no disk and in no other process afterwards: a step of the build
only ever gets signatures. Adding, removing and locking are refused (X28).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pybuildkit import _agentwire as wire
from pybuildkit.errors import ConfigError
from pybuildkit.ssh import MAX_KEY_SIZE, KeyOpener, SSHKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["Keyring"]

_SHA256_FLAG, _SHA512_FLAG = 2, 4


class _Signer(Protocol):
    """One key."""

    def sign(self, data: bytes, flags: int) -> bytes | None:
        """A signature in SSH's form, None when the key does not sign in the way that the flags ask for."""
        ...


class Keyring:
    """Private keys as a read-only agent.

    Make one with ``load``. It may be used by several threads at once.
    """

    def __init__(self, keys: Iterable[tuple[bytes, str, _Signer]]) -> None:
        self._comments: dict[bytes, str] = {}
        self._signers: dict[bytes, _Signer] = {}
        for public, comment, signer in keys:
            self._comments.setdefault(public, comment)
            self._signers.setdefault(public, signer)

    @classmethod
    def load(cls, keys: Iterable[SSHKey], passphrase: KeyOpener | None = None) -> Keyring:
        """Read keys in OpenSSH's or PEM's form: Ed25519, ECDSA or RSA. Blocks on files, and on the function.

        Args:
            keys: paths, or the keys themselves as bytes.
            passphrase: opens encrypted keys; a function is given the key's name, as for a prompt (X27).

        Raises:
            ConfigError: a key can not be read, is of another kind, or its passphrase is wrong or missing.
        """
        return cls(_load(key, f"key {place}", passphrase) for place, key in enumerate(keys, 1))

    def answer(self, request: bytes) -> bytes:
        """The answer to one request of the agent protocol. Takes some milliseconds of work for RSA."""
        if request[0] == wire.REQUEST_IDENTITIES and len(request) == 1:
            return self._identities()
        if request[0] == wire.SIGN_REQUEST:
            try:
                return self._signature(wire.Fields(request[1:]))
            except wire.AgentWireError:
                pass  # A broken request is refused as others are.
        return wire.refusal(request)

    def _identities(self) -> bytes:
        parts = [bytes([wire.IDENTITIES_ANSWER]), wire.number(len(self._comments))]
        for public, comment in self._comments.items():
            parts += [wire.string(public), wire.string(comment.encode(errors="surrogateescape"))]
        return b"".join(parts)

    def _signature(self, fields: wire.Fields) -> bytes:
        public, data, flags = fields.string(), fields.string(), fields.number()
        signer = self._signers.get(public)
        signature = signer.sign(data, flags) if signer is not None else None
        if signature is None:
            return bytes([wire.FAILURE])
        return bytes([wire.SIGN_RESPONSE]) + wire.string(signature)

    def __repr__(self) -> str:
        """How many there are."""
        return f"Keyring(<{len(self._signers)} keys>)"


class _Ed25519:
    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def sign(self, data: bytes, flags: int) -> bytes:
        return wire.string(b"ssh-ed25519") + wire.string(self._key.sign(data))


class _ECDSA:
    def __init__(self, key: EllipticCurvePrivateKey, algorithm: bytes) -> None:
        from cryptography.hazmat.primitives import hashes

        self._key = key
        self._algorithm = algorithm
        size = key.curve.key_size  # RFC 5656: the hash goes with the curve
        self._hash = hashes.SHA256() if size <= 256 else hashes.SHA384() if size <= 384 else hashes.SHA512()

    def sign(self, data: bytes, flags: int) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        numbers = decode_dss_signature(self._key.sign(data, ECDSA(self._hash)))
        blob = b"".join(wire.string(_mpint(value)) for value in numbers)
        return wire.string(self._algorithm) + wire.string(blob)


class _RSA:
    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key

    def sign(self, data: bytes, flags: int) -> bytes | None:
        """SHA-2 only: a signature with SHA-1, which is asked for by no flag, is forgeable by now."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

        algorithm: hashes.HashAlgorithm
        if flags & _SHA512_FLAG:
            name, algorithm = b"rsa-sha2-512", hashes.SHA512()
        elif flags & _SHA256_FLAG:
            name, algorithm = b"rsa-sha2-256", hashes.SHA256()
        else:
            return None
        return wire.string(name) + wire.string(self._key.sign(data, PKCS1v15(), algorithm))


def _mpint(value: int) -> bytes:
    """A positive number as SSH has it: big-endian, with a zero byte before a set first bit."""
    return value.to_bytes(value.bit_length() // 8 + 1)


def _load(key: SSHKey, name: str, passphrase: KeyOpener | None) -> tuple[bytes, str, _Signer]:
    """The public key, a comment to list it with, and what signs."""
    comment = ""
    if isinstance(key, bytes):
        data = key
    else:
        path = Path(os.fspath(key)).expanduser()
        name, comment = repr(str(path)), path.name
        try:
            with path.open("rb") as file:
                data = file.read(MAX_KEY_SIZE + 1)
        except OSError as exc:
            raise ConfigError(f"ssh: the key {name} can not be read: {exc.strerror}") from None
    if len(data) > MAX_KEY_SIZE:  # R13
        raise ConfigError(f"ssh: {name} has more than {MAX_KEY_SIZE:,} bytes, no key is that big")
    return _signer(_parse(data, name, passphrase), name, comment)


def _parse(data: bytes, name: str, passphrase: KeyOpener | None) -> object:
    """The private key in a file.

    Raises:
        ConfigError: there is none that can be opened. Nothing of the file is in the text.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
    except ImportError:
        raise ConfigError(
            "ssh: keys need the package 'cryptography' (pip install 'pybuildkit[ssh]'); a running agent does not"
        ) from None
    load = load_ssh_private_key if b"-----BEGIN OPENSSH PRIVATE KEY-----" in data else load_pem_private_key
    secret: bytes | None = None
    while True:
        try:
            return load(data, secret)
        except TypeError:  # it is encrypted, and no passphrase was given
            trouble = "is encrypted: give its passphrase= (or add it to an agent, and forward that)"
        except UnsupportedAlgorithm as exc:
            trouble = f"is of a kind that can not be used: {exc}"
            if "bcrypt" in trouble:
                trouble = "is encrypted, which needs the package 'bcrypt': pip install 'pybuildkit[ssh]'"
        except ValueError:
            trouble = "is not a private key in OpenSSH's or PEM's form"
            if secret is not None:
                trouble = "can not be opened: the passphrase is wrong, or the file is damaged"
        if secret is not None or passphrase is None or "is encrypted: " not in trouble:
            break
        secret = _passphrase(passphrase, name)
    # Not from within the handlers: texts of the library's exceptions are beyond control.
    raise ConfigError(f"ssh: {name} {trouble}")


def _passphrase(opener: KeyOpener, name: str) -> bytes:
    found = opener(f"Passphrase for {name}: ") if callable(opener) else opener
    if isinstance(found, str):
        found = found.encode()
    if not isinstance(found, bytes):
        raise ConfigError(
            f"ssh: the function for the passphrase of {name} returned {type(found).__name__}, not bytes"
        )
    return found


def _signer(key: object, name: str, comment: str) -> tuple[bytes, str, _Signer]:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey):
        raise ConfigError(f"ssh: {name} is neither an Ed25519 nor an ECDSA nor an RSA key")
    try:
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except ValueError:
        raise ConfigError(f"ssh: {name} is on a curve that SSH does not know") from None
    algorithm, encoded = line.split()[:2]
    public = base64.b64decode(encoded)
    if isinstance(key, Ed25519PrivateKey):
        return public, comment, _Ed25519(key)
    if isinstance(key, EllipticCurvePrivateKey):
        return public, comment, _ECDSA(key, algorithm)
    return public, comment, _RSA(key)
