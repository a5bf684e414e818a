"""Secrets: every source, every refusal, and no value in any text."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import threading
from pathlib import Path

import pytest
from anyio import to_thread

from pybuildkit.errors import ConfigError
from pybuildkit.secrets import MAX_SECRET_SIZE, Secret, coerce_secrets

pytestmark = pytest.mark.anyio

VALUE = b"hunter2\x00\xff"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def async_value() -> bytes:
    return VALUE


class AsyncCallable:
    async def __call__(self) -> bytes:
        return VALUE


async def test_every_source_gives_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S86, S87."""
    path = tmp_path / "secret"
    path.write_bytes(VALUE)
    monkeypatch.setenv("THE_SECRET", "äé")
    for secret in (
        Secret.file(path),
        Secret.file(str(path)),
        Secret.value(VALUE),
        Secret.value(bytearray(VALUE)),
        Secret.value(memoryview(VALUE)),
        Secret.call(lambda: VALUE),
        Secret.call(async_value),
        Secret.call(lambda: async_value()),
        Secret.call(AsyncCallable()),
        Secret.call(functools.partial(async_value)),
    ):
        await to_thread.run_sync(secret.check, "x")
        assert await secret.resolve("x") == VALUE
        assert "hunter2" not in repr(secret)
    assert await Secret.env("THE_SECRET").resolve("x") == "äé".encode()


async def test_plain_functions_do_not_block_the_loop() -> None:
    seen = await Secret.call(lambda: str(threading.get_ident()).encode()).resolve("x")
    assert seen != str(threading.get_ident()).encode()


async def test_a_function_is_asked_each_time() -> None:
    counter = iter([b"1", b"2"])
    secret = Secret.call(lambda: next(counter))
    assert [await secret.resolve("x"), await secret.resolve("x")] == [b"1", b"2"]


async def test_file_is_read_when_asked_for(tmp_path: Path) -> None:
    secret = Secret.file(tmp_path / "late")
    (tmp_path / "late").write_bytes(b"now")
    assert await secret.resolve("x") == b"now"


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert repr(Secret.of(Path("~/.npmrc"))) == "Secret.file('/home/someone/.npmrc')"


def test_a_plain_string_is_refused() -> None:
    with pytest.raises(ConfigError, match="bytes for the value or a Path") as caught:
        coerce_secrets({"token": "hunter2"})
    assert "'token'" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="bytes, not str"):
        Secret.value("hunter2")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="can not be int"):
        coerce_secrets({"token": 7})
    with pytest.raises(ConfigError, match="must be callable"):
        Secret.call(b"x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="id is empty"):
        coerce_secrets({"": b"x"})


async def test_the_size_is_checked_up_front_and_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: 500 KiB, that many are still allowed."""
    path = tmp_path / "big"
    path.write_bytes(b"x" * MAX_SECRET_SIZE)
    await to_thread.run_sync(Secret.file(path).check, "big")
    assert len(await Secret.file(path).resolve("big")) == MAX_SECRET_SIZE
    path.write_bytes(b"x" * (MAX_SECRET_SIZE + 1))
    monkeypatch.setenv("BIG", "x" * (MAX_SECRET_SIZE + 1))
    for secret in (Secret.file(path), Secret.value(path.read_bytes()), Secret.env("BIG")):
        with pytest.raises(ConfigError, match="'big' has 512,001 bytes, BuildKit allows 512,000"):
            await to_thread.run_sync(secret.check, "big")
        with pytest.raises(ConfigError, match="512,001"):
            await secret.resolve("big")
    with pytest.raises(ConfigError, match="512,001"):
        await Secret.call(path.read_bytes).resolve("big")


async def test_what_can_not_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S87, but a variable that is not set is an error."""
    monkeypatch.delenv("NOT_SET", raising=False)
    for secret, says in (
        (Secret.file(tmp_path / "no"), "No such file"),
        (Secret.env("NOT_SET"), "NOT_SET is not set"),
    ):
        with pytest.raises(ConfigError, match=says):
            await to_thread.run_sync(secret.check, "x")
        with pytest.raises(ConfigError, match=says):
            await secret.resolve("x")
    with pytest.raises(ConfigError, match="is a directory"):
        await to_thread.run_sync(Secret.file(tmp_path).check, "x")
    with pytest.raises(ConfigError, match="variable's name"):
        Secret.env("")


async def test_an_unreadable_file_is_found_up_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="Permission denied"):
        await to_thread.run_sync(Secret.file(path).check, "x")


async def test_functions_must_return_bytes_and_their_errors_pass() -> None:
    with pytest.raises(ConfigError, match="returned str, it must return bytes"):
        await Secret.call(lambda: "hunter2").resolve("x")  # type: ignore[arg-type, return-value]

    def vault() -> bytes:
        raise PermissionError("vault is sealed")

    with pytest.raises(PermissionError, match="sealed"):
        await Secret.call(vault).resolve("x")


@pytest.mark.parametrize(
    ("text", "name", "secret"),
    [
        ("id=a,src=/f", "a", Secret.file("/f")),
        ("id=a,source=/f,type=file", "a", Secret.file("/f")),
        ("ID=a,SRC=/f", "a", Secret.file("/f")),
        ("id=a,env=E", "a", Secret.env("E")),
        ("id=a,src=E,type=env", "a", Secret.env("E")),
        ("id=a,env=E,src=/f", "a", Secret.env("E")),
        ("id=a,type=env", "a", Secret.env("a")),
        ("id=SET", "SET", Secret.env("SET")),
        ("id=SET,type=file", "SET", Secret.file("SET")),
        ("id=a", "a", Secret.file("a")),
        ('id=a,"src=x,y"', "a", Secret.file("x,y")),
    ],
)
def test_buildctl_text(text: str, name: str, secret: Secret) -> None:
    """B26, S87."""
    assert Secret.parse(text, environ={"SET": "1"}) == (name, secret)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("src=/f", "has no id"),
        ("id=,src=/f", "has no id"),
        ("id=a,file=/f", "'file' is not one of id, src"),
        ("id=a,type=raw", "type=raw is not file or env"),
        ("a", "not key=value"),
    ],
)
def test_bad_text(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Secret.parse(text)


def test_coercion_of_all_forms(tmp_path: Path) -> None:
    assert coerce_secrets(None) == {}
    assert coerce_secrets("id=a,env=E") == {"a": Secret.env("E")}
    assert coerce_secrets(["id=a,env=E", "id=b,src=/f"]) == {"a": Secret.env("E"), "b": Secret.file("/f")}
    secrets = coerce_secrets({"a": b"1", "b": tmp_path, "c": async_value, "d": Secret.env("E")})
    assert secrets == {
        "a": Secret.value(b"1"),
        "b": Secret.file(tmp_path),
        "c": Secret.call(async_value),
        "d": Secret.env("E"),
    }
    assert len(set(secrets.values())) == 4


def test_a_value_is_not_pickled() -> None:
    assert pickle.loads(pickle.dumps(Secret.env("E"))) == Secret.env("E")
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret.value(VALUE))
    assert copy.copy(Secret.env("E")) == Secret.env("E")
