"""Builds that stay in one phase for long, so that something can happen to them there."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from pybuildkit import AsyncClient
from pybuildkit.build import Build
from pybuildkit.caches import GHACache, RegistryCache
from pybuildkit.daemon import Buildkitd
from pybuildkit.events import VertexStarted
from pybuildkit.outputs import OCI, Image, Local, Tar
from tests.support.ghacache import runtime_token
from tests.support.proxy import Proxy

__all__ = [
    "AT_ONCE",
    "MAKE_BIG",
    "PHASES",
    "SLOW",
    "Phase",
    "host",
    "in_phase",
    "project",
    "send_signal",
    "started",
]

AT_ONCE = 5.0
"""Seconds for what this side knows at once; on an idle machine it takes a tenth of that."""

BIG = 20_000_000
SLOW = 400_000
"""Bytes, and bytes a second, that hold a transfer up for long enough."""


def host(of: Proxy) -> str:
    return of.address.removeprefix("tcp://")


def project(folder: Path, dockerfile: str, *, big: bool = False) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"{dockerfile}# {folder}\n")
    if big:
        (folder / "big").write_bytes(os.urandom(BIG))
    return folder


# --- phases: what a build can be at when something happens ---


@dataclass(frozen=True)
class Phase:
    """A build that stays in one phase for long.

    Attributes:
        vertex: begins the name of the vertex that is at work then.
        options: of the build.
        slow: what holds it up: the way to the daemon, the registry, or the build itself.
    """

    dockerfile: str
    vertex: str
    slow: str
    options: Callable[[Path, str], dict[str, Any]] = field(default=lambda _out, _hub: {})
    big: bool = False


async def never() -> bytes:
    await anyio.sleep_forever()
    raise AssertionError


MAKE_BIG = (
    f"FROM busybox AS work\nRUN head -c {BIG} /dev/urandom > /big\nFROM scratch\nCOPY --from=work /big /\n"
)

PHASES = {
    "transfer of the context": Phase(
        "FROM scratch\nCOPY big /\n", "[internal] load build context", "way", big=True
    ),
    "lookup of an image": Phase("FROM {hub}/library/busybox\n", "[internal] load metadata", "silent hub"),
    "step": Phase("FROM busybox\nRUN sleep 1234\n", "[2/2] RUN", ""),
    "step of a build with hidden credentials": Phase(
        "FROM busybox\nRUN sleep 1234\n",
        "[2/2] RUN",
        "",
        lambda _out, _hub: {"cache_from": GHACache(url="http://127.0.0.1:9", token=runtime_token())},
    ),
    "secret": Phase(
        "FROM busybox\nRUN --mount=type=secret,id=a cat /run/secrets/a\n",
        "[stage-0 2/2] RUN",
        "",
        lambda _out, _hub: {"secrets": {"a": never}},
    ),
    "export of a directory": Phase(
        MAKE_BIG, "exporting to client directory", "way", lambda out, _hub: {"outputs": Local(out / "dir")}
    ),
    "export of a tar": Phase(
        MAKE_BIG, "exporting to client tarball", "way", lambda out, _hub: {"outputs": Tar(out / "tar")}
    ),
    "export of an image": Phase(
        MAKE_BIG, "exporting to oci image format", "way", lambda out, _hub: {"outputs": OCI(out / "oci")}
    ),
    "export of a layout": Phase(
        MAKE_BIG,
        "exporting to oci image format",
        "way",
        lambda out, _hub: {"outputs": OCI(out / "layout", tar=False)},
    ),
    "push": Phase(
        MAKE_BIG,
        "exporting to image",
        "slow hub",
        lambda _out, hub: {"outputs": Image(f"{hub}/faults/pushed:1", push=True, insecure=True)},
    ),
    "import of a cache": Phase(
        "FROM busybox\nRUN true\n",
        "importing cache manifest",
        "silent hub",
        lambda _out, hub: {"cache_from": RegistryCache(f"{hub}/faults/cache:1", insecure=True)},
    ),
    "export of a cache": Phase(
        MAKE_BIG,
        "exporting cache to registry",
        "slow hub",
        lambda _out, hub: {"cache_to": RegistryCache(f"{hub}/faults/cache:2", insecure=True)},
    ),
}


@asynccontextmanager
async def in_phase(
    name: str, client: AsyncClient, way: Proxy, hub: Proxy, folder: Path
) -> AsyncIterator[Build]:
    """A build that is at a phase."""
    phase = PHASES[name]
    context = project(folder / "context", phase.dockerfile.format(hub=host(hub)), big=phase.big)
    out = folder / "out"
    out.mkdir()
    if phase.slow == "silent hub":
        hub.fall_silent()
    elif phase.slow == "slow hub":
        hub.slow_down(SLOW)
    async with client.stream(context, **phase.options(out, host(hub))) as build:
        if phase.slow == "way":
            way.slow_down(SLOW)
        with anyio.fail_after(30):
            async for event in build:
                if isinstance(event, VertexStarted) and event.name.startswith(phase.vertex):
                    break
            else:
                await build.result()
                pytest.fail(f"no vertex began with {phase.vertex!r}")
        await anyio.sleep(0.3)
        assert not build.done
        yield build


def send_signal(daemon: Buildkitd, how: signal.Signals) -> None:
    """To the daemon itself, not to the guard around it."""
    sent = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"buildkitd") and str(daemon._running().config).encode() in words:
                    os.kill(int(entry.name), how)
                    sent += 1
    assert sent == 1


async def started(build: Build, name: str) -> None:
    """Wait until a vertex is at work."""
    async for event in build:
        if isinstance(event, VertexStarted) and event.name.startswith(name):
            return
    await build.result()
