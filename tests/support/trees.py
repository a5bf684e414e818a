"""Trees as a sender describes them, and a sender that plays them to a ``Receiver`` without a network."""

from __future__ import annotations

import os
import stat as st
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pybuildkit._wire import field_bytes
from pybuildkit.fsutil import stat as wire
from pybuildkit.fsutil.receive import Receiver

__all__ = [
    "MTIME",
    "Entry",
    "device",
    "directory",
    "encode",
    "fifo",
    "file",
    "link",
    "play",
    "snapshot",
    "symlink",
]

MTIME = 1_600_000_000_123_456_789

Entry = tuple[wire.Stat, bytes]


def file(path: str, content: bytes = b"", mode: int = 0o644, **fields: Any) -> Entry:
    return wire.Stat(path, mode, size=len(content), mtime_ns=MTIME)._replace(**fields), content


def directory(path: str, mode: int = 0o755, **fields: Any) -> Entry:
    return wire.Stat(path, wire.MODE_DIR | mode, mtime_ns=MTIME)._replace(**fields), b""


def symlink(path: str, target: str, **fields: Any) -> Entry:
    return wire.Stat(path, wire.MODE_SYMLINK | 0o777, mtime_ns=MTIME, linkname=target)._replace(**fields), b""


def link(path: str, target: str, size: int = 0) -> Entry:
    return wire.Stat(path, 0o644, size=size, mtime_ns=MTIME, linkname=target), b""


def fifo(path: str, mode: int = 0o640) -> Entry:
    return wire.Stat(path, wire.MODE_FIFO | mode, mtime_ns=MTIME), b""


def device(path: str, major: int = 1, minor: int = 3, *, block: bool = False) -> Entry:
    kind = wire.MODE_DEVICE | (0 if block else wire.MODE_CHAR_DEVICE)
    return wire.Stat(path, kind | 0o666, mtime_ns=MTIME, devmajor=major, devminor=minor), b""


def encode(stat: wire.Stat) -> bytes:
    """The STAT packet, also of a name that is not UTF-8: the daemon's codec lets it pass."""
    path, target = (text.encode("utf-8", "surrogateescape") for text in (stat.path, stat.linkname))
    rest = wire.encode_stat(stat._replace(path="", linkname="")).removeprefix(b"\x0a\x00")
    return field_bytes(2, field_bytes(1, path) + rest + (field_bytes(7, target) if target else b""))


def play(receiver: Receiver, entries: Iterable[Entry], *, chunk: int = 32 << 10) -> None:
    """Send a tree as Go does: stats, then what is asked for, then FIN for FIN (S47 to S51)."""
    contents: list[bytes] = []
    asked: list[int] = []
    finished = False

    def tell(message: bytes) -> None:
        nonlocal finished
        for answer in receiver.feed(message):
            packet = wire.decode_packet(answer)
            if packet.type == wire.PacketType.REQ:
                asked.append(packet.id)
            elif packet.type == wire.PacketType.FIN:
                finished = True

    for stat, content in entries:
        contents.append(content)
        tell(encode(stat))
        if receiver.error is not None:
            return
    tell(wire.LIST_END)
    while asked and receiver.error is None:
        file_id = asked.pop(0)
        content = contents[file_id]
        for start in range(0, len(content), chunk):
            piece = content[start : start + chunk]
            tell(wire.encode_data(file_id, len(piece)) + piece)
        tell(wire.encode_data(file_id, 0))
    if finished:
        tell(wire.FIN)


def snapshot(root: Path, *, times: bool = True, xattrs: bool = False) -> dict[str, tuple[object, ...]]:
    """All that there is below a directory: kind, mode, content or target, link group, time, attributes."""
    found: dict[str, tuple[object, ...]] = {}
    groups: dict[tuple[int, int], str] = {}
    for base, dirs, files in os.walk(os.fsencode(root)):
        dirs.sort()
        for name in sorted(dirs + files):
            path = os.path.join(base, name)
            info = os.lstat(path)
            key = os.fsdecode(os.path.relpath(path, os.fsencode(root)))
            value: object = None
            if st.S_ISLNK(info.st_mode):
                value = os.readlink(path)
            elif st.S_ISREG(info.st_mode):
                with open(path, "rb") as handle:
                    value = handle.read()
            elif st.S_ISCHR(info.st_mode) or st.S_ISBLK(info.st_mode):
                value = info.st_rdev
            group = None
            if info.st_nlink > 1 and not st.S_ISDIR(info.st_mode):
                group = groups.setdefault((info.st_dev, info.st_ino), key)
            found[key] = (
                st.S_IFMT(info.st_mode),
                st.S_IMODE(info.st_mode),
                value,
                group,
                info.st_mtime_ns if times else None,
                _xattrs(path) if xattrs else None,
            )
    return found


def _xattrs(path: bytes) -> Mapping[str, bytes]:
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
    }
