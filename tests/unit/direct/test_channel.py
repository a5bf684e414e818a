"""The channel that the calling thread moves on, with peers that answer, refuse, are silent or are none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pybuildkit.direct.channel import DirectChannel, open_channel
from pybuildkit.errors import ConnectError, ConnectionLost, ConnectTimeout, NotFound, RPCError
from pybuildkit.http2 import frames
from pybuildkit.http2.headers import encode
from pybuildkit.http2.messages import prefix
from pybuildkit.http2.metadata import OK_TRAILERS, RESPONSE_HEADERS, status_fields
from pybuildkit.session.socketway import SocketWay
from pybuildkit.transport.endpoint import Endpoint
from tests.support.h2peer import Server, collect


def endpoint(path: Path) -> Endpoint:
    return Endpoint(f"unix://{path}", f"unix:{path}", socket_path=str(path))


class Peer(threading.Thread):
    """A daemon of few words: answers by the method's name, in a thread of its own, for one connection."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="peer")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.server = Server()
        self.answered: set[int] = set()

    def run(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        with sock:
            sock.sendall(collect(self.server.connection))
            while data := sock.recv(65536):
                self.server.connection.receive(data)
                if self.answer():
                    return
                sock.sendall(collect(self.server.connection))

    def answer(self) -> bool:
        for number, call in list(self.server.calls.items()):
            if not call.ended or number in self.answered or call.stream is None:
                continue
            self.answered.add(number)
            path = dict(call.fields)[b":path"].decode()
            if path.endswith("/HangUp"):
                return True
            if path.endswith("/Silence"):
                continue
            call.stream.send_headers(RESPONSE_HEADERS)
            if path.endswith("/Refuse"):
                call.stream.end(encode(status_fields(5, "no such thing")))
                continue
            count = 2 if path.endswith("/Twice") else 0 if path.endswith("/Nothing") else 1
            for _ in range(count):
                call.stream.send(prefix(len(call.received) - 5), bytes(call.received[5:]))
            call.stream.end(OK_TRAILERS)
        return False

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join()


@contextmanager
def connected(tmp_path: Path) -> Iterator[tuple[DirectChannel, Peer]]:
    peer = Peer(tmp_path / "s")
    peer.start()
    try:
        channel = open_channel(endpoint(tmp_path / "s"), timeout=10)
        try:
            yield channel, peer
        finally:
            channel.close()
    finally:
        peer.stop()


def test_question_and_answer(tmp_path: Path) -> None:
    with connected(tmp_path) as (channel, _):
        assert channel.address == f"unix://{tmp_path}/s"
        for message in (b"", b"hello", bytes(100_000)):
            assert channel.unary("/a.B/Echo", message) == message


def test_refusals(tmp_path: Path) -> None:
    with connected(tmp_path) as (channel, _):
        with pytest.raises(NotFound, match="no such thing"):
            channel.unary("/a.B/Refuse")
        with pytest.raises(RPCError, match="0 answers"):
            channel.unary("/a.B/Nothing")
        with pytest.raises(RPCError, match="2 answers"):
            channel.unary("/a.B/Twice")
        assert channel.unary("/a.B/Echo", b"still") == b"still"


def test_a_deadline_ends_the_call_in_the_daemon(tmp_path: Path) -> None:
    with connected(tmp_path) as (channel, peer):
        with pytest.raises(RPCError) as caught:
            channel.unary("/a.B/Silence", timeout=0.2)
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert channel.unary("/a.B/Echo", b"x") == b"x"
        calls = peer.server.calls
        number = next(n for n, c in calls.items() if dict(c.fields)[b":path"] == b"/a.B/Silence")
        assert dict(calls[number].fields)[b"grpc-timeout"] == b"200m"
        assert calls[number].closes == [8]


def test_a_daemon_that_hangs_up(tmp_path: Path) -> None:
    """R18: the call under way ends, and so does every later one."""
    with connected(tmp_path) as (channel, _):
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                channel.unary("/a.B/HangUp")


def test_a_connection_is_of_use_until_the_daemon_is_gone(tmp_path: Path) -> None:
    with connected(tmp_path) as (channel, peer):
        before = channel.usable
        channel.unary("/a.B/Echo", b"x")
        between = channel.usable
        with pytest.raises(ConnectionLost):
            channel.unary("/a.B/HangUp")
        peer.join()
        assert (before, between, channel.usable) == (True, True, False)


def test_a_connection_is_of_no_use_when_the_daemon_says_so(tmp_path: Path) -> None:
    """R18: GOAWAY is noticed before the next call is begun."""
    near, far = socket.socketpair()
    channel = DirectChannel(SocketWay(near, stream_window=1 << 20), endpoint(tmp_path / "s"))
    far.settimeout(10)
    with far:
        server = Server()
        before = channel.usable  # which says hello
        server.connection.receive(far.recv(65536))
        far.sendall(collect(server.connection))
        greeted = channel.usable
        far.sendall(frames.goaway(0, 0, b"that is all"))
        assert (before, greeted, channel.usable) == (True, True, False)
        channel.close()


def test_a_daemon_that_is_known_is_not_asked_again(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        channel = open_channel(endpoint(tmp_path / "s"), timeout=5, greet=False)  # nobody answers
        assert channel.usable
        channel.close()
    with pytest.raises(ConnectError, match="is buildkitd running there"):
        open_channel(endpoint(tmp_path / "none"), timeout=5, greet=False)


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match="is buildkitd running there") as caught:
        open_channel(endpoint(tmp_path / "none"), timeout=5)
    assert caught.value.address == f"unix://{tmp_path}/none"


def test_waiting_for_whoever_comes_late(tmp_path: Path) -> None:
    peer: list[Peer] = []

    def late() -> None:
        time.sleep(0.3)
        peer.append(Peer(tmp_path / "s"))
        peer[0].start()

    starter = threading.Thread(target=late)
    starter.start()
    channel = open_channel(endpoint(tmp_path / "s"), timeout=10, wait=True)
    assert channel.unary("/a.B/Echo", b"x") == b"x"
    channel.close()
    starter.join()
    peer[0].stop()


def test_waiting_ends(tmp_path: Path) -> None:
    with pytest.raises(ConnectTimeout, match=r"within 0\.3 s: .*is buildkitd running there"):
        open_channel(endpoint(tmp_path / "none"), timeout=0.3, wait=True)


def test_a_silent_peer_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(ConnectTimeout, match=r"within 0\.3 s"):
            open_channel(endpoint(tmp_path / "s"), timeout=0.3)
