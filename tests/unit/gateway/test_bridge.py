"""The bridge: the first call, capabilities, refusals, the build's end."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from pybuildkit._pb import gateway_pb2 as pb
from pybuildkit.errors import BuildError, ConfigError, NotFound, RPCError, Unsupported
from pybuildkit.gateway import Bridge
from pybuildkit.gateway.caps import GatewayCaps
from pybuildkit.llb import Capability
from tests.unit.gateway.channels import FakeGateway, bridge_to, pong

pytestmark = pytest.mark.anyio


async def test_every_call_carries_the_builds_id() -> None:
    """T15."""
    channel = FakeGateway({"Evaluate": b""})
    bridge = await bridge_to(channel)
    await bridge.call("Evaluate", b"")
    async with bridge.duplex("ExecProcess"):
        pass
    assert channel.metadata == [(("buildkit-controlapi-buildid", "b1"),)] * 3


async def test_without_metadata_it_is_a_frontends() -> None:
    """Over any channel: a frontend in a container has no build id."""
    channel = FakeGateway({"Inputs": b""})
    bridge = Bridge(channel)
    await bridge.connect()
    await bridge.call("Inputs", b"")
    assert channel.metadata == [(), ()]


async def test_a_build_that_is_not_known_yet_is_asked_for_again() -> None:
    """T14."""
    answers = [NotFound("no such job", code="NOT_FOUND")] * 2

    async def ping(_: bytes) -> bytes:
        if answers:
            raise answers.pop()
        return pong()

    channel = FakeGateway({"Ping": ping})
    bridge = Bridge(channel)
    with pytest.raises(NotFound):
        await bridge.connect()
    await bridge.connect(patience=5)
    assert len(channel.requests("Ping")) == 3
    assert "readfile" in bridge.caps
    assert bridge.workers[0].id == "worker"


async def test_other_refusals_are_not_waited_out() -> None:
    channel = FakeGateway({"Ping": RPCError("no", code="UNKNOWN")})
    with pytest.raises(RPCError, match="no"):
        await Bridge(channel).connect(patience=5)
    assert len(channel.asked) == 1


async def test_a_daemon_that_announces_nothing_has_what_there_was_at_first() -> None:
    """V62: four capabilities of the gateway, 29 of graphs."""
    bridge = Bridge(FakeGateway({"Ping": b""}))
    await bridge.connect()
    assert len(bridge.caps) == 4
    assert len(bridge.llb_caps) == 29
    assert "solve.base" in bridge.caps
    assert "return" not in bridge.caps
    assert "source.image" in bridge.llb_caps
    assert "mergeop" not in bridge.llb_caps


def test_capabilities() -> None:
    caps = GatewayCaps(
        [
            "on",
            Capability("off", enabled=False, message="by the admin", alternative="on"),
            Capability("dark", False),
        ]
    )
    assert "on" in caps
    assert "off" not in caps
    assert "none" not in caps
    caps.require("on", "x()")
    for name, words in (
        ("off", ("x()", "off", "by the admin", "use on instead")),
        ("dark", ("disabled",)),
        ("none", ("does not have", "update buildkitd")),
    ):
        with pytest.raises(Unsupported) as caught:
            caps.require(name, "x()")
        assert caught.value.capability == name
        for word in words:
            assert word in str(caught.value)
    assert repr(caps) == "<GatewayCaps of 3>"


async def test_a_missing_capability_sends_nothing() -> None:
    """V75."""
    channel = FakeGateway({"Ping": pong("solve.base")})
    bridge = await bridge_to(channel)
    with pytest.raises(Unsupported, match=r"stat\(\) needs the capability statfile"):
        await bridge.call("StatFile", b"", "statfile", what="stat()")
    assert [name for name, _ in channel.asked] == ["Ping"]


async def test_refusals_are_explained() -> None:
    refusal = RPCError("it is broken", code="UNKNOWN")
    channel = FakeGateway({"Evaluate": refusal})
    seen = []

    async def explain(error: RPCError) -> BuildError:
        seen.append(error)
        await anyio.lowlevel.checkpoint()
        return BuildError("explained")

    bridge = Bridge(channel, explain=explain)
    await bridge.connect()
    with pytest.raises(BuildError, match="explained"):
        await bridge.call("Evaluate", b"")
    assert seen == [refusal]
    with pytest.raises(BuildError, match="explained"):
        raise await bridge.explained(refusal)
    with pytest.raises(NotFound, match="my own"):
        await bridge.call("Evaluate", b"", read=lambda _: NotFound("my own", code="NOT_FOUND"))


@pytest.mark.parametrize("answer", [b"\xff", b"\x0a\x05a", b"\x00\x00"])
async def test_answers_that_can_not_be_read(answer: bytes) -> None:
    channel = FakeGateway({"Evaluate": answer})
    bridge = await bridge_to(channel)
    with pytest.raises(RPCError, match="can not be read"):
        await bridge.call("Evaluate", b"")
    with pytest.raises(RPCError, match="can not be read"):
        await Bridge(FakeGateway({"Ping": answer})).connect()


async def test_a_closed_bridge_says_why() -> None:
    bridge = await bridge_to(FakeGateway())
    bridge.close("the build is finished")
    bridge.close("something later")
    assert bridge.over
    with pytest.raises(ConfigError, match=r"solve\(\): the build is finished"):
        await bridge.call("Solve", b"", what="solve()")


async def test_calls_end_with_their_build() -> None:
    """Also those of tasks outside of the block, and those that begin later."""
    never = anyio.Event()

    async def wait(_: bytes) -> bytes:
        await never.wait()
        return b""

    bridge = await bridge_to(FakeGateway({"Solve": wait}))
    end = BuildError("the daemon has ended it")
    failures: list[BaseException] = []

    async def call() -> None:
        try:
            await bridge.call("Solve", b"")
        except BuildError as exc:
            failures.append(exc)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        bridge.abort(end)
    assert failures == [end, end]
    with pytest.raises(BuildError, match="the daemon has ended it"):
        await bridge.call("Solve", b"")


async def test_a_cancelled_call_is_cancelled_and_nothing_else() -> None:
    async def wait(_: bytes) -> bytes:
        await anyio.sleep_forever()
        raise AssertionError

    bridge = await bridge_to(FakeGateway({"Solve": wait, "Inputs": b""}))
    with anyio.move_on_after(0.01) as scope:
        await bridge.call("Solve", b"")
    assert scope.cancelled_caught
    await bridge.call("Inputs", b"")


async def test_release_is_left_out_when_the_build_is_over() -> None:
    channel = FakeGateway({"ReleaseContainer": pb.ReleaseContainerResponse().SerializeToString()})
    bridge = await bridge_to(channel)
    await bridge.release(b"one")
    bridge.close("over")
    await bridge.release(b"two")
    assert channel.requests("ReleaseContainer") == [b"one"]
