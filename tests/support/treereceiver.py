"""A receiver in memory, for the sender's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pybuildkit.fsutil.send import Buffer, Sender
from pybuildkit.fsutil.stat import (
    FIN,
    Packet,
    PacketType,
    Stat,
    decode_packet,
    encode_request,
    requestable,
)


def packets(buffers: Iterable[Buffer]) -> list[Packet]:
    """Cut what a sender gave into packets; nothing may be left over."""
    data = b"".join(buffers)
    found, pos = [], 0
    while pos < len(data):
        assert data[pos] == 0
        size = int.from_bytes(data[pos + 1 : pos + 5], "big")
        assert pos + 5 + size <= len(data)
        found.append(decode_packet(data[pos + 5 : pos + 5 + size]))
        pos += 5 + size
    return found


class TreeReceiver:
    """Asks for what it wants of a tree and keeps it.

    Attributes:
        stats: all entries, in order.
        files: content by path, of what was asked for and came whole.
        listed: the list's end came.
        finished: FIN was answered.
        error: the text of an ERR.
        most: the most bytes that one pull gave.
    """

    def __init__(self, sender: Sender, want: Callable[[Stat], bool] = lambda stat: True) -> None:
        self.sender = sender
        self.want = want
        self.stats: list[Stat] = []
        self.files: dict[str, bytes] = {}
        self.open: dict[int, bytearray] = {}
        self.listed = self.finished = False
        self.error = ""
        self.most = 0

    def run(self, limit: int = 256 << 10) -> TreeReceiver:
        """Until nothing more can come."""
        while not self.finished and not self.error:
            self.step(limit)
        return self

    def step(self, limit: int = 256 << 10) -> None:
        assert self.sender.pending, "the sender is stuck"
        buffers = self.sender.pull(limit)
        self.most = max(self.most, sum(map(len, buffers)))
        for packet in packets(buffers):
            self.take(packet)
        if self.listed and not self.open and not self.finished:
            self.sender.feed(FIN)

    def take(self, packet: Packet) -> None:
        if packet.type == PacketType.STAT and packet.stat is None:
            self.listed = True
        elif packet.type == PacketType.STAT and packet.stat is not None:
            stat = packet.stat
            if requestable(stat.mode) and not stat.linkname and self.want(stat):
                self.open[len(self.stats)] = bytearray()
                self.sender.feed(encode_request(len(self.stats)))
            self.stats.append(stat)
        elif packet.type == PacketType.DATA and packet.data:
            self.open[packet.id] += packet.data
        elif packet.type == PacketType.DATA:
            self.files[self.stats[packet.id].path] = bytes(self.open.pop(packet.id))
        elif packet.type == PacketType.FIN:
            self.finished = True
        else:
            self.error = packet.text

    @property
    def paths(self) -> list[str]:
        return [stat.path for stat in self.stats]
