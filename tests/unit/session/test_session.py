"""The session in memory: see ``tests.support.fakedaemon``."""

from __future__ import annotations

import pytest

from pybuildkit.session.calls import AsyncCall, Call, Code, Service, Status, StatusError
from tests.support.fakedaemon import fake_daemon, serve_handler, serve_machine

ECHO = "/test.Echo/Echo"


class Echo:
    def __init__(self, call: Call) -> None:
        self.call = call

    def message(self, data: bytes) -> None:
        self.call.send(data)

    def half_closed(self) -> None:
        self.call.finish()

    def pull(self) -> bool:
        return False

    def closed(self) -> None:
        pass


async def echo(call: AsyncCall) -> None:
    while (message := await call.receive()) is not None:
        await call.send(message)


@pytest.mark.parametrize(
    "service", [serve_machine(ECHO, Echo), serve_handler(ECHO, echo)], ids=["machine", "coroutine"]
)
async def test_messages_come_back(service: Service) -> None:
    sent = [b"", b"x", b"y" * 70_000, b"z" * 3_000_000]
    async with fake_daemon(service) as daemon, daemon.call(ECHO) as call:
        for message in sent:
            await call.send(message)
        await call.done_sending()
        assert [message async for message in call] == sent
        assert await call.status() == Status()


async def test_health_is_served_by_every_session() -> None:
    """S9, T6."""
    async with fake_daemon() as daemon:
        assert await daemon.unary("/grpc.health.v1.Health/Check") == (b"\x08\x01", Status())
        answer, status = await daemon.unary("/grpc.health.v1.Health/Check", b"\x0a\x01x")
        assert answer is None
        assert status.code == Code.NOT_FOUND


async def test_a_handlers_status_reaches_the_daemon() -> None:
    async def refuse(call: AsyncCall) -> None:
        raise StatusError(Code.NOT_FOUND, "not found: é%", (("type.googleapis.com/x.Y", b"\x01"),))

    async with fake_daemon(serve_handler(ECHO, refuse)) as daemon:
        _, status = await daemon.unary(ECHO)
        assert status == Status(Code.NOT_FOUND, "not found: é%", (("type.googleapis.com/x.Y", b"\x01"),))
