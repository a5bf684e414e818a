"""Servers that caches live on: S3's protocol by moto, Azure's by Azurite; each a process on loopback, in memory."""

from __future__ import annotations

import base64
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

__all__ = ["S3", "Azurite", "serve_azurite", "serve_s3"]

_START_SECONDS = 30.0


@contextmanager
def _listening(argv: Sequence[str], said: str, environ: Mapping[str, str] | None = None) -> Generator[str]:
    """A server's process while the context lasts; the address that it says it listens on."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(environ or {})}
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while True:
                text = os.pread(log.fileno(), 1 << 16, 0).decode(errors="replace")
                if found := re.search(said, text):
                    break
                assert process.poll() is None, f"{argv[0]} ended:\n{text}"
                assert time.monotonic() < deadline, f"{argv[0]} does not listen:\n{text}"
                time.sleep(0.02)
            yield found[1]
        finally:
            process.terminate()
            process.wait(20)


@dataclass(frozen=True)
class S3:
    """A server with one bucket.

    Attributes:
        url: its endpoint.
        bucket: the bucket's name.
        key_id: who may use it. The server lets everybody in; what it is told can be looked for.
        secret: likewise.
    """

    url: str
    bucket: str
    key_id: str
    secret: str

    def objects(self) -> list[str]:
        """The keys of all objects."""
        return re.findall(r"<Key>([^<]+)</Key>", self.request("GET", f"/{self.bucket}?list-type=2"))

    def request(self, method: str, path: str) -> str:
        """One request; the server asks for no signature."""
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        assert response.status == 200, text
        return text


@contextmanager
def serve_s3() -> Generator[S3]:
    """S3's protocol, with an empty bucket."""
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with _listening(argv, r"Running on (http://\S+)") as url:
        server = S3(url, "caches", f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30))
        server.request("PUT", f"/{server.bucket}")
        yield server


@dataclass(frozen=True)
class Azurite:
    """A server with one account.

    Attributes:
        url: the account's.
        account: its name.
        key: its key.
    """

    url: str
    account: str
    key: str


@contextmanager
def serve_azurite(binary: Path) -> Generator[Azurite]:
    """Azure's blob storage."""
    account, key = "pybuildkit", base64.b64encode(secrets.token_bytes(48)).decode()
    argv = [
        str(binary),
        "--blobHost=127.0.0.1",
        "--blobPort=0",
        "--inMemoryPersistence",
        "--disableTelemetry",
    ]
    argv += ["--skipApiVersionCheck", "--silent"]
    environ = {"AZURITE_ACCOUNTS": f"{account}:{key}"}
    with _listening(argv, r"successfully listens on (http://\S+)", environ) as url:
        yield Azurite(f"{url}/{account}", account, key)
