"""The messages of a tree transfer: ``Stat``, ``Packet``, and Go's file modes in them (S44 to S46).

Written by hand, because a transfer makes tens of thousands of them: an encoder that knows its one
message is several times faster than one that knows all.
"""

from __future__ import annotations

import stat as st
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from pybuildkit._wire import ProtoDecodeError, field_bytes, fields, read_varint, signed, varint
from pybuildkit.errors import ProtocolError, TransferError

__all__ = [
    "FIN",
    "LIST_END",
    "MODE_CHAR_DEVICE",
    "MODE_DEVICE",
    "MODE_DIR",
    "MODE_FIFO",
    "MODE_IRREGULAR",
    "MODE_PERM",
    "MODE_SETGID",
    "MODE_SETUID",
    "MODE_SOCKET",
    "MODE_STICKY",
    "MODE_SYMLINK",
    "MODE_TYPE",
    "Packet",
    "PacketType",
    "Stat",
    "decode_packet",
    "decode_stat",
    "encode_data",
    "encode_error",
    "encode_file",
    "encode_request",
    "encode_stat",
    "encode_stat_packet",
    "go_mode",
    "requestable",
    "stat_head",
    "unix_mode",
]

# Go's io/fs.FileMode bits, which are what travels (T18, S46).
MODE_DIR = 1 << 31
MODE_SYMLINK = 1 << 27
MODE_DEVICE = 1 << 26
MODE_FIFO = 1 << 25
MODE_SOCKET = 1 << 24
MODE_SETUID = 1 << 23
MODE_SETGID = 1 << 22
MODE_CHAR_DEVICE = 1 << 21
MODE_STICKY = 1 << 20
MODE_IRREGULAR = 1 << 19
MODE_PERM = 0o777
MODE_TYPE = (
    MODE_DIR | MODE_SYMLINK | MODE_DEVICE | MODE_FIFO | MODE_SOCKET | MODE_CHAR_DEVICE | MODE_IRREGULAR
)

_TYPES = (
    (st.S_IFREG, 0),
    (st.S_IFDIR, MODE_DIR),
    (st.S_IFLNK, MODE_SYMLINK),
    (st.S_IFIFO, MODE_FIFO),
    (st.S_IFSOCK, MODE_SOCKET),
    (st.S_IFBLK, MODE_DEVICE),
    (st.S_IFCHR, MODE_DEVICE | MODE_CHAR_DEVICE),
)
_SPECIAL = ((st.S_ISUID, MODE_SETUID), (st.S_ISGID, MODE_SETGID), (st.S_ISVTX, MODE_STICKY))
_TO_GO = dict(_TYPES)
_TO_UNIX = {go: unix for unix, go in _TYPES}

_NO_XATTRS: Mapping[str, bytes] = MappingProxyType({})


class PacketType(IntEnum):
    """What a packet is (S44)."""

    STAT = 0
    REQ = 1
    DATA = 2
    FIN = 3
    ERR = 4


class Stat(NamedTuple):
    """One entry of a tree, as it travels (S45).

    A named tuple, not a frozen dataclass: one is made for every file, and this costs a quarter.

    Attributes:
        path: relative to the root, ``/`` between the parts.
        mode: Go's mode bits (see the ``MODE_`` constants), not ``st_mode``.
        uid: the owner's number.
        gid: the group's number.
        size: in bytes; 0 for a directory.
        mtime_ns: nanoseconds since 1970.
        linkname: a symlink's target as it is written; for any other entry the path of an earlier entry
            that this one is a hard link to.
        devmajor: a device's major number.
        devminor: a device's minor number.
        xattrs: extended attributes.
    """

    path: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    linkname: str = ""
    devmajor: int = 0
    devminor: int = 0
    xattrs: Mapping[str, bytes] = _NO_XATTRS

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.mode & MODE_DIR != 0

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode & MODE_SYMLINK != 0

    @property
    def is_regular(self) -> bool:
        """Whether it is a file with content, a hard link to one included."""
        return self.mode & MODE_TYPE == 0


class Packet(NamedTuple):
    """One message of a transfer (S44).

    Attributes:
        type: what it is.
        stat: a STAT's entry; None ends the list (S48).
        id: which file a REQ or DATA speaks of: the index of its STAT (S47).
        data: a DATA's bytes, empty at the file's end (S50); an ERR's text. May be a view into the message.
    """

    type: int
    stat: Stat | None = None
    id: int = 0
    data: bytes | memoryview = b""

    @property
    def text(self) -> str:
        """An ERR's text."""
        return bytes(self.data).decode(errors="replace")


def go_mode(st_mode: int) -> int:
    """Turn a ``st_mode`` into Go's mode bits (S46)."""
    mode = st_mode & MODE_PERM | _TO_GO.get(st.S_IFMT(st_mode), MODE_IRREGULAR)
    for unix, go in _SPECIAL:
        if st_mode & unix:
            mode |= go
    return mode


def unix_mode(mode: int) -> int:
    """Turn Go's mode bits into a ``st_mode``; no file type when Unix has none such (S46)."""
    result = mode & MODE_PERM | _TO_UNIX.get(mode & MODE_TYPE, 0)
    for unix, go in _SPECIAL:
        if mode & go:
            result |= unix
    return result


def requestable(mode: int) -> bool:
    """Whether a receiver may ask for the content of an entry with that mode (S46)."""
    return mode & MODE_TYPE == 0


# --- encoding ---

LIST_END = b""
"""The STAT packet without a stat: no more entries (S48)."""

FIN = b"\x08\x03"
"""The FIN packet (S51)."""

_PATH_HEAD = (b"", *[b"\x0a" + varint(n) for n in range(1, 256)])
_STAT_HEAD = tuple([b"\x12" + varint(n) for n in range(512)])
_mode_fields: dict[int, bytes] = {}


def _mode_field(mode: int) -> bytes:
    """The encoded mode; a tree has few different ones, so they are kept."""
    if len(_mode_fields) > 4096:
        _mode_fields.clear()
    field = _mode_fields[mode] = b"\x10" + varint(mode) if mode else b""
    return field


_times: dict[int, bytes] = {}
"""Ends of encoded times, by quarters of a second: a tree's files often have few different ones."""


def _mtime_field(ns: int) -> bytes:
    quarter = ns >> 28
    end = _times.get(quarter)
    if end is None:
        if not 1 << 28 <= quarter < 1 << 35:  # before 1972, or so late that Go has no name for it
            return b"\x30" + varint(ns) if ns else b""
        if len(_times) > 4096:
            _times.clear()
        end = _times[quarter] = varint(quarter)
    return (
        bytes((0x30, ns & 127 | 128, ns >> 7 & 127 | 128, ns >> 14 & 127 | 128, ns >> 21 & 127 | 128)) + end
    )


def encode_stat(stat: Stat) -> bytes:
    """Encode a ``fsutil.types.Stat`` (S45).

    Raises:
        TransferError: a name in it is not UTF-8, which the protocol's strings must be.
    """
    path, mode, uid, gid, size, mtime_ns, linkname, devmajor, devminor, xattrs = stat
    try:
        name = path.encode()
        out = (
            (_PATH_HEAD[len(name)] if len(name) < 256 else b"\x0a" + varint(len(name)))
            + name
            + (_mode_fields.get(mode) or _mode_field(mode))
        )
        if uid or gid:
            out += (b"\x18" + varint(uid) if uid else b"") + (b"\x20" + varint(gid) if gid else b"")
        if size:
            out += b"\x28" + varint(size)
        out += _mtime_field(mtime_ns)
        if linkname:
            out += field_bytes(7, linkname.encode())
        if devmajor or devminor:
            out += (b"\x40" + varint(devmajor) if devmajor else b"") + (
                b"\x48" + varint(devminor) if devminor else b""
            )
        for key in sorted(xattrs) if xattrs else ():
            out += field_bytes(10, field_bytes(1, key.encode()) + field_bytes(2, xattrs[key]))
    except UnicodeEncodeError as exc:
        raise _not_utf8(stat, exc) from exc
    return out


def _not_utf8(stat: Stat, exc: UnicodeEncodeError) -> TransferError:
    shown = ascii(stat.path)
    if exc.object == stat.path:
        what = f"the name {shown} is not UTF-8"
    elif exc.object == stat.linkname:
        what = f"the target {stat.linkname!a} of the link {shown} is not UTF-8"
    else:
        what = f"an extended attribute's name {exc.object!a} of {shown} is not UTF-8"
    return TransferError(
        f"{what}, and the daemon's protocol knows no other; rename it, or exclude it in .dockerignore",
        path=stat.path,
    )


def encode_file(path: str, mode: int, size: int, mtime_ns: int) -> bytes:
    """Encode the ``Stat`` of a regular file that has nothing else to tell; see ``encode_stat``.

    Raises:
        UnicodeEncodeError: its path is not UTF-8.
    """
    name = path.encode()
    return b"".join(
        (
            _PATH_HEAD[len(name)] if len(name) < 256 else b"\x0a" + varint(len(name)),
            name,
            _mode_fields.get(mode) or _mode_field(mode),
            b"\x28" + varint(size) if size else b"",
            _mtime_field(mtime_ns),
        )
    )


def encode_stat_packet(stat: Stat) -> bytes:
    """Encode the STAT packet of an entry.

    Raises:
        TransferError: a name in it is not UTF-8.
    """
    body = encode_stat(stat)
    return stat_head(len(body)) + body


def stat_head(size: int) -> bytes:
    """What stands before an encoded ``Stat`` of ``size`` bytes in its packet."""
    return _STAT_HEAD[size] if size < 512 else b"\x12" + varint(size)


def encode_request(file_id: int) -> bytes:
    """Encode the REQ packet that asks for a file (S49)."""
    return b"\x08\x01\x18" + varint(file_id) if file_id else b"\x08\x01"


def encode_data(file_id: int, size: int) -> bytes:
    """Encode all of a DATA packet but the ``size`` bytes that follow it; size 0 is the file's end (S50)."""
    head = b"\x08\x02\x18" + varint(file_id) if file_id else b"\x08\x02"
    return head + b"\x22" + varint(size) if size else head


def encode_error(text: str) -> bytes:
    """Encode the ERR packet that ends a transfer (S52)."""
    return b"\x08\x04" + field_bytes(4, text.encode(errors="replace"))


# --- decoding ---


def decode_packet(message: bytes) -> Packet:
    """Decode a message.

    Raises:
        ProtocolError: the bytes are not a packet.
    """
    kind = file_id = pos = 0
    stat: Stat | None = None
    data: bytes | memoryview = b""
    end = len(message)
    try:
        while pos < end:
            tag, pos = read_varint(message, pos, end)
            if tag & 7 == 0:
                value, pos = read_varint(message, pos, end)
                if tag == 0x08:
                    kind = value
                elif tag == 0x18:
                    file_id = value & 0xFFFFFFFF
            elif tag & 7 == 2:
                size, pos = read_varint(message, pos, end)
                if pos + size > end:
                    raise ProtoDecodeError("a field is cut off")
                if tag == 0x12:
                    stat = decode_stat(message[pos : pos + size])
                elif tag == 0x22:
                    data = memoryview(message)[pos : pos + size]
                pos += size
            else:
                raise ProtoDecodeError(f"no field with tag {tag} is known")
    except ProtoDecodeError as exc:
        raise ProtocolError(f"the daemon sent a packet that can not be read: {exc}") from exc
    return Packet(kind, stat, file_id, data)


def decode_stat(data: bytes) -> Stat:
    """Decode a ``fsutil.types.Stat``. A name that is not UTF-8 comes as Python's own file names do.

    Raises:
        ProtocolError: the bytes are not a Stat.
    """
    numbers = [0] * 10
    path = linkname = ""
    xattrs: dict[str, bytes] | None = None
    try:
        for number, value in fields(data):
            if isinstance(value, int):
                if number < 10:
                    numbers[number] = value
            elif number == 1:
                path = value.decode(errors="surrogateescape")
            elif number == 7:
                linkname = value.decode(errors="surrogateescape")
            elif number == 10:
                xattrs = xattrs or {}
                key, content = _xattr(value)
                xattrs[key] = content
    except ProtoDecodeError as exc:
        raise ProtocolError(f"the daemon sent a stat that can not be read: {exc}") from exc
    return Stat(
        path,
        numbers[2] & 0xFFFFFFFF,
        numbers[3] & 0xFFFFFFFF,
        numbers[4] & 0xFFFFFFFF,
        signed(numbers[5]),
        signed(numbers[6]),
        linkname,
        signed(numbers[8]),
        signed(numbers[9]),
        _NO_XATTRS if xattrs is None else xattrs,
    )


def _xattr(entry: bytes) -> tuple[str, bytes]:
    """Decode an entry of the map; a missing key or value is empty."""
    key = content = b""
    for number, value in fields(entry):
        if isinstance(value, bytes):
            if number == 1:
                key = value
            elif number == 2:
                content = value
    return key.decode(errors="surrogateescape"), content
