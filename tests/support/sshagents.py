"""SSH agents for tests: OpenSSH's own, and keys of every kind."""

from __future__ import annotations

import os
import shutil
import socket as socketlib
import subprocess
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

import pytest

from pybuildkit._agentwire import Splitter, framed
from pybuildkit.agent import Keyring

KINDS = {
    "ed25519": (),
    "ecdsa": ("-b", "256"),
    "ecdsa-384": ("-b", "384"),
    "ecdsa-521": ("-b", "521"),
    "rsa": ("-b", "2048"),
}


def make_key(folder: Path, kind: str = "ed25519", passphrase: str = "", *options: str) -> Path:
    """A key by ``ssh-keygen``; its public half is beside it."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("there is no ssh-keygen")
    path = folder / f"{kind}{'-locked' if passphrase else ''}{''.join(options)}"
    words = ["ssh-keygen", "-q", "-t", kind.partition("-")[0], *KINDS[kind]]
    words += ["-N", passphrase, "-C", "made for a test", *options, "-f", str(path)]
    subprocess.run(words, check=True)
    return path


@contextmanager
def running_agent(folder: Path, keys: Iterable[Path] = ()) -> Generator[Path]:
    """OpenSSH's agent with some keys; gives its socket."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("there is no ssh-agent")
    socket = folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not listens(socket):
            assert process.poll() is None
            time.sleep(0.005)
        for key in keys:
            ssh_add(socket, "-q", str(key))
        yield socket
    finally:
        process.terminate()
        process.wait(20)


def listens(path: Path) -> bool:
    """Whether somebody takes connections: a socket is there a moment before."""
    with socketlib.socket(socketlib.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def ssh_add(socket: Path, *words: str, code: int = 0) -> str:
    """Run ``ssh-add`` against an agent; what it prints."""
    done = subprocess.run(
        ["ssh-add", *words],
        env={"SSH_AUTH_SOCK": str(socket), "PATH": os.environ["PATH"], "HOME": "/nowhere"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@contextmanager
def served(keyring: Keyring, folder: Path) -> Generator[Path]:
    """A keyring on a socket, for OpenSSH's tools."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            splitter = Splitter()
            while data := self.request.recv(65536):
                for request in splitter.feed(data):
                    self.request.sendall(framed(keyring.answer(request)))

    with ThreadingUnixStreamServer(str(folder / "keyring"), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield folder / "keyring"
        finally:
            server.shutdown()
            thread.join()
