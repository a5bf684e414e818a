"""Credential helpers that do what they should not."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import anyio
import pytest

from pybuildkit.errors import SessionError
from pybuildkit.registry.credentials import Credentials
from pybuildkit.registry.helper import ask_helper


@pytest.fixture
def path(tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}


def write(folder: Path, script: str) -> None:
    path = folder / "docker-credential-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


async def test_an_answer(tmp_path: Path, path: dict[str, str]) -> None:
    """S77: the server comes on standard input, and the program is told to get."""
    write(
        tmp_path,
        f'echo "$@" > {tmp_path}/args; cat > {tmp_path}/input; echo \'{{"Username":"u","Secret":"s"}}\'',
    )
    assert await ask_helper("test", "https://index.docker.io/v1/", environ=path) == Credentials("u", "s")
    assert (tmp_path / "args").read_text() == "get\n"
    assert (tmp_path / "input").read_text() == "https://index.docker.io/v1/"


async def test_one_that_does_not_read(tmp_path: Path, path: dict[str, str]) -> None:
    write(tmp_path, 'exec 0<&-; echo \'{"Username":"<token>","Secret":"t"}\'')
    assert await ask_helper("test", "a.test", environ=path) == Credentials(identity_token="t")


async def test_nothing_found(tmp_path: Path, path: dict[str, str]) -> None:
    write(tmp_path, "echo 'credentials not found in native keychain'; exit 1")
    assert await ask_helper("test", "a.test", environ=path) is None


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo hunter2; echo hunter2 >&2; exit 3", r"failed \(exit code 3\) for a.test; run `printf a.test"),
        ("echo hunter2", "something else than credentials"),
        ("printf ''", "something else than credentials"),
        ("printf '\\377\\376hunter2'", "something else than credentials"),
        ("echo '[\"hunter2\"]'", "something else than credentials"),
        ('echo \'{"Username":["hunter2"],"Secret":"hunter2"}\'', "something else than credentials"),
        ("yes hunter2", "failed"),
        ("kill -9 $$", "failed"),
    ],
)
async def test_rubbish(
    tmp_path: Path, path: dict[str, str], script: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the helper and the registry, and nothing that was printed; that much is read, and no more."""
    write(tmp_path, script)
    with caplog.at_level(logging.DEBUG), pytest.raises(SessionError, match=text) as caught:
        await ask_helper("test", "a.test", environ=path)
    assert "docker-credential-test" in str(caught.value)
    assert "hunter2" not in str(caught.value) + caplog.text


async def test_one_that_hangs_ends_with_all_it_has_started(tmp_path: Path, path: dict[str, str]) -> None:
    write(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    started = time.monotonic()
    with pytest.raises(SessionError, match=r"did not answer within 0.5 s for a.test"):
        await ask_helper("test", "a.test", environ=path, timeout=0.5)
    assert time.monotonic() - started < 10
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline
        await anyio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("name", ["missing", "../test", "-x", "", "a b"])
async def test_one_that_is_not_there(tmp_path: Path, path: dict[str, str], name: str) -> None:
    write(tmp_path, "exit 0")
    with pytest.raises(SessionError, match="is not on the PATH; install it"):
        await ask_helper(name, "a.test", environ=path)
