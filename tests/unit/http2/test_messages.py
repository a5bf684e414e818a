"""Messages out of bytes that are cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit.http2.messages import MessageError, MessageReader, prefix


def framed(messages: list[bytes]) -> bytes:
    return b"".join(prefix(len(message)) + message for message in messages)


@given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(0, 500), max_size=12))
def test_cuts_do_not_matter(messages: list[bytes], cuts: list[int]) -> None:
    data = framed(messages)
    reader = MessageReader()
    found: list[bytes] = []
    start = 0
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        found += reader.feed(data[start:cut])
        start = cut
    assert found == messages
    assert reader.pending == 0


def test_bytes_of_an_unfinished_message_are_counted() -> None:
    reader = MessageReader()
    assert reader.feed(prefix(10) + b"abc") == []
    assert reader.pending == 8
    assert reader.feed(b"defghij") == [b"abcdefghij"]
    assert reader.pending == 0


def test_sixteen_mib_are_a_message_and_a_byte_more_is_not() -> None:
    """S8, X4: four times what Go's session takes."""
    reader = MessageReader()
    message = bytes(16 << 20)
    assert reader.feed(prefix(len(message)) + message) == [message]
    with pytest.raises(MessageError, match=r"received message larger than max \(16777217 vs. 16777216\)"):
        reader.feed(prefix((16 << 20) + 1))


def test_a_compressed_message_is_refused() -> None:
    with pytest.raises(MessageError) as caught:
        MessageReader().feed(b"\x01\x00\x00\x00\x01x")
    assert caught.value.compressed
