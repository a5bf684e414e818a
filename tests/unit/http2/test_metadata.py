"""gRPC's headers and trailers."""

from __future__ import annotations

import base64
import urllib.parse

import pytest
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit.http2.metadata import (
    binary,
    from_base64,
    read_request,
    read_status,
    request_fields,
    status_fields,
    timeout_seconds,
)


def test_a_request_is_sorted_into_its_parts() -> None:
    request = read_request(
        [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/moby.filesync.v1.FileSync/DiffCopy"),
            (b":authority", b"localhost"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", b"grpc-go/1.81"),
            (b"te", b"trailers"),
            (b"grpc-timeout", b"14999m"),
            (b"grpc-accept-encoding", b"gzip"),
            (b"include-patterns", b"a"),
            (b"dir-name", b"context"),
            (b"include-patterns", b"b,c"),
            (b"odd", b"\xff"),
            (b"k-bin", b"AAE"),
        ]
    )
    assert request.method == "POST"
    assert request.path == "/moby.filesync.v1.FileSync/DiffCopy"
    assert request.content_type == "application/grpc"
    assert request.encoding == "identity"
    assert request.timeout == pytest.approx(14.999)
    assert request.metadata == {
        "user-agent": ["grpc-go/1.81"],
        "include-patterns": ["a", "b,c"],
        "dir-name": ["context"],
        "odd": ["\udcff"],
        "k-bin": ["AAE"],
    }


@given(st.lists(st.tuples(st.sampled_from(["a", "b-bin"]), st.text(max_size=20)), max_size=5))
def test_what_a_client_sends_a_server_reads(pairs: list[tuple[str, str]]) -> None:
    request = read_request(request_fields("/s/m", pairs))
    assert [(key, value) for key in ("a", "b-bin") for value in request.metadata.get(key, [])] == sorted(
        pairs, key=lambda pair: pair[0]
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("15S", 15), ("1500m", 1.5), ("7u", 7e-6), ("9n", 9e-9), ("0S", 0)],
)
def test_timeouts(text: str, seconds: float) -> None:
    assert timeout_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "5", "x5S", "123456789S", "-1S", "1.5S", "\u0661S"])
def test_timeouts_that_are_none(text: str) -> None:
    assert timeout_seconds(text) is None


@given(
    st.integers(0, 16),
    st.text(max_size=50),
    st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=20)), max_size=3),
)
def test_a_status_survives_its_trailers(code: int, message: str, details: list[tuple[str, bytes]]) -> None:
    fields = status_fields(code, message, details)
    assert read_status(fields) == (code, message, tuple(details))
    for _, value in fields:
        assert all(0x20 <= byte < 0x7F for byte in value)


def test_details_are_googles_status() -> None:
    fields = dict(status_fields(5, "né", [("type.googleapis.com/a.B", b"\x01\x02")]))
    assert fields[b"grpc-message"] == b"n%C3%A9"
    raw = fields[b"grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(raw + b"=" * (-len(raw) % 4)))
    assert (status.code, status.message) == (5, "né")
    assert [(d.type_url, d.value) for d in status.details] == [("type.googleapis.com/a.B", b"\x01\x02")]


def test_a_status_that_is_missing_or_broken_is_unknown() -> None:
    assert read_status([(b":status", b"502")]) == (2, "the answer ended without a status (HTTP 502)", ())
    assert read_status([(b"grpc-status", b"x"), (b"grpc-message", b"m")]) == (2, "m", ())
    assert read_status([(b"grpc-status", b"3"), (b"grpc-status-details-bin", b"!!!")]) == (3, "", ())


@given(
    st.lists(st.sampled_from([b"%", b"%4", b"%4a", b"%C3%a9", b"a", b"1", b"g", b" ", b"\xff"]), max_size=8)
)
def test_messages_are_unescaped_as_urls_are(parts: list[bytes]) -> None:
    """Broken escapes stay as they are."""
    message = b"".join(parts)
    expected = urllib.parse.unquote_to_bytes(message).decode("utf-8", "replace")
    assert read_status([(b"grpc-status", b"3"), (b"grpc-message", message)]) == (3, expected, ())


@given(st.binary(max_size=50))
def test_binary_values(value: bytes) -> None:
    assert from_base64(binary(value)) == value
    assert from_base64(base64.b64encode(value).decode()) == value
