"""What a daemon keeps of its builds: all of it, for tests that look for what must not be there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from pybuildkit import AsyncClient
from pybuildkit.control.history import LISTEN, encode_listen_request

__all__ = ["on_disk", "recorded"]


async def recorded(client: AsyncClient, ref: str) -> bytes:
    """All that the history has of a build: the record as it comes over the wire, and every blob of it."""
    await client.history.trace(ref)  # the last thing that is recorded
    request = encode_listen_request(ref=ref, early_exit=True)
    async with client._connected().server_stream(LISTEN, request) as stream:
        parts = [message async for message in stream]
    assert parts
    record = await client.history.get(ref)
    blobs = [await client.content.read(attachment.descriptor.digest) for attachment in record.attachments]
    return b"\n".join([*parts, *blobs])


def on_disk(root: Path, credentials: Iterable[str]) -> list[str]:
    """Files below a daemon's folder that hold a credential."""
    patterns = [word for secret in credentials for word in ("-e", secret)]
    done = subprocess.run(["grep", "-rlF", *patterns, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()
