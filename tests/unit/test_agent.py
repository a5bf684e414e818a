"""Keys in memory as an agent, judged by OpenSSH's own tools."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_public_key,
)
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit import _agentwire as wire
from pybuildkit.agent import Keyring
from pybuildkit.errors import ConfigError
from tests.support.sshagents import KINDS, make_key, served, ssh_add


def public(path: Path) -> bytes:
    return base64.b64decode(path.with_name(f"{path.name}.pub").read_text().split()[1])


def sign(keyring: Keyring, key: bytes, data: bytes, flags: int = 0) -> bytes:
    return keyring.answer(
        bytes([wire.SIGN_REQUEST]) + wire.string(key) + wire.string(data) + wire.number(flags)
    )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {kind: make_key(folder, kind) for kind in KINDS}


def test_openssh_lists_and_tests_the_keys(keys: dict[str, Path], tmp_path: Path) -> None:
    """S83: each kind is listed, and signs what OpenSSH verifies."""
    with served(Keyring.load(keys.values()), tmp_path) as socket:
        listed = ssh_add(socket, "-L").splitlines()
        assert [line.split()[1] for line in listed] == [
            path.with_name(f"{path.name}.pub").read_text().split()[1] for path in keys.values()
        ]
        assert [line.split()[2] for line in listed] == [path.name for path in keys.values()]
        for kind, path in keys.items():
            if kind != "rsa":  # for which OpenSSH 9.2's test wants SHA-1
                ssh_add(socket, "-T", f"{path}.pub")


def test_nothing_can_be_changed(keys: dict[str, Path], tmp_path: Path) -> None:
    """X28: Go's keyring lets a step add, remove and lock keys."""
    keyring = Keyring.load([keys["ed25519"]])
    with served(keyring, tmp_path) as socket:
        before = ssh_add(socket, "-L")
        for words in (["-D"], ["-d", f"{keys['ed25519']}.pub"], [str(keys["rsa"])]):
            ssh_add(socket, *words, code=1)
        assert ssh_add(socket, "-L") == before
    for kind in (*range(11), *range(17, 27), 240):
        assert keyring.answer(bytes([kind]) + wire.string(b"hunter2")) == bytes([wire.FAILURE])
    assert keyring.answer(bytes([wire.EXTENSION]) + wire.string(b"query")) == bytes([wire.EXTENSION_FAILURE])


def test_rsa_signs_with_sha2_alone(keys: dict[str, Path]) -> None:
    keyring = Keyring.load([keys["rsa"]])
    blob = public(keys["rsa"])
    key = load_ssh_public_key(Path(f"{keys['rsa']}.pub").read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    for flags, name, algorithm in (
        (2, b"rsa-sha2-256", hashes.SHA256()),
        (4, b"rsa-sha2-512", hashes.SHA512()),
        (6, b"rsa-sha2-512", hashes.SHA512()),
    ):
        answer = sign(keyring, blob, b"data", flags)
        assert answer[0] == wire.SIGN_RESPONSE
        signature = wire.Fields(wire.Fields(answer[1:]).string())
        assert signature.string() == name
        key.verify(signature.string(), b"data", padding.PKCS1v15(), algorithm)
    assert sign(keyring, blob, b"data", 0) == bytes([wire.FAILURE])


def test_ecdsa_numbers_have_their_sign(keys: dict[str, Path]) -> None:
    """A number whose first bit is set gets a zero byte before it: half of all signatures."""
    keyring = Keyring.load([keys["ecdsa"]])
    key = load_ssh_public_key(Path(f"{keys['ecdsa']}.pub").read_bytes())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    sizes: set[int] = set()
    for number in range(40):
        answer = sign(keyring, public(keys["ecdsa"]), b"%d" % number)
        signature = wire.Fields(wire.Fields(answer[1:]).string())
        assert signature.string() == b"ecdsa-sha2-nistp256"
        numbers = wire.Fields(signature.string())
        r, s = numbers.string(), numbers.string()
        assert not r[0] & 0x80
        assert not s[0] & 0x80
        sizes.update((len(r), len(s)))
    assert {32, 33} <= sizes


def test_another_key_is_refused(keys: dict[str, Path]) -> None:
    keyring = Keyring.load([keys["ed25519"]])
    assert sign(keyring, public(keys["ecdsa"]), b"x") == bytes([wire.FAILURE])


@given(st.binary(min_size=1, max_size=60), st.booleans())
def test_no_request_breaks_it(request: bytes, signing: bool) -> None:
    if signing:
        request = bytes([wire.SIGN_REQUEST]) + request
    answer = Keyring([]).answer(request)
    assert answer[0] in {wire.FAILURE, wire.EXTENSION_FAILURE, wire.IDENTITIES_ANSWER}


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    data: bytes = key.private_bytes(Encoding.PEM, form, encryption)
    return data


def test_forms_of_keys(tmp_path: Path) -> None:
    """S83: OpenSSH's own, PKCS#8 and the old ones, as files and as bytes; given twice it is there once."""
    key = ec.generate_private_key(ec.SECP256R1())
    forms = [pem(key), pem(key, PrivateFormat.OpenSSH), pem(key, PrivateFormat.TraditionalOpenSSL)]
    keyrings = [Keyring.load([form]) for form in forms]
    assert len({keyring.answer(bytes([wire.REQUEST_IDENTITIES])) for keyring in keyrings}) == 1
    assert repr(Keyring.load(forms)) == "Keyring(<1 keys>)"
    (tmp_path / "id").write_bytes(forms[0])
    assert repr(Keyring.load([tmp_path / "id", str(tmp_path / "id")])) == "Keyring(<1 keys>)"


def test_encrypted_keys(tmp_path: Path) -> None:
    """X27: by the passphrase, or by whoever knows it; asked for only where one is needed."""
    locked = make_key(tmp_path, "ed25519", "pass phrase")
    free = make_key(tmp_path, "ecdsa")
    old = pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8, b"pass phrase")
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "pass phrase"

    assert repr(Keyring.load([free, locked, old], ask)) == "Keyring(<3 keys>)"
    assert asked == [f"Passphrase for '{locked}': ", "Passphrase for key 3: "]
    with served(Keyring.load([locked], b"pass phrase"), tmp_path) as socket:
        ssh_add(socket, "-T", f"{locked}.pub")


@pytest.mark.parametrize("form", ["openssh", "pkcs8"])
def test_locked_keys_without_their_passphrase(tmp_path: Path, form: str) -> None:
    key = make_key(tmp_path, "ecdsa", "hunter2", *(["-m", "PKCS8"] if form == "pkcs8" else []))
    with pytest.raises(ConfigError, match=rf"ssh: '{key}' is encrypted: give its passphrase="):
        Keyring.load([key])
    with pytest.raises(ConfigError, match=rf"ssh: '{key}' can not be opened: the passphrase is wrong"):
        Keyring.load([key], b"wrong")
    with pytest.raises(ConfigError, match="returned int, not bytes"):
        Keyring.load([key], lambda prompt: 7)  # type: ignore[arg-type, return-value]


def test_encryption_without_bcrypt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object, **names: object) -> bytes:
        raise UnsupportedAlgorithm("Need bcrypt module")

    monkeypatch.setattr("cryptography.hazmat.primitives.serialization.ssh._bcrypt_kdf", missing)
    key = make_key(tmp_path, "ed25519", "hunter2")
    with pytest.raises(ConfigError, match=r"pip install 'pybuildkit\[ssh\]'"):
        Keyring.load([key], b"hunter2")


def test_without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.serialization", None)
    with pytest.raises(ConfigError, match="keys need the package 'cryptography'"):
        Keyring.load([b"x"])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b"hunter2", "ssh: key 1 is not a private key"),
        (b"", "ssh: key 1 is not a private key"),
        (
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----",
            "is not a private key",
        ),
        (b"x" * (100 * 1024 + 1), "has more than 102,400 bytes"),
        (pem(ed448.Ed448PrivateKey.generate()), "is neither an Ed25519 nor an ECDSA nor an RSA key"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "is on a curve that SSH does not know"),
        (Path("/nonexistent/id"), "the key '/nonexistent/id' can not be read: No such file"),
        (Path("/"), "can not be read: Is a directory"),
    ],
    ids=["text", "empty", "damaged", "big", "ed448", "curve", "missing", "directory"],
)
def test_what_is_no_key(key: bytes | Path, text: str) -> None:
    """R13; nothing of the file is in the text."""
    with pytest.raises(ConfigError, match=text) as caught:
        Keyring.load([key])
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or isinstance(caught.value.__context__, OSError | ValueError)


def test_a_public_key_is_no_private_one(keys: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="is not a private key"):
        Keyring.load([f"{keys['ed25519']}.pub"])


def test_a_key_signs_for_git(keys: dict[str, Path], tmp_path: Path) -> None:
    """``ssh-keygen -Y``, as git signs commits with a forwarded agent."""
    with served(Keyring.load([keys["ed25519"]]), tmp_path) as socket:
        (tmp_path / "file").write_text("data")
        subprocess.run(
            [
                "ssh-keygen",
                "-q",
                "-Y",
                "sign",
                "-n",
                "git",
                "-f",
                f"{keys['ed25519']}.pub",
                tmp_path / "file",
            ],
            env={"SSH_AUTH_SOCK": str(socket), "PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
        )
    assert (tmp_path / "file.sig").read_text().startswith("-----BEGIN SSH SIGNATURE-----")
