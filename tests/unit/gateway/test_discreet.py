"""A frontend's solve by way of the gateway (T20), against a daemon in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio
import pytest

from pybuildkit._pb import control_pb2, gateway_pb2
from pybuildkit.control.solve import CacheEntry, SolveRequest
from pybuildkit.errors import ConnectionLost, NotFound, RPCError
from pybuildkit.gateway import discreet
from pybuildkit.gateway.discreet import solve_discreetly
from pybuildkit.rpc.channel import Channel

pytestmark = pytest.mark.anyio

REQUEST = SolveRequest(
    "ref1",
    session="s",
    frontend="dockerfile.v0",
    frontend_attrs={"cache-imports": "SECRET", "target": "t"},
    frontend_inputs={"in": b""},
    cache_imports=(CacheEntry("gha", {"token": "SECRET"}),),
)


class Daemon:
    """Ends the solve when it is told the result; each call can be made to do otherwise."""

    address = "memory://"

    def __init__(self, **calls: Callable[[], Awaitable[bytes]]) -> None:
        self._calls: dict[str, Callable[[], Awaitable[bytes]]] = {
            "Control": self._control,
            "Ping": self._ping,
            "Solve": self._solve,
            "Return": self._return,
            **calls,
        }
        self.asked: dict[str, bytes] = {}
        self.metadata: set[object] = set()
        self.returned = anyio.Event()
        self.solve_cancelled = False

    async def unary(self, method: str, request: bytes = b"", *, metadata: Any = (), **_: object) -> bytes:
        service, _sep, name = method.rpartition("/")
        if name == "Solve" and service.endswith("Control"):
            name = "Control"
        else:
            self.metadata.add(tuple(metadata))
        self.asked[name] = request
        return await self._calls[name]()

    async def _control(self) -> bytes:
        try:
            await self.returned.wait()
        except anyio.get_cancelled_exc_class():
            self.solve_cancelled = True
            raise
        returned = gateway_pb2.ReturnRequest.FromString(self.asked["Return"])
        if returned.HasField("error"):
            raise RPCError(f"daemon: {returned.error.message}", code="UNKNOWN")
        return control_pb2.SolveResponse(ExporterResponse={"a": "b"}).SerializeToString()

    async def _ping(self) -> bytes:
        message = gateway_pb2.PongResponse()
        for cap in ("solve.base", "return", "frontend.inputs"):
            message.FrontendAPICaps.add(ID=cap, Enabled=True)
        return message.SerializeToString()

    async def _solve(self) -> bytes:
        return gateway_pb2.SolveResponse(
            result=gateway_pb2.Result(ref=gateway_pb2.Ref(id="r1"), metadata={"k": b"v"})
        ).SerializeToString()

    async def _return(self) -> bytes:
        self.returned.set()
        return b""


def failing(error: Exception) -> Callable[[], Awaitable[bytes]]:
    async def fail() -> bytes:
        raise error

    return fail


async def forever() -> bytes:
    await anyio.sleep_forever()
    raise AssertionError


async def solved(daemon: Daemon) -> bytes:
    with anyio.fail_after(5):
        return await solve_discreetly(cast("Channel", daemon), REQUEST, {"cache-imports"})


async def test_only_the_frontend_is_told() -> None:
    daemon = Daemon()
    answer = control_pb2.SolveResponse.FromString(await solved(daemon))
    assert answer.ExporterResponse == {"a": "b"}
    outside = control_pb2.SolveRequest.FromString(daemon.asked["Control"])
    assert (outside.Ref, outside.Session, outside.Frontend) == ("ref1", "s", "")
    assert outside.FrontendAttrs == {"target": "t"}
    assert not outside.FrontendInputs
    inside = gateway_pb2.SolveRequest.FromString(daemon.asked["Solve"])
    assert inside.Frontend == "dockerfile.v0"
    assert inside.FrontendOpt == {"target": "t", "cache-imports": "SECRET"}
    assert set(inside.FrontendInputs) == {"in"}
    returned = gateway_pb2.ReturnRequest.FromString(daemon.asked["Return"])
    assert returned.result.ref.id == "r1"
    assert returned.result.metadata == {"k": b"v"}
    assert daemon.metadata == {(("buildkit-controlapi-buildid", "ref1"),)}


async def test_what_the_frontend_refuses_ends_the_build() -> None:
    """V65, V21: the daemon is told, and the error is the first one."""
    daemon = Daemon(Solve=failing(RPCError("no such stage", code="UNKNOWN", method="Solve")))
    with pytest.raises(RPCError, match=r"^no such stage$"):
        await solved(daemon)
    returned = gateway_pb2.ReturnRequest.FromString(daemon.asked["Return"])
    assert returned.error.message == "no such stage"


async def test_a_solve_that_is_refused_before_it_begins() -> None:
    """T14: the daemon never knows the build, and is not asked for it any longer."""
    daemon = Daemon(
        Control=failing(RPCError('exporter "zz" could not be found', code="UNKNOWN")),
        Ping=failing(NotFound("no such build", code="NOT_FOUND")),
    )
    with pytest.raises(RPCError, match="exporter"):
        await solved(daemon)


async def test_a_build_that_ends_while_the_frontend_runs() -> None:
    """R15: another client has cancelled it, say; what failed inside only follows from that."""

    async def cancelled() -> bytes:
        await anyio.sleep(0.05)
        raise RPCError("context canceled", code="CANCELLED", method="Solve")

    async def ended() -> bytes:
        await anyio.sleep(0.1)
        raise RPCError("the disk is full", code="UNKNOWN")

    with pytest.raises(RPCError, match="the disk is full"):
        await solved(
            Daemon(Solve=cancelled, Control=ended, Return=failing(NotFound("gone", code="NOT_FOUND")))
        )


async def test_a_daemon_that_does_not_end_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hang: the solve is cancelled, and what the frontend said is raised."""
    monkeypatch.setattr(discreet, "RETURN_PATIENCE", 0.1)
    error = RPCError("no such stage", code="UNKNOWN")
    daemon = Daemon(Solve=failing(error), Return=forever, Control=forever)
    with pytest.raises(RPCError) as caught:
        await solved(daemon)
    assert caught.value is error


async def test_a_daemon_that_goes_away() -> None:
    lost = ConnectionLost("Socket closed", code="UNAVAILABLE")
    with pytest.raises(ConnectionLost):
        await solved(Daemon(Control=failing(lost), Solve=failing(lost)))


async def test_cancelling_it_cancels_the_solve() -> None:
    daemon = Daemon(Solve=forever)
    with anyio.move_on_after(0.1) as scope:
        await solve_discreetly(cast("Channel", daemon), REQUEST, {"cache-imports"})
    assert scope.cancelled_caught
    assert daemon.solve_cancelled
