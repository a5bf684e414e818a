"""Damaged database files: said so, never a traceback; whole ones are compared with buildctl on a real daemon's."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybuildkit.cli.debug.boltfile import BoltFile, Bucket, _fnv1a
from pybuildkit.cli.debug.dump_metadata import _quoted
from pybuildkit.errors import ConfigError

SIZE = 4096


def page(number: int, flags: int, count: int, body: bytes) -> bytes:
    return (struct.pack("<QHHI", number, flags, count, 0) + body).ljust(SIZE, b"\0")


def meta(number: int, root: int, transaction: int, *, checksum: int | None = None) -> bytes:
    body = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, SIZE, 0, root, 0, 2, 9, transaction)
    return page(number, 4, 0, body + struct.pack("<Q", _fnv1a(body) if checksum is None else checksum))


def leaf(*items: tuple[int, bytes, bytes]) -> bytes:
    """The elements of a leaf page, then what they point to."""
    heads, data = b"", b""
    for number, (flags, key, value) in enumerate(items):
        position = 16 * (len(items) - number) + len(data)
        heads += struct.pack("<IIII", flags, position, len(key), len(value))
        data += key + value
    return heads + data


def inline(*items: tuple[int, bytes, bytes]) -> bytes:
    body = leaf(*items)
    return struct.pack("<QQ", 0, 0) + struct.pack("<QHHI", 0, 2, len(items), 0) + body


def database() -> bytes:
    branch = struct.pack("<IIQ", 32, 1, 5) + struct.pack("<IIQ", 17, 1, 6) + b"ak"
    return b"".join(
        (
            meta(0, 3, 1, checksum=7),
            meta(1, 4, 2),
            page(2, 0x10, 0, b""),
            page(3, 2, 0, b""),
            page(4, 1, 2, branch),
            page(5, 2, 1, leaf((0, b"a", b"1"))),
            page(6, 2, 1, leaf((1, b"k", inline((0, b"x", b"y"), (0, b"z", b""))))),
        )
    )


@contextmanager
def opened(path: Path, data: bytes) -> Iterator[BoltFile]:
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        file = BoltFile(path, descriptor)
        try:
            yield file
        finally:
            file.close()
    finally:
        os.close(descriptor)


def everything(file: BoltFile, bucket: Bucket) -> dict[bytes, object]:
    return {
        key: everything(file, value) if isinstance(value, Bucket) else value
        for key, value in file.items(bucket)
    }


def test_branches_leaves_and_buckets_inside_values(tmp_path: Path) -> None:
    """The meta with the right sum counts, though the other comes first."""
    with opened(tmp_path / "db", database()) as file:
        assert everything(file, file.root) == {b"a": b"1", b"k": {b"x": b"y", b"z": b""}}


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 9000, meta(0, 0, 1, checksum=1)], ids=len)
def test_what_is_no_database(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigError, match="no bbolt database"), opened(tmp_path / "db", data):
        pass


@given(place=st.integers(2 * SIZE, 7 * SIZE - 1), value=st.integers(0, 255))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_byte(tmp_path: Path, place: int, value: int) -> None:
    """It may change what is read, but nothing else happens than the error that says so."""
    data = bytearray(database())
    data[place] = value
    try:
        with opened(tmp_path / "db", bytes(data)) as file:
            everything(file, file.root)
    except ConfigError as exc:
        assert "damaged" in str(exc)  # noqa: PT017 - or no error at all


def test_loops_end(tmp_path: Path) -> None:
    looped = page(4, 1, 2, struct.pack("<IIQ", 32, 1, 4) + struct.pack("<IIQ", 17, 1, 4) + b"ak")
    nested = page(4, 2, 1, leaf((1, b"k", struct.pack("<QQ", 4, 0))))
    for bad in (looped, nested):
        data = database()[: 4 * SIZE] + bad + database()[5 * SIZE :]
        with opened(tmp_path / "db", data) as file, pytest.raises(ConfigError, match="damaged"):
            everything(file, file.root)


def test_names_are_quoted_as_go_does() -> None:
    assert _quoted(b'ab"c\\') == '"ab\\"c\\\\"'
    assert _quoted("é".encode()) == '"é"'
    assert _quoted(b"\xff\x00a") == '"\\xff\\x00a"'
    assert _quoted(b"") == '""'
