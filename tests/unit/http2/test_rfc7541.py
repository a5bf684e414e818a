"""The examples of RFC 7541, appendix C."""

from __future__ import annotations

import pytest

from pybuildkit.http2.headers import Field, HeaderDecoder

SMALL_TABLE = bytes.fromhex("3fe101")
"""The responses are with a table of 256 bytes."""

REQUESTS: list[tuple[list[Field], int]] = [
    (
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")],
        57,
    ),
    (
        [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/"),
            (b":authority", b"www.example.com"),
            (b"cache-control", b"no-cache"),
        ],
        110,
    ),
    (
        [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":path", b"/index.html"),
            (b":authority", b"www.example.com"),
            (b"custom-key", b"custom-value"),
        ],
        164,
    ),
]
"""The fields of each request, and the dynamic table's size behind it."""

LOCATION: Field = (b"location", b"https://www.example.com")
COOKIE = b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
RESPONSES: list[tuple[list[Field], int]] = [
    (
        [
            (b":status", b"302"),
            (b"cache-control", b"private"),
            (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
            LOCATION,
        ],
        222,
    ),
    (
        [
            (b":status", b"307"),
            (b"cache-control", b"private"),
            (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
            LOCATION,
        ],
        222,
    ),
    (
        [
            (b":status", b"200"),
            (b"cache-control", b"private"),
            (b"date", b"Mon, 21 Oct 2013 20:13:22 GMT"),
            LOCATION,
            (b"content-encoding", b"gzip"),
            (b"set-cookie", COOKIE),
        ],
        215,
    ),
]


@pytest.mark.parametrize(
    ("block", "field", "size"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header"), 55),
        ("040c2f73616d706c652f70617468", (b":path", b"/sample/path"), 0),
        ("100870617373776f726406736563726574", (b"password", b"secret"), 0),
        ("82", (b":method", b"GET"), 0),
    ],
    ids=["C.2.1", "C.2.2", "C.2.3", "C.2.4"],
)
def test_single_fields(block: str, field: Field, size: int) -> None:
    decoder = HeaderDecoder(1 << 16)
    assert decoder.decode(bytes.fromhex(block))[0] == [field]
    assert decoder._table_bytes == size


@pytest.mark.parametrize(
    ("before", "blocks", "expected"),
    [
        (
            b"",
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            REQUESTS,
        ),
        (
            b"",
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
            REQUESTS,
        ),
        (
            SMALL_TABLE,
            [
                (
                    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
                    "6e1768747470733a2f2f7777772e6578616d706c652e636f6d"
                ),
                "4803333037c1c0bf",
                (
                    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f"
                    "3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076"
                    "657273696f6e3d31"
                ),
            ],
            RESPONSES,
        ),
        (
            SMALL_TABLE,
            [
                (
                    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f"
                    "0b97c8e9ae82ae43d3"
                ),
                "4883640effc1c0bf",
                (
                    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df"
                    "dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
                ),
            ],
            RESPONSES,
        ),
    ],
    ids=["C.3-requests", "C.4-requests-huffman", "C.5-responses", "C.6-responses-huffman"],
)
def test_blocks_of_one_connection(
    before: bytes, blocks: list[str], expected: list[tuple[list[Field], int]]
) -> None:
    """With what the table holds behind each of them."""
    decoder = HeaderDecoder(1 << 16)
    for block, (fields, size) in zip(blocks, expected, strict=True):
        assert decoder.decode(before + bytes.fromhex(block))[0] == fields
        assert decoder._table_bytes == size
        before = b""
