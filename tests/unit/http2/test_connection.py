"""The engine against the ``h2`` package, which raises when we break a rule."""

from __future__ import annotations

import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybuildkit.errors import ProtocolError
from pybuildkit.http2 import frames
from pybuildkit.http2.connection import Connection
from pybuildkit.http2.frames import ErrorCode
from pybuildkit.http2.headers import encode
from tests.support.h2peer import Recorder, Server, collect, h2_client, h2_server, shake_hands

REQUEST = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/s/m"),
    (b":authority", b"localhost"),
    (b"te", b"trailers"),
]
OK = encode([(b":status", b"200")])
END = encode([(b"grpc-status", b"0")])


def connected(server: Server) -> h2.connection.H2Connection:
    peer = h2_client()
    shake_hands(server.connection, peer)
    return peer


def opened(server: Server, *, end: bool = False) -> h2.connection.H2Connection:
    peer = connected(server)
    peer.send_headers(1, REQUEST, end_stream=end)
    shake_hands(server.connection, peer)
    return peer


def data_of(events: list[h2.events.Event], number: int = 1) -> bytes:
    return b"".join(
        event.data
        for event in events
        if isinstance(event, h2.events.DataReceived) and event.stream_id == number
    )


def read_all(connection: Connection, peer: h2.connection.H2Connection) -> list[h2.events.Event]:
    """As ``shake_hands``, with a peer that gives back windows."""
    seen: list[h2.events.Event] = []
    while events := shake_hands(connection, peer):
        seen += events
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    return seen


# The server's role.


def test_a_request_and_its_answer() -> None:
    server = Server()
    peer = opened(server)
    peer.send_data(1, b"question", end_stream=True)
    shake_hands(server.connection, peer)
    call = server.calls[1]
    assert (call.fields, bytes(call.received), call.ended) == (REQUEST, b"question", True)
    server.stream().send_headers(OK)
    server.stream().send(b"ans", b"wer")
    server.stream().end(END)
    events = shake_hands(server.connection, peer)
    assert data_of(events) == b"answer"
    kinds = [type(event).__name__ for event in events]
    assert kinds[-3:] == ["DataReceived", "TrailersReceived", "StreamEnded"]
    assert call.closes == [None]
    assert not server.connection.streams


def test_an_answer_before_the_request_ends_tells_the_client_to_stop() -> None:
    server = Server()
    peer = opened(server)
    server.stream().end(OK + END)
    events = shake_hands(server.connection, peer)
    reset = next(event for event in events if isinstance(event, h2.events.StreamReset))
    assert reset.error_code == ErrorCode.NO_ERROR
    assert server.calls[1].closes == [None]


def test_settings_announce_the_limits() -> None:
    """S7 and the header list of T7."""
    peer = connected(Server())
    remote = peer.remote_settings
    assert remote.max_concurrent_streams == 250
    assert remote.initial_window_size == 1 << 20
    assert remote.max_header_list_size == 16 << 20
    assert peer.outbound_flow_control_window == frames.MAX_WINDOW


def test_data_waits_for_both_windows() -> None:
    server = Server()
    peer = opened(server)
    server.stream().send_headers(OK)
    server.stream().send(b"x" * 200_000)
    assert len(data_of(shake_hands(server.connection, peer))) == 65_535
    assert server.stream().queued == 200_000 - 65_535
    peer.increment_flow_control_window(100_000, 1)
    assert data_of(shake_hands(server.connection, peer)) == b""
    peer.increment_flow_control_window(50_000)
    assert len(data_of(shake_hands(server.connection, peer))) == 50_000
    peer.increment_flow_control_window(1_000_000)
    assert len(data_of(shake_hands(server.connection, peer))) == 50_000
    assert server.stream().queued == 34_465


def test_a_window_may_become_negative() -> None:
    """A smaller INITIAL_WINDOW_SIZE after data went out."""
    server = Server()
    peer = opened(server)
    server.stream().send_headers(OK)
    server.stream().send(b"x" * 60_000)
    shake_hands(server.connection, peer)
    peer.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10_000})
    shake_hands(server.connection, peer)
    assert server.stream().send_window == 10_000 - 60_000
    server.stream().send(b"y" * 20_000)
    assert data_of(shake_hands(server.connection, peer)) == b""
    peer.increment_flow_control_window(50_001, 1)
    assert data_of(shake_hands(server.connection, peer)) == b"y"
    peer.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10_999})
    assert data_of(shake_hands(server.connection, peer)) == b"y" * 999


def test_pings_and_settings_are_answered_when_data_is_stuck() -> None:
    server = Server()
    peer = opened(server)
    server.stream().send_headers(OK)
    server.stream().send(b"x" * 200_000)
    shake_hands(server.connection, peer)
    peer.ping(b"12345678")
    events = shake_hands(server.connection, peer)
    assert any(isinstance(event, h2.events.PingAckReceived) for event in events)


def test_streams_take_turns() -> None:
    """A short answer does not wait behind a long one."""
    server = Server()
    peer = connected(server)
    peer.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24})
    peer.increment_flow_control_window(1 << 24)
    for number in (1, 3):
        peer.send_headers(number, REQUEST)
    shake_hands(server.connection, peer)
    server.stream(1).send(bytes(1 << 20))
    server.stream(3).send(b"short")
    server.stream(3).end(END)
    buffers, _ = server.connection.output(1 << 17)
    assert b"short" in b"".join(buffers)


def test_what_is_received_is_allowed_again_when_it_is_consumed() -> None:
    server = Server(lazy=True)
    peer = opened(server)
    for _ in range(64):
        peer.send_data(1, b"x" * 16_384)
    shake_hands(server.connection, peer)
    assert peer.local_flow_control_window(1) == 0
    server.stream().consumed(500_000)
    shake_hands(server.connection, peer)
    assert peer.local_flow_control_window(1) == 0, "small credits are saved up"
    server.stream().consumed(100_000)
    shake_hands(server.connection, peer)
    assert peer.local_flow_control_window(1) == 600_000


def test_one_stalled_stream_does_not_stop_another() -> None:
    server = Server(lazy=True)
    peer = opened(server)
    for _ in range(64):
        peer.send_data(1, b"x" * 16_384)
    peer.send_headers(3, REQUEST)
    for _ in range(64):
        peer.send_data(3, b"y" * 16_384)
    shake_hands(server.connection, peer)
    assert len(server.calls[3].received) == 1 << 20


def test_a_wider_window() -> None:
    server = Server()
    peer = opened(server)
    server.stream().widen(16 << 20)
    shake_hands(server.connection, peer)
    assert peer.local_flow_control_window(1) == 16 << 20


def test_padding_counts_and_is_given_back() -> None:
    server = Server()
    peer = opened(server)
    for _ in range(2100):
        peer.send_data(1, b"abc", pad_length=255)
        shake_hands(server.connection, peer)
    assert bytes(server.calls[1].received) == b"abc" * 2100


def test_headers_of_megabytes() -> None:
    """T7: patterns of a build context."""
    server = Server()
    peer = connected(server)
    patterns = [(b"include-patterns", b"x%d" % number + b"y" * 100) for number in range(20_000)]
    peer.send_headers(1, REQUEST + patterns)
    shake_hands(server.connection, peer)
    assert server.calls[1].fields == REQUEST + patterns


def test_250_streams_at_once_and_no_more() -> None:
    """S7, S18."""
    server = Server()
    peer = connected(server)
    for number in range(1, 501, 2):
        peer.send_headers(number, REQUEST)
        shake_hands(server.connection, peer)
    assert len(server.connection.streams) == 250
    block = encode(REQUEST)
    server.connection.receive(frames.header_frames(501, block, end_stream=False, max_frame=16_384))
    assert collect(server.connection) == frames.rst_stream(501, ErrorCode.REFUSED_STREAM)
    server.stream(1).end(OK + END)
    shake_hands(server.connection, peer)
    server.connection.receive(frames.header_frames(503, block, end_stream=False, max_frame=16_384))
    assert 503 in server.calls


def test_a_reset_ends_one_stream() -> None:
    server = Server()
    peer = opened(server)
    peer.send_headers(3, REQUEST)
    server.stream().send_headers(OK)
    server.stream().send(b"x" * 100_000)
    shake_hands(server.connection, peer)
    peer.reset_stream(1, ErrorCode.CANCEL)
    shake_hands(server.connection, peer)
    assert server.calls[1].closes == [ErrorCode.CANCEL]
    assert server.calls[3].closes == []
    server.stream().send(b"dropped")
    assert collect(server.connection) == b""


def test_our_reset_and_what_is_still_on_its_way() -> None:
    server = Server()
    peer = opened(server)
    server.stream().reset(ErrorCode.CANCEL)
    peer.send_data(1, b"late")
    peer.increment_flow_control_window(10, 1)
    peer.reset_stream(1)
    shake_hands(server.connection, peer)
    assert bytes(server.calls[1].received) == b""
    assert server.calls[1].closes == []


def test_goaway_both_ways() -> None:
    server = Server()
    peer = opened(server)
    server.connection.shut()
    server.connection.shut()
    events = shake_hands(server.connection, peer)
    (goaway,) = [event for event in events if isinstance(event, h2.events.ConnectionTerminated)]
    assert (goaway.error_code, goaway.last_stream_id) == (ErrorCode.NO_ERROR, 1)
    other = Server()
    peer = opened(other)
    peer.close_connection(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")
    shake_hands(other.connection, peer)
    assert (other.connection.goaway, other.connection.goaway_text) == (
        ErrorCode.ENHANCE_YOUR_CALM,
        b"too_many_pings",
    )
    other.stream().end(OK + END)
    assert collect(other.connection), "streams that are open go on"


def test_abandoning_tells_every_handler_once() -> None:
    server = Server()
    peer = opened(server)
    peer.send_headers(3, REQUEST)
    shake_hands(server.connection, peer)
    server.connection.abandon(None)
    server.connection.abandon(None)
    assert [call.closes for call in server.calls.values()] == [[None], [None]]


def test_draining_is_told_once_it_crosses_the_mark() -> None:
    server = Server()
    peer = opened(server)
    stream = server.stream()
    stream.low_water = 50_000
    stream.send(b"x" * 100_000)
    stream.send_headers(OK)
    shake_hands(server.connection, peer)
    assert (stream.queued, server.calls[1].drains) == (34_465, 1)
    stream.send(b"x" * 10_000)
    peer.increment_flow_control_window(20_000, 1)
    peer.increment_flow_control_window(20_000)
    shake_hands(server.connection, peer)
    assert server.calls[1].drains == 1


def test_a_size_update_comes_before_any_field() -> None:
    """A client with a smaller header table must be told that we use none; also when the first answer is lost."""
    server = Server()
    peer = h2_client()
    peer.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: 0})
    shake_hands(server.connection, peer)
    for number in (1, 3):
        peer.send_headers(number, REQUEST)
    shake_hands(server.connection, peer)
    server.stream(1).send_headers(OK)
    server.stream(1).reset(ErrorCode.CANCEL)
    server.stream(3).send_headers(OK)
    server.stream(3).end(END)
    events = shake_hands(server.connection, peer)
    assert any(isinstance(event, h2.events.TrailersReceived) for event in events)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 60_000), max_size=4), min_size=1, max_size=4),
    st.lists(st.integers(1, 40_000), max_size=20),
    st.sampled_from([0, 16_384]),
)
def test_any_mix_of_streams_arrives(sizes: list[list[int]], cuts: list[int], unit: int) -> None:
    """Both directions, in pieces of any size, with and without a carrier's unit."""
    server = Server()
    peer = connected(server)
    numbers = range(1, 2 * len(sizes), 2)
    for number in numbers:
        peer.send_headers(number, REQUEST)
    shake_hands(server.connection, peer)
    for number, parts in zip(numbers, sizes, strict=True):
        stream = server.stream(number)
        stream.send_headers(OK)
        for part in parts:
            stream.send(bytes([number]) * part)
        stream.end(END)
    seen: list[h2.events.Event] = []
    for _ in range(100):
        data = collect(server.connection, unit=unit)
        pieces = []
        for cut in cuts:
            pieces.append(data[:cut])
            data = data[cut:]
        for piece in (*pieces, data):
            events = peer.receive_data(piece)
            seen += events
            for event in events:
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        server.connection.receive(peer.data_to_send())
        if not server.connection.wants_output:
            break
    for number, parts in zip(numbers, sizes, strict=True):
        assert data_of(seen, number) == bytes([number]) * sum(parts)
    assert not server.connection.streams


def test_frames_end_where_the_carriers_end() -> None:
    """Session-speed, point 3: one outer frame holds one inner frame."""
    server = Server()
    peer = connected(server)
    peer.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24})
    peer.increment_flow_control_window(1 << 24)
    peer.send_headers(1, REQUEST)
    shake_hands(server.connection, peer)
    server.stream().send(bytes(1 << 20))
    buffers, size = server.connection.output(16_384 * 4 - 10, unit=16_384, used=10)
    heads = [bytes(buffer) for buffer in buffers if len(buffer) == frames.HEAD_SIZE]
    assert [int.from_bytes(head[:3]) for head in heads][:3] == [16_365, 16_375, 16_375]
    assert size == 16_384 * 4 - 10


# The client's role.


def client_pair() -> tuple[Connection, h2.connection.H2Connection]:
    connection, peer = Connection(), h2_server()
    shake_hands(connection, peer)
    return connection, peer


def test_a_call_of_ours() -> None:
    connection, peer = client_pair()
    call = Recorder()
    call.stream = connection.open(encode(REQUEST), call)
    call.stream.send(b"question")
    call.stream.end()
    events = shake_hands(connection, peer)
    assert data_of(events) == b"question"
    assert any(isinstance(event, h2.events.StreamEnded) for event in events)
    peer.send_headers(1, [(b":status", b"200")])
    peer.send_data(1, b"answer")
    peer.send_headers(1, [(b"grpc-status", b"0")], end_stream=True)
    shake_hands(connection, peer)
    assert bytes(call.received) == b"answer"
    assert call.fields == [(b":status", b"200"), (b"grpc-status", b"0")]
    assert call.closes == [None]


def test_calls_that_the_server_will_not_look_at() -> None:
    connection, peer = client_pair()
    calls = [Recorder() for _ in range(3)]
    for call in calls:
        call.stream = connection.open(encode(REQUEST), call)
    shake_hands(connection, peer)
    connection.receive(frames.goaway(3, ErrorCode.NO_ERROR, b"bye"))
    assert [call.closes for call in calls] == [[], [], [ErrorCode.REFUSED_STREAM]]
    with pytest.raises(ProtocolError, match="takes no more calls"):
        connection.open(encode(REQUEST), Recorder())


def test_a_bulk_answer_flows() -> None:
    connection, peer = client_pair()
    call = Recorder()
    call.stream = connection.open(encode(REQUEST), call)
    shake_hands(connection, peer)
    peer.send_headers(1, [(b":status", b"200")])
    left = 5_000_000
    while left:
        size = min(left, 16_384, peer.local_flow_control_window(1))
        assert size
        peer.send_data(1, bytes(size))
        left -= size
        shake_hands(connection, peer)
    assert len(call.received) == 5_000_000
