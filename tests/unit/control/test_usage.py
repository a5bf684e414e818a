"""Disk usage and pruning: the codec against the stubs, and the calls over a scripted channel."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from pybuildkit._pb import control_pb2
from pybuildkit.control.calls import ControlCalls
from pybuildkit.errors import ConfigError, RPCError
from pybuildkit.rpc.channel import Channel
from pybuildkit.usage import UsageRecord
from tests.support.fakechannel import ScriptedChannel


class Calls(ControlCalls):
    """The calls over a channel."""

    def __init__(self, channel: ScriptedChannel) -> None:
        self.channel = channel

    def _connected(self) -> Channel:
        return self.channel


def record(**fields: object) -> control_pb2.UsageRecord:
    return control_pb2.UsageRecord(**fields)  # type: ignore[arg-type]


async def test_disk_usage() -> None:
    """C6, C47: every field; sorted by size, then by id."""
    full = record(
        ID="b",
        Mutable=True,
        InUse=True,
        Size=7,
        UsageCount=3,
        Description="pulled",
        RecordType="source.local",
        Shared=True,
        Parents=["p", "q"],
    )
    full.CreatedAt.FromNanoseconds(1_700_000_000_123_456_789)
    full.LastUsedAt.FromNanoseconds(1_700_000_001_000_000_000)
    response = control_pb2.DiskUsageResponse(
        record=[full, record(ID="a", Size=7), record(ID="z", Parent="o")]
    )
    channel = ScriptedChannel(DiskUsage=[response.SerializeToString()])
    found = await Calls(channel).disk_usage(filters="type==regular", age_limit=timedelta(seconds=1.5))
    assert [r.id for r in found] == ["z", "a", "b"]
    assert found[0].parents == ("o",)
    assert found[1] == UsageRecord("a", 7)
    assert found[2] == UsageRecord(
        "b",
        7,
        in_use=True,
        mutable=True,
        shared=True,
        created_ns=1_700_000_000_123_456_789,
        last_used_ns=1_700_000_001_000_000_000,
        usage_count=3,
        description="pulled",
        record_type="source.local",
        parents=("p", "q"),
    )
    assert not found[2].reclaimable
    assert found[2].created_at == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert found[1].last_used_at is None
    (asked,) = channel.asked
    request = control_pb2.DiskUsageRequest.FromString(asked[1])
    assert (list(request.filter), request.ageLimit) == (["type==regular"], 1_500_000_000)


async def test_prune() -> None:
    """C7."""
    channel = ScriptedChannel(Prune=[record(ID=i, Size=1).SerializeToString() for i in ("a", "b")])
    removed = await Calls(channel).prune(
        filters=["x", "y"], all=True, keep_duration=2, reserved_space=3, max_used_space=4, min_free_space=5
    )
    assert [r.id for r in removed] == ["a", "b"]
    request = control_pb2.PruneRequest.FromString(channel.asked[0][1])
    assert list(request.filter) == ["x", "y"]
    assert (request.all, request.keepDuration) == (True, 2_000_000_000)
    assert (request.reservedSpace, request.maxUsedSpace, request.minFreeSpace) == (3, 4, 5)


async def test_leaving_prune_early_ends_the_call() -> None:
    channel = ScriptedChannel(Prune=[record(ID=i).SerializeToString() for i in ("a", "b")])
    async with aclosing(Calls(channel).prune_each()) as records:
        async for first in records:
            assert first.id == "a"
            break
    assert channel.cancelled == 1


async def test_a_refusal_in_the_middle_is_typed() -> None:
    """X25."""
    channel = ScriptedChannel(Prune=RPCError("bad filter", code="UNKNOWN"))
    with pytest.raises(RPCError, match="bad filter"):
        await Calls(channel).prune(filters="(")


@pytest.mark.parametrize(
    "arguments",
    [
        {"keep_duration": -1},
        {"keep_duration": timedelta(seconds=-1)},
        {"keep_duration": float("nan")},
        {"keep_duration": "1h"},
        {"reserved_space": -1},
        {"max_used_space": -1},
        {"min_free_space": -1},
    ],
)
async def test_numbers_that_can_not_be(arguments: dict[str, object]) -> None:
    channel = ScriptedChannel()
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        await Calls(channel).prune(**arguments)  # type: ignore[arg-type]
    assert channel.asked == []
