"""A proxy in front of a server, that can fall silent, cut connections, slow them down, or take one of several away."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Proxy", "proxy"]

_CHUNK = 64 << 10


class _Pair:
    """A connection of a client, and the one to the server."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near = near
        self.far = far

    def close(self, *, reset: bool = False) -> None:
        for sock in (self.near, self.far):
            if reset and sock.family != socket.AF_UNIX:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class Proxy:
    """A running one.

    Attributes:
        address: where it listens, as an address of buildkitd.
        passed: bytes that went to the server.
        returned: bytes that came from it.
    """

    def __init__(self, listener: socket.socket, target: str, address: str) -> None:
        self.address = address
        self.passed = 0
        self.returned = 0
        self._listener = listener
        self._target = target
        self._pairs: list[_Pair] = []
        self._lock = threading.Lock()
        self._silent = False
        self._bytes_per_second = 0.0
        self._closed = False
        self._threads: list[threading.Thread] = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._pairs)

    def fall_silent(self) -> None:
        """Nothing goes through any more, either way, and no connection ends."""
        self._silent = True

    def speak(self) -> None:
        """All goes through again."""
        self._silent = False

    def slow_down(self, bytes_per_second: float) -> None:
        """Each connection carries so much, each way."""
        self._bytes_per_second = bytes_per_second

    def cut(self, number: int | None = None) -> None:
        """Cut one connection, by the order in which they came, or all there are."""
        with self._lock:
            pairs = self._pairs if number is None else [self._pairs[number]]
            for pair in list(pairs):
                pair.close(reset=True)
                self._pairs.remove(pair)

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = _connect(self._target)
            except OSError:
                near.close()
                continue
            pair = _Pair(near, far)
            with self._lock:
                self._pairs.append(pair)
            for source, sink, up in ((near, far, True), (far, near, False)):
                thread = threading.Thread(target=self._pump, args=(pair, source, sink, up))
                self._threads.append(thread)
                thread.start()

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket, up: bool) -> None:
        try:
            while True:
                ready, _, _ = select.select([source], [], [], 0.05)
                if self._silent or not ready:
                    if self._silent:
                        time.sleep(0.02)
                    if self._closed:
                        return
                    continue
                size = (
                    min(_CHUNK, int(self._bytes_per_second / 20) or 1) if self._bytes_per_second else _CHUNK
                )
                data = source.recv(size)
                if self._bytes_per_second:
                    time.sleep(len(data) / self._bytes_per_second)
                if not data:
                    break
                sink.sendall(data)
                if up:
                    self.passed += len(data)
                else:
                    self.returned += len(data)
            sink.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            pair.close()


def _connect(target: str) -> socket.socket:
    if target.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(target)
        except OSError:
            sock.close()
            raise
        return sock
    host, _, port = target.rpartition(":")
    return socket.create_connection((host, int(port)))


@contextmanager
def proxy(target: str | Path, *, listen: Path | socket.socket | None = None) -> Generator[Proxy]:
    """A proxy while the context lasts.

    Args:
        target: a unix socket's path, or ``host:port``.
        listen: a unix socket's path, or a bound TCP socket; one on loopback without.
    """
    if isinstance(listen, Path):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(listen))
        address = f"unix://{listen}"
    else:
        listener = listen or socket.create_server(("127.0.0.1", 0))
        host, port = listener.getsockname()
        address = f"tcp://{host}:{port}"
    listener.listen(64)
    running = Proxy(listener, str(target), address)
    try:
        yield running
    finally:
        running.close()
