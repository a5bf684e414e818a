"""Ten thousand trees with tricks from a hostile daemon: nothing outside the destination is written, read or changed.

They go to the receiver itself, with traps in the destination and somebody who renames things in it meanwhile; a share of
them goes through a whole session. What is outside is compared to the nanosecond and the inode after every tree.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from anyio.to_thread import run_sync

from pybuildkit.errors import TransferError
from pybuildkit.fsutil.receive import Limits, Receiver, open_destination
from pybuildkit.session.filesend import DIFF_COPY, FileSend
from pybuildkit.targets import DirectoryTarget
from tests.support.fakedaemon import fake_daemon
from tests.support.hostiletrees import Arena, conversation

TREES = 10_000
PARTS = 8
THROUGH_SESSION = 400


def leftovers(root: Path) -> list[str]:
    return [name for _, _, names in os.walk(root) for name in names if name.startswith(".pybuildkit-")]


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_gets_out(tmp_path: Path, part: int) -> None:
    """S54, S55, S58, R19."""
    arena = Arena(tmp_path)
    before = arena.look()
    descriptors = len(os.listdir("/proc/self/fd"))
    ends: Counter[str] = Counter()
    limits = Limits(entries=30, whole_file=64, held_bytes=2000, partial_files=3, requests=5)
    for number in range(part, TREES, PARTS):
        rng = random.Random(number)
        disturbed = rng.random() < 0.3
        arena.set_traps(rng)
        receiver = Receiver(
            open_destination(arena.out, mirror=rng.random() < 0.3),
            devices=rng.choice(("refuse", "skip")),
            limits=limits,
        )
        for message in conversation(rng, arena.outside):
            receiver.feed(message)
            if disturbed and rng.random() < 0.2:
                arena.disturb(rng)
        receiver.abort()
        assert arena.look() == before, f"tree {number}: {receiver.error}"
        assert receiver.complete or receiver.error is not None, f"tree {number}"
        assert disturbed or not leftovers(arena.out), f"tree {number}: {receiver.error}"
        ends["complete" if receiver.complete else type(receiver.error).__name__] += 1
        arena.clear()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    # The trees are no good as a test if all of them fail at once, or none does.
    assert ends["complete"] > TREES / PARTS / 20
    assert ends["ProtocolError"] > TREES / PARTS / 4


async def test_nothing_gets_out_of_a_session(tmp_path: Path) -> None:
    """The same through FileSend, the bridge and HTTP/2, with every exporter's end on both sides."""
    arenas = []
    for number in range(8):
        (tmp_path / str(number)).mkdir()
        arenas.append(Arena(tmp_path / str(number)))
    before = [arena.look() for arena in arenas]
    complete = 0
    for first in range(0, THROUGH_SESSION, len(arenas)):
        targets = {}
        for number, arena in enumerate(arenas):
            rng = random.Random(first + number)
            arena.set_traps(rng)
            targets[number] = DirectoryTarget(arena.out, delete=rng.random() < 0.3, atomic=rng.random() < 0.2)
        service = FileSend(targets)
        async with fake_daemon(service) as daemon:
            for number, arena in enumerate(arenas):
                rng = random.Random(first + number)
                headers = {
                    "buildkit-attachable-exporter-id": [str(number)],
                    "buildkit-exporter-multi-platform": ["1"],
                }
                async with daemon.call(DIFF_COPY, headers) as call:
                    for message in conversation(rng, arena.outside):
                        await call.send(message)
                    await call.done_sending()
                    await call.status()
        complete += sum(result.entries > 0 for result in service.results.values())
        await _finish(service, rng)
        assert [arena.look() for arena in arenas] == before
        for arena in arenas:
            if arena.out.exists():
                arena.clear()
    assert complete > THROUGH_SESSION / 2


async def _finish(service: FileSend, rng: random.Random) -> None:
    if rng.random() < 0.5:
        await run_sync(service.abort)
        return
    try:
        await run_sync(service.commit)
    except TransferError:
        await run_sync(service.abort)
