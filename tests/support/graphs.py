"""Solving graphs in tests, and reading back what they made."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from typing import Any

from pybuildkit import AsyncClient, llb
from pybuildkit.outputs import Tar


@dataclass(frozen=True)
class Entry:
    """A file of a result. ``data`` is a link's target for a link."""

    data: str
    mode: int
    owner: tuple[int, int]
    mtime: float
    kind: str


async def solve(buildkit: AsyncClient, state: llb.State, **options: Any) -> dict[str, Entry]:
    """Solve a graph and give its files by path."""
    held = io.BytesIO()
    await buildkit.solve(state, outputs=Tar(held), **options)
    held.seek(0)
    found = {}
    with tarfile.open(fileobj=held) as tar:
        for member in tar:
            kind = "link" if member.issym() else "dir" if member.isdir() else "file"
            content = tar.extractfile(member) if member.isfile() else None
            data = content.read().decode(errors="replace") if content is not None else member.linkname
            found[member.name.rstrip("/")] = Entry(
                data,
                member.mode,
                (member.uid, member.gid),
                float(member.pax_headers.get("mtime", member.mtime)),
                kind,
            )
    return found


async def texts(buildkit: AsyncClient, state: llb.State, **options: Any) -> dict[str, str]:
    """Solve a graph and give the content of its files."""
    files = await solve(buildkit, state, **options)
    return {path: entry.data for path, entry in files.items() if entry.kind == "file"}
