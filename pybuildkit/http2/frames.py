"""Frames of RFC 9113: their types, flags and error codes, and the bytes of the ones we send."""

from __future__ import annotations

import struct
from enum import IntEnum

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "DEFAULT_WINDOW",
    "END_HEADERS",
    "END_STREAM",
    "FRAME_HEAD",
    "GOAWAY",
    "HEADERS",
    "HEAD_SIZE",
    "MAX_FRAME",
    "MAX_FRAME_LIMIT",
    "MAX_WINDOW",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PRIORITY_FLAG",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "ErrorCode",
    "Setting",
    "error_name",
    "goaway",
    "head",
    "header_frames",
    "ping",
    "rst_stream",
    "settings",
    "window_update",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20

HEAD_SIZE = 9
MAX_FRAME = 16_384
"""The largest payload that needs no permission, and all that grpc-go ever sends or takes."""
MAX_FRAME_LIMIT = (1 << 24) - 1
DEFAULT_WINDOW = 65_535
MAX_WINDOW = (1 << 31) - 1

FRAME_HEAD = struct.Struct(">HBBBL")
"""A frame's nine bytes: length (high 16 bits, low 8), type, flags, stream."""

_LONG = struct.Struct(">L")
_SETTING = struct.Struct(">HL")


class Setting(IntEnum):
    """Identifiers of SETTINGS parameters."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """Why a stream or a connection ended."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


_ERROR_NAMES = {int(code): code.name for code in ErrorCode}


def error_name(code: int) -> str:
    """An error code's name, or its number when it is none that is known."""
    return _ERROR_NAMES.get(code, str(code))


def head(size: int, kind: int, flags: int, stream: int) -> bytes:
    """The nine bytes before a payload of ``size`` bytes."""
    return FRAME_HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream)


def settings(values: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    body = b"".join(_SETTING.pack(key, value) for key, value in values.items())
    return head(len(body), SETTINGS, 0, 0) + body


def ping(payload: bytes, *, ack: bool) -> bytes:
    """A PING frame of eight opaque bytes, or the answer to one."""
    return head(8, PING, ACK if ack else 0, 0) + payload


def rst_stream(stream: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return head(4, RST_STREAM, 0, stream) + _LONG.pack(code)


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return head(4, WINDOW_UPDATE, 0, stream) + _LONG.pack(increment)


def goaway(last_stream: int, code: int, text: bytes = b"") -> bytes:
    """A GOAWAY frame; the text is for the peer's log."""
    return head(8 + len(text), GOAWAY, 0, 0) + _LONG.pack(last_stream) + _LONG.pack(code) + text


def header_frames(stream: int, block: bytes, *, end_stream: bool, max_frame: int) -> bytes:
    """HEADERS with as many CONTINUATIONs as the block needs; they must go out in one piece."""
    end = END_STREAM if end_stream else 0
    if len(block) <= max_frame:
        return head(len(block), HEADERS, END_HEADERS | end, stream) + block
    parts = [head(max_frame, HEADERS, end, stream), block[:max_frame]]
    for start in range(max_frame, len(block), max_frame):
        piece = block[start : start + max_frame]
        last = END_HEADERS if start + max_frame >= len(block) else 0
        parts += (head(len(piece), CONTINUATION, last, stream), piece)
    return b"".join(parts)
