"""The frames in which a docker engine sends a process' standard output and error on one connection."""

from __future__ import annotations

from collections.abc import Iterator

from pybuildkit.errors import ProtocolError

__all__ = ["STDERR", "STDOUT", "RawStream"]

STDOUT, STDERR = 1, 2
_HEADER = 8


class RawStream:
    """Takes bytes as they come, cut anywhere; gives each frame's bytes as soon as they are there.

    A frame is a byte that names the stream, three zeros, a big-endian length, and as many bytes.
    """

    def __init__(self) -> None:
        self._header = bytearray()
        self._kind = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Pieces of streams, each with its stream's number; a long frame comes in several pieces.

        Raises:
            ProtocolError: these are no frames.
        """
        view, pos = memoryview(data), 0
        while pos < len(data):
            if not self._left:
                taken = view[pos : pos + _HEADER - len(self._header)]
                self._header += taken
                pos += len(taken)
                if len(self._header) == _HEADER:
                    self._start_frame()
                continue
            piece = view[pos : pos + self._left]
            pos += len(piece)
            self._left -= len(piece)
            yield self._kind, bytes(piece)

    def _start_frame(self) -> None:
        self._kind, zeros = self._header[0], self._header[1:4]
        if self._kind not in (0, STDOUT, STDERR) or any(zeros):
            raise ProtocolError(f"the docker engine sent {bytes(self._header)!r} where a frame begins")
        self._left = int.from_bytes(self._header[4:], "big")
        self._header.clear()
