"""Header blocks, against the ``hpack`` package."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import hpack
import pytest
from hpack.table import HeaderTable
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit.http2.headers import NO_TABLE, HeaderBlockError, HeaderDecoder, encode
from pybuildkit.http2.statictable import STATIC_TABLE

NAMES = st.sampled_from(
    [b":path", b":status", b"content-type", b"dir-name", b"x-y", b"grpc-status", b"k" * 200]
)
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=300)), max_size=12)


@given(st.lists(FIELDS, max_size=8), st.booleans(), st.lists(st.integers(0, 4096), max_size=3))
def test_decodes_what_hpack_encodes(
    blocks: list[list[tuple[bytes, bytes]]], huffman: bool, sizes: list[int]
) -> None:
    """With a dynamic table that fills, shrinks and is emptied."""
    encoder, decoder = hpack.Encoder(), HeaderDecoder(1 << 20)
    for number, fields in enumerate(blocks):
        if number < len(sizes):
            encoder.header_table_size = sizes[number]
        decoded, size = decoder.decode(encoder.encode(fields, huffman=huffman))
        assert decoded == fields
        assert size == sum(len(name) + len(value) + 32 for name, value in fields)


@given(st.lists(FIELDS, max_size=4), st.booleans())
def test_hpack_decodes_what_we_encode(blocks: list[list[tuple[bytes, bytes]]], never_index: bool) -> None:
    decoder = hpack.Decoder()
    for number, fields in enumerate(blocks):
        block = encode(fields, never_index=never_index)
        decoded = decoder.decode((NO_TABLE if not number else b"") + block, raw=True)
        assert [(name, value) for name, value in decoded] == fields


def test_a_block_depends_on_its_fields_only() -> None:
    fields = [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"x", b"y")]
    assert encode(fields) == encode(fields)
    assert encode([(b":status", b"200")]) == b"\x88"


def test_secret_fields_are_marked() -> None:
    (field,) = hpack.Decoder().decode(encode([(b"authorization", b"x")], never_index=True))
    assert isinstance(field, hpack.NeverIndexedHeaderTuple)


def test_a_list_that_is_too_long_keeps_the_table_right() -> None:
    """The next block may point at a field of the one that was dropped."""
    encoder, decoder = hpack.Encoder(), HeaderDecoder(1000)
    assert decoder.decode(encoder.encode([(b"a", b"1"), (b"b", b"x" * 2000)])) == (None, 34 + 2033)
    assert decoder.decode(encoder.encode([(b"a", b"1")]))[0] == [(b"a", b"1")]


def test_indexed_fields_are_not_multiplied_beyond_the_limit() -> None:
    """A few bytes that stand for a great many: none of it is kept (HPACK bomb)."""
    decoder = HeaderDecoder(1 << 20)
    first = b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000  # one field of 4 KB into the table
    fields, size = decoder.decode(first + b"\xbe" * 100_000)
    assert fields is None
    assert size > 400_000_000


def test_the_static_table_is_right() -> None:
    assert list(STATIC_TABLE) == list(HeaderTable.STATIC_TABLE)
    assert len(STATIC_TABLE) == 61


def test_importing_is_cheap() -> None:
    """``hpack`` serves these tests only; no table is built before there is a string that needs it."""
    code = (
        "import sys, pybuildkit.http2.headers as headers; assert headers.huffman._start is None;"
        "print(sorted({'hpack', 'logging', 'traceback', 'string', 'urllib.parse'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_time_is_linear() -> None:
    """T7: patterns come as headers, thousands of them. Quadratic would take minutes."""
    fields = [(b"include-patterns", b"src/some/directory/number-%d/**" % n) for n in range(60_000)]
    started = time.process_time()
    decoded, _ = HeaderDecoder(16 << 20).decode(hpack.Encoder().encode(fields, huffman=False))
    assert decoded == fields
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # an integer without end
        b"\xbe",  # an empty table's first
        b"\x40",  # cut off
        b"\x40\x05ab",  # cut off in a name
        b"\x00\x01a\x05ab",  # cut off in a value
        b"\x00\x01a\x81\x00",  # Huffman that ends nowhere
        b"\x00\x01a\x84\xff\xff\xff\xff",  # Huffman with the code for the end
        b"\x88\x20",  # a table size behind a field
        b"\x3f\xe2\x1f",  # a table of 4097 bytes
        b"\x7f",
        b"\xff",
    ],
)
def test_rubbish_is_an_error(block: bytes) -> None:
    with pytest.raises(HeaderBlockError):
        HeaderDecoder(1 << 20).decode(block)


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(block: bytes) -> None:
    with contextlib.suppress(HeaderBlockError):
        HeaderDecoder(1 << 16).decode(block)
