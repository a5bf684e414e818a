"""X2: a daemon that says nothing any more, though its connection is up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from pybuildkit.errors import BuildKitError, ConnectionLost
from pybuildkit.rpc.channel import Metadata
from pybuildkit.session import watch as watch_module
from pybuildkit.session.carrier import Carrier
from pybuildkit.session.driver import Driver
from pybuildkit.session.session import Session
from pybuildkit.session.stubcarrier import StubCarrier
from pybuildkit.session.watch import watching

pytestmark = pytest.mark.anyio


class Listener:
    """As much of a driver as is watched."""

    def __init__(self) -> None:
        self.heard = 0
        self.error: BuildKitError | None = None

    def give_up(self, error: BuildKitError) -> None:
        self.error = error


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "BEAT", 0.01)
    monkeypatch.setattr(watch_module, "SILENCE", 0.1)


async def watched(listener: Driver | Listener, health_timeout: float | None = None) -> None:
    with anyio.fail_after(10), watching(listener, health_timeout):  # type: ignore[arg-type]
        while listener.error is None:  # noqa: ASYNC110
            await anyio.sleep(0.005)


async def test_silence_is_an_error() -> None:
    listener = Listener()
    await watched(listener)
    assert isinstance(listener.error, ConnectionLost)
    assert "nothing was heard" in str(listener.error)


async def test_every_word_counts() -> None:
    listener = Listener()
    with anyio.move_on_after(0.5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watched, listener)
            while True:
                listener.heard += 1
                await anyio.sleep(0.03)
    assert listener.error is None


async def test_a_daemon_that_was_told_to_check_seldom() -> None:
    """S10: silence between its checks is none."""
    listener = Listener()
    with watching(listener, 10):  # type: ignore[arg-type]
        await anyio.sleep(0.3)
    assert listener.error is None


class SilentStream:
    """A stream on which nothing ever comes."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, message: bytes) -> None:
        self.sent += 1

    async def receive(self) -> bytes | None:
        await anyio.sleep_forever()
        return None

    async def done_sending(self) -> None:
        raise AssertionError("whoever is not there is told nothing")


async def test_a_session_that_hears_nothing_ends_its_block() -> None:
    @asynccontextmanager
    async def silent(metadata: Metadata) -> AsyncIterator[Carrier]:
        yield StubCarrier(SilentStream())

    with anyio.fail_after(10), pytest.raises(ConnectionLost, match="nothing was heard"):
        async with Session().open(silent):
            await anyio.sleep_forever()
