"""Huffman coded strings, against the ``hpack`` package.

It agrees with us on every input that is known: it is no laxer than the RFC.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit.http2 import huffman

END = 256
encode = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode
TEXT = b"/moby.filesync.v1.FileSync/DiffCopy src/**/*.py !e3b0c44298fc1c14 X-Docker-Expose-Session-Uuid\t~{}"
WHOLE = encode(TEXT * 8)
"""Ends with a byte and without padding, so that it may be repeated."""


def ours(raw: bytes) -> bytes | None:
    try:
        return huffman.decode(raw)
    except huffman.HuffmanError:
        return None


def theirs(raw: bytes) -> bytes | None:
    try:
        return decode_huffman(raw)
    except HPACKDecodingError:
        return None


def bits(text: str) -> bytes:
    """Bytes of zeros and ones, with whatever stands between them left out."""
    text = text.replace(" ", "")
    assert len(text) % 8 == 0
    return int(text, 2).to_bytes(len(text) // 8, "big")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not seen a string yet."""
    monkeypatch.setattr(huffman, "_start", None)


def test_every_code_is_that_of_the_rfc() -> None:
    expected = {
        1 << REQUEST_CODES_LENGTH[symbol] | REQUEST_CODES[symbol]: bytes((symbol,)) for symbol in range(END)
    }
    assert huffman._symbols() == expected
    assert 1 << REQUEST_CODES_LENGTH[END] | REQUEST_CODES[END] == huffman._END


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", b"www.example.com"),
        ("a8eb10649cbf", b"no-cache"),
        ("25a849e95ba97d7f", b"custom-key"),
        ("25a849e95bb8e8b4bf", b"custom-value"),
        ("6402", b"302"),
        ("aec3771a4b", b"private"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        ("9d29ad171863c78f0b97c8e9ae82ae43d3", b"https://www.example.com"),
        ("640eff", b"307"),
        ("9bd9ab", b"gzip"),
        ("", b""),
    ],
)
def test_examples_of_the_rfc(raw: str, text: bytes) -> None:
    """Appendix C.4 and C.6."""
    assert huffman.decode(bytes.fromhex(raw)) == text
    assert encode(text) == bytes.fromhex(raw)


@given(st.binary(max_size=200) | st.text(st.characters(max_codepoint=126), max_size=200).map(str.encode))
def test_decodes_what_hpack_encodes(value: bytes) -> None:
    assert huffman.decode(encode(value)) == value


@given(st.binary(max_size=40), st.binary(max_size=6) | st.integers(0, 5).map(lambda size: b"\xff" * size))
def test_any_bytes_are_taken_or_refused_as_by_hpack(value: bytes, tail: bytes) -> None:
    for raw in (value, tail, encode(value) + tail):
        assert ours(raw) == theirs(raw)


@pytest.mark.usefixtures("fresh")
def test_every_step_is_right() -> None:
    """From each state that bytes lead to, with each byte: the whole machine, and its size."""
    ways = {1: b""}
    todo = deque(ways)
    huffman.decode(b"")
    start = huffman._start
    assert start is not None
    states = start._states
    while todo:
        state = states[todo.popleft()]
        for byte in range(256):
            raw = ways[state._bits] + bytes((byte,))
            assert ours(raw) == theirs(raw), raw
            if byte in state and state[byte][1]._bits not in ways:
                ways[state[byte][1]._bits] = raw
                todo.append(state[byte][1]._bits)
        assert len(ways) <= 256
    assert len(states) == len(ways) == 256
    assert sum(map(len, states.values())) == 65_281


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("00011 111", b"a"),
        ("11111000", b"&"),
        ("11111110 00 111111", b"!"),
        ("00011 110", None),
        ("00011 000", None),
        ("00011 111 11111111", None),  # padding of more than seven bits
        ("11111111", None),
        ("1" * 24, None),
        ("1" * 30 + "11", None),  # the end, and padding
        ("00011" + "1" * 30 + "11111", None),
        ("1" * 30 + "00011 11111", None),  # the end within the string
        ("1" * 30 + "00011 00011 00011" + "111", None),
    ],
)
def test_padding_and_the_end(raw: str, text: bytes | None) -> None:
    """Section 5.2: padding is at most seven bits, those of the end's code; that code itself is an error."""
    assert ours(bits(raw)) == text
    assert theirs(bits(raw)) == text


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff"])
def test_an_error_does_not_spoil_what_follows(raw: bytes) -> None:
    for _ in range(2):
        with pytest.raises(huffman.HuffmanError, match="the code for the end"):
            huffman.decode(raw)
    with pytest.raises(huffman.HuffmanError, match="within a code"):
        huffman.decode(b"\xff")
    assert huffman.decode(encode(TEXT)) == TEXT


@pytest.mark.usefixtures("fresh")
def test_work_is_done_once() -> None:
    """A longer string of the same kind finds every step there, and nothing of a string's size is kept."""
    assert huffman.decode(WHOLE) == TEXT * 8
    start = huffman._start
    assert start is not None
    known = sum(map(len, start._states.values()))
    assert known <= len(WHOLE)
    assert huffman.decode(WHOLE * 100) == TEXT * 800
    assert sum(map(len, start._states.values())) == known


def test_time_is_linear() -> None:
    """Sixteen times the size: quadratic would be 256 times the time."""
    small, large = WHOLE * 50, WHOLE * 800
    assert min(seconds(large) for _ in range(3)) < 80 * min(seconds(small) for _ in range(5))


def seconds(raw: bytes) -> float:
    started = time.process_time()
    huffman.decode(raw)
    return time.process_time() - started


@pytest.mark.usefixtures("fresh")
def test_several_threads_may_begin_at_once() -> None:
    together = threading.Barrier(4)
    found: list[bytes] = []

    def read() -> None:
        together.wait()
        found.extend(huffman.decode(encode(TEXT[start:])) for start in range(40))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(TEXT[start:] for start in range(40) for _ in range(4))
