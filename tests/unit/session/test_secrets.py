"""The secrets service, called as the daemon calls it."""

from __future__ import annotations

import functools
import logging

import pytest

from pybuildkit import _wire
from pybuildkit.errors import ConfigError
from pybuildkit.secrets import Secret
from pybuildkit.session.calls import Code, Status
from pybuildkit.session.secrets import GET_SECRET, SecretSource, SecretsService
from tests.support import fakedaemon
from tests.support.fakedaemon import fake_daemon


@pytest.fixture(autouse=True, params=["memory", "socket"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to carry a session."""
    monkeypatch.setattr(fakedaemon, "CARRIER", request.param)


def fixed(value: bytes) -> SecretSource:
    async def source() -> bytes:
        return value

    return source


def failing(error: Exception) -> SecretSource:
    async def source() -> bytes:
        raise error

    return source


def request(name: str) -> bytes:
    # With an annotation, as a newer daemon may send one.
    return _wire.field_bytes(1, name.encode()) + _wire.field_bytes(2, b"\x0a\x01k\x12\x01v")


async def ask(service: SecretsService, name: str) -> tuple[bytes | None, Status]:
    async with fake_daemon(service) as daemon:
        return await daemon.unary(GET_SECRET, request(name))


async def test_a_value_is_given_as_it_is() -> None:
    """S86."""
    answer, status = await ask(SecretsService({"token": fixed(b"\x00hunter2\xff")}), "token")
    assert status == Status()
    assert answer is not None
    assert _wire.first(answer, 1) == b"\x00hunter2\xff"


async def test_an_empty_value_is_not_a_missing_one() -> None:
    answer, status = await ask(SecretsService({"token": fixed(b"")}), "token")
    assert (answer, status) == (b"", Status())


async def test_a_missing_one_is_not_found_and_remembered() -> None:
    """S86: the daemon looks at the code."""
    service = SecretsService({"token": fixed(b"x")})
    async with fake_daemon(service) as daemon:
        for name in ("b", "a", "b", "token"):
            await daemon.unary(GET_SECRET, request(name))
        assert await daemon.unary(GET_SECRET, request("a")) == (None, Status(Code.NOT_FOUND, "not found"))
    assert service.missing == ("b", "a")


@pytest.mark.parametrize(("size", "code"), [(512_000, Code.OK), (512_001, Code.UNKNOWN)])
async def test_the_limit_is_500_kib(size: int, code: Code) -> None:
    """S86, R12."""
    answer, status = await ask(SecretsService({"big": fixed(b"x" * size)}), "big")
    assert status.code == code
    if code:
        assert status.message == "invalid secret size 512001"
    else:
        assert answer is not None
        assert len(_wire.first(answer, 1)) == size


async def test_sources_are_asked_each_time() -> None:
    """S87: the content is that of the time of asking."""
    values = iter((b"one", b"two"))

    async def source() -> bytes:
        return next(values)

    async with fake_daemon(SecretsService({"t": source})) as daemon:
        answers = [(await daemon.unary(GET_SECRET, request("t")))[0] for _ in range(2)]
    assert [_wire.first(answer or b"", 1) for answer in answers] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("bad value hunter2"), "secret 't' can not be had: ValueError"),
        (PermissionError(13, "Permission denied", "/x"), "secret 't' can not be had: Permission denied"),
        (ConfigError("the variable T is not set"), "secret 't' can not be had: the variable T is not set"),
    ],
)
async def test_an_error_tells_no_value(error: Exception, text: str, caplog: pytest.LogCaptureFixture) -> None:
    service = SecretsService({"t": failing(error)})
    with caplog.at_level(logging.DEBUG):
        _, status = await ask(service, "t")
    assert status == Status(Code.UNKNOWN, text)
    assert service.failed == {"t": error}
    assert "hunter2" not in caplog.text


async def test_a_value_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await ask(SecretsService({"t": fixed(b"hunter2")}), "t")
    assert "hunter2" not in caplog.text


async def test_something_else_than_bytes_is_refused() -> None:
    async def source() -> bytes:
        return "text"  # type: ignore[return-value]

    _, status = await ask(SecretsService({"t": source}), "t")
    assert status.code == Code.UNKNOWN
    assert "TypeError" in status.message


async def test_rubbish_is_an_invalid_argument() -> None:
    async with fake_daemon(SecretsService({})) as daemon:
        _, status = await daemon.unary(GET_SECRET, b"\xff\xff")
    assert status.code == Code.INVALID_ARGUMENT


async def test_the_values_of_the_package_fit() -> None:
    secret = Secret.value(b"v")
    answer, _ = await ask(SecretsService({"t": functools.partial(secret.resolve, "t")}), "t")
    assert _wire.first(answer or b"", 1) == b"v"
