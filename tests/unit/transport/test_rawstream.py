"""The frames of a docker engine's raw stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit.errors import ProtocolError
from pybuildkit.transport.rawstream import STDERR, STDOUT, RawStream

FRAMES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=300)), max_size=8)


def frame(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@given(FRAMES, st.lists(st.integers(1, 50), min_size=1))
def test_cut_anywhere(frames: list[tuple[int, bytes]], sizes: list[int]) -> None:
    wire = b"".join(frame(kind, data) for kind, data in frames)
    stream, got, pos, turn = RawStream(), {STDOUT: b"", STDERR: b""}, 0, 0
    while pos < len(wire):
        size = sizes[turn % len(sizes)]
        for kind, piece in stream.feed(wire[pos : pos + size]):
            assert piece
            got[kind] += piece
        pos, turn = pos + size, turn + 1
    for kind in got:
        assert got[kind] == b"".join(data for seen, data in frames if seen == kind)


def test_a_piece_does_not_wait_for_its_frame() -> None:
    stream = RawStream()
    assert list(stream.feed(frame(STDOUT, b"x" * 100)[:18])) == [(STDOUT, b"x" * 10)]


@pytest.mark.parametrize("header", [b"HTTP/1.1", b"\x03\0\0\0\0\0\0\1", b"\x01\0\1\0\0\0\0\1"])
def test_something_else_is_told(header: bytes) -> None:
    with pytest.raises(ProtocolError, match="where a frame begins"):
        list(RawStream().feed(header))
