"""A stand-in for GitHub's cache service, both versions of its protocol; what they store is the same.

Version 1 is a REST service that takes pieces itself; version 2 is a Twirp service that hands out signed URLs of an Azure
block blob. Entries can not be overwritten, and are found by their key or the start of it, the newest first.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

__all__ = ["GitHubCache", "runtime_token", "serve_github_cache"]

_V1 = "/_apis/artifactcache/"
_V2 = "/twirp/github.actions.results.api.v1.CacheService/"


def runtime_token() -> str:
    """A token as a workflow has it: unsigned, but with scope, start and end. The last part tells it from others."""
    claims = {
        "ac": json.dumps([{"Scope": "refs/heads/main", "Permission": 3}]),
        "exp": time.time() + 3600,
        "nbf": time.time() - 3600,
    }
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signed = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join([*signed, secrets.token_urlsafe(24)])


@dataclass
class Entry:
    key: str
    version: str
    number: int
    content: bytearray = field(default_factory=bytearray)
    blocks: dict[str, bytes] = field(default_factory=dict)
    complete: bool = False


@dataclass
class GitHubCache:
    """What the service has.

    Attributes:
        url: where it is.
        token: who may use it.
        entries: what it has got, in order.
        calls: method and path of each call, without keys.
    """

    url: str
    token: str = field(default_factory=runtime_token)
    entries: list[Entry] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a workflow for version 1."""
        return {"ACTIONS_CACHE_URL": f"{self.url}/", "ACTIONS_RUNTIME_TOKEN": self.token}

    @property
    def environ_v2(self) -> dict[str, str]:
        """The variables of a workflow for version 2."""
        return {
            "ACTIONS_CACHE_SERVICE_V2": "True",
            "ACTIONS_RESULTS_URL": f"{self.url}/",
            "ACTIONS_RUNTIME_TOKEN": self.token,
        }

    def reserve(self, key: str, version: str) -> Entry | None:
        with self.lock:
            if any((e.key, e.version) == (key, version) for e in self.entries):
                return None
            entry = Entry(key, version, len(self.entries) + 1)
            self.entries.append(entry)
            return entry

    def find(self, keys: list[str], version: str) -> Entry | None:
        with self.lock:
            for key in keys:
                for entry in reversed(self.entries):
                    if entry.complete and entry.version == version and entry.key.startswith(key):
                        return entry
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cache: GitHubCache

    def handle_one(self) -> None:
        body = self._body()
        parts = urlsplit(self.path)
        self.cache.calls.append(f"{self.command} {re.sub(r'[0-9]+$', 'N', parts.path)}")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith("/blob/"):
            self._blob(int(parts.path.removeprefix("/blob/")), query, body)
        elif self.headers.get("Authorization") != f"Bearer {self.cache.token}":
            self._json(401, {"message": "unauthorized"})
        elif parts.path.startswith(_V1):
            self._v1(parts.path.removeprefix(_V1), query, body)
        elif parts.path.startswith(_V2):
            self._v2(parts.path.removeprefix(_V2), json.loads(body))
        else:
            self._json(404, {"message": "no such path"})

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_one

    # ---- version 1

    def _v1(self, path: str, query: dict[str, str], body: bytes) -> None:
        if path == "cache":
            found = self.cache.find(query["keys"].split(","), query["version"])
            if found is None:
                self._send(204, b"")
            else:
                location = f"{self.cache.url}/blob/{found.number}"
                self._json(200, {"cacheKey": found.key, "scope": "x", "archiveLocation": location})
        elif path == "caches":
            wanted = json.loads(body)
            made = self.cache.reserve(wanted["key"], wanted["version"])
            if made is None:
                key = "ArtifactCacheItemAlreadyExistsException"
                self._json(409, {"message": "Cache already exists", "typeKey": key})
            else:
                self._json(201, {"cacheID": made.number})
        else:
            entry = self.cache.entries[int(path.removeprefix("caches/")) - 1]
            if self.command == "PATCH":
                match = re.fullmatch(r"bytes (\d+)-(\d+)/\*", self.headers["Content-Range"])
                assert match is not None
                with self.cache.lock:
                    start = int(match[1])
                    entry.content.extend(bytes(max(0, start + len(body) - len(entry.content))))
                    entry.content[start : start + len(body)] = body
            else:
                entry.complete = json.loads(body)["size"] == len(entry.content)
            self._send(204 if entry.complete or self.command == "PATCH" else 400, b"")

    # ---- version 2

    def _v2(self, method: str, asked: dict[str, Any]) -> None:
        if method == "GetCacheEntryDownloadURL":
            found = self.cache.find([asked["key"], *asked["restore_keys"]], asked["version"])
            if found is None:
                self._json(200, {"ok": False})
            else:
                signed = f"{self.cache.url}/blob/{found.number}?sig=read"
                self._json(200, {"ok": True, "signed_download_url": signed, "matched_key": found.key})
        elif method == "CreateCacheEntry":
            made = self.cache.reserve(asked["key"], asked["version"])
            if made is None:
                self._json(409, {"code": "already_exists", "msg": "it is there"})
            else:
                url = f"{self.cache.url}/blob/{made.number}?sig=write"
                self._json(200, {"ok": True, "signed_upload_url": url})
        else:
            assert method == "FinalizeCacheEntryUpload"
            entry = next(e for e in self.cache.entries if e.key == asked["key"])
            entry.complete = int(asked["size_bytes"]) == len(entry.content)
            self._json(200, {"ok": entry.complete, "entry_id": str(entry.number)})

    # ---- the storage behind both

    def _blob(self, number: int, query: dict[str, str], body: bytes) -> None:
        entry = self.cache.entries[number - 1]
        if self.command == "PUT":
            assert query["sig"] == "write"
            if query.get("comp") == "block":
                entry.blocks[unquote(query["blockid"])] = body
            elif query.get("comp") == "blocklist":
                ids = [unquote(block.text or "") for block in ET.fromstring(body)]
                entry.content = bytearray(b"".join(entry.blocks[block] for block in ids))
            else:
                entry.content = bytearray(body)
            self._send(201, b"")
            return
        content = bytes(entry.content)
        match = re.fullmatch(
            r"bytes=(\d+)-(\d*)", self.headers.get("x-ms-range") or self.headers.get("Range") or ""
        )
        if match is None:
            self._send(200, content)
            return
        start, end = int(match[1]), int(match[2] or len(content) - 1)
        self._send(206, content[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(content)}"})

    # ---- HTTP

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"x-ms-request-id": "1", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nothing is printed."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *words: object) -> None:
        """A client that goes away is no news."""


@contextmanager
def serve_github_cache() -> Generator[GitHubCache]:
    """The service, on loopback, while the context lasts."""
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        cache = GitHubCache(f"http://127.0.0.1:{server.server_address[1]}")
        handler.cache = cache  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield cache
        finally:
            server.shutdown()
            thread.join()
