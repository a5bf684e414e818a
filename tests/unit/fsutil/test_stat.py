"""The hand-written codec against the generated one, and the mode bits."""

from __future__ import annotations

import os
import stat as st

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pybuildkit._pb import stat_pb2, wire_pb2
from pybuildkit.errors import ProtocolError, TransferError
from pybuildkit.fsutil import stat as codec
from pybuildkit.fsutil.stat import Packet, Stat

UINT32 = some.integers(0, 2**32 - 1)
INT64 = some.integers(-(2**63), 2**63 - 1)
TEXT = some.text(max_size=40)

STATS = some.builds(
    Stat,
    path=some.one_of(TEXT, some.just("d/" * 2100)),
    mode=UINT32,
    uid=UINT32,
    gid=UINT32,
    size=INT64,
    mtime_ns=some.one_of(INT64, some.integers(1_500_000_000 * 10**9, 2_000_000_000 * 10**9)),
    linkname=TEXT,
    devmajor=INT64,
    devminor=INT64,
    xattrs=some.dictionaries(TEXT, some.binary(max_size=40), max_size=3),
)


def as_generated(stat: Stat) -> stat_pb2.Stat:
    return stat_pb2.Stat(
        path=stat.path,
        mode=stat.mode,
        uid=stat.uid,
        gid=stat.gid,
        size=stat.size,
        modTime=stat.mtime_ns,
        linkname=stat.linkname,
        devmajor=stat.devmajor,
        devminor=stat.devminor,
        xattrs=dict(stat.xattrs),
    )


@given(STATS)
def test_a_stat_is_what_the_generated_code_makes_and_reads(stat: Stat) -> None:
    """S45."""
    data = codec.encode_stat(stat)
    assert stat_pb2.Stat.FromString(data) == as_generated(stat)
    assert codec.decode_stat(data) == stat
    assert codec.decode_stat(as_generated(stat).SerializeToString()) == stat
    if len(stat.xattrs) < 2:  # the order of a map's entries is free
        assert data == as_generated(stat).SerializeToString()


@given(STATS, UINT32, some.binary(max_size=300))
def test_packets_are_what_the_generated_code_makes_and_reads(stat: Stat, number: int, data: bytes) -> None:
    """S44, S47 to S52."""
    for ours, theirs in (
        (codec.encode_stat_packet(stat), wire_pb2.Packet(stat=as_generated(stat))),
        (codec.encode_request(number), wire_pb2.Packet(type=wire_pb2.Packet.PACKET_REQ, ID=number)),
        (
            codec.encode_data(number, len(data)) + data,
            wire_pb2.Packet(type=wire_pb2.Packet.PACKET_DATA, ID=number, data=data),
        ),
        (codec.FIN, wire_pb2.Packet(type=wire_pb2.Packet.PACKET_FIN)),
        (codec.LIST_END, wire_pb2.Packet()),
        (
            codec.encode_error("no: é"),
            wire_pb2.Packet(type=wire_pb2.Packet.PACKET_ERR, data="no: é".encode()),
        ),
    ):
        assert wire_pb2.Packet.FromString(ours) == theirs
        decoded = codec.decode_packet(ours)
        assert decoded == codec.decode_packet(theirs.SerializeToString())
        assert (decoded.type, decoded.id, bytes(decoded.data)) == (theirs.type, theirs.ID, theirs.data)
        assert decoded.stat == (stat if theirs.HasField("stat") else None)


@given(some.binary(max_size=60))
def test_rubbish_is_a_protocol_error_or_a_packet(data: bytes) -> None:
    """Whatever the daemon sends, nothing but ProtocolError comes of it."""
    try:
        packet = codec.decode_packet(data)
    except ProtocolError:
        return
    assert isinstance(packet, Packet)


@pytest.mark.parametrize(
    "data", [b"\x12\x05abc", b"\x12\x02\x0a\x05", b"\x08", b"\x0d\x01\x01\x01\x01", b"\x80" * 12]
)
def test_a_broken_packet_is_named(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="can not be read"):
        codec.decode_packet(data)


def test_an_error_packets_text_survives_bytes_that_are_not_utf8() -> None:
    """S52."""
    assert codec.decode_packet(b"\x08\x04\x22\x02a\xff").text == "a�"
    assert codec.decode_packet(codec.encode_error("bad \udcff name")).text == "bad ? name"


@pytest.mark.parametrize(
    ("stat", "text"),
    [
        (Stat("d/\udcff"), r"the name 'd/\\udcff' is not UTF-8"),
        (Stat("link", linkname="\udcfe"), r"the target '\\udcfe' of the link 'link'"),
        (Stat("f", xattrs={"user.\udcfd": b""}), r"name 'user.\\udcfd' of 'f'"),
    ],
)
def test_names_that_are_not_utf8_are_refused_by_name(stat: Stat, text: str) -> None:
    with pytest.raises(TransferError, match=text) as caught:
        codec.encode_stat(stat)
    assert caught.value.path == stat.path


def test_a_received_name_that_is_not_utf8_becomes_the_same_file_name() -> None:
    assert os.fsencode(codec.decode_stat(b"\x0a\x02a\xff").path) == b"a\xff"


@pytest.mark.parametrize(
    ("st_mode", "mode"),
    [
        (st.S_IFREG | 0o644, 0o644),
        (st.S_IFDIR | 0o755, 1 << 31 | 0o755),
        (st.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
        (st.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (st.S_IFIFO | 0o600, 1 << 25 | 0o600),
        (st.S_IFSOCK | 0o600, 1 << 24 | 0o600),
        (st.S_IFBLK | 0o660, 1 << 26 | 0o660),
        (st.S_IFCHR | 0o666, 1 << 26 | 1 << 21 | 0o666),
        (st.S_IFREG | 0o6755, 1 << 23 | 1 << 22 | 0o755),
    ],
)
def test_modes_are_gos_and_come_back(st_mode: int, mode: int) -> None:
    """T18, S46."""
    assert codec.go_mode(st_mode) == mode
    assert codec.unix_mode(mode) == st_mode
    assert codec.requestable(mode) == st.S_ISREG(st_mode)
    stat = Stat("x", mode)
    assert (stat.is_dir, stat.is_symlink, stat.is_regular) == (
        st.S_ISDIR(st_mode),
        st.S_ISLNK(st_mode),
        st.S_ISREG(st_mode),
    )


def test_a_mode_no_unix_has_is_no_file_type() -> None:
    assert codec.go_mode(0o644) == codec.MODE_IRREGULAR | 0o644
    assert codec.unix_mode(codec.MODE_IRREGULAR | 0o644) == 0o644
