"""Small HTTP requests for token servers: on the event loop, so that they end when they are cancelled or take too long.

Python's own HTTP clients block, and a thread that waits for a dead server can not be stopped. Only what a token
server needs is here: one request a connection, an answer of bounded size, proxies, redirects without leaks.
"""

from __future__ import annotations

import base64
import http.client
import io
import re
import ssl
import urllib.request
from collections.abc import Mapping
from typing import cast
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from pybuildkit._values import dataclass
from pybuildkit._version import __version__
from pybuildkit.errors import SessionError

__all__ = ["HTTPAnswer", "HTTPRequest", "send_request"]

MAX_ANSWER = 1 << 20
"""Bytes of an answer, headers included."""

MAX_REDIRECTS = 5

_REDIRECTS = frozenset([301, 302, 303, 307, 308])
_PLAIN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True, repr=False)
class HTTPRequest:
    """What is asked; header names in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def secret(self) -> bool:
        """Whether it has something in it that only this server may see."""
        return bool(self.body) or "authorization" in self.headers


@dataclass(frozen=True, slots=True, repr=False)
class HTTPAnswer:
    """What came back."""

    status: int
    reason: str
    body: bytes


async def send_request(request: HTTPRequest, *, tls: ssl.SSLContext | None = None) -> HTTPAnswer:
    """Send a request, and follow redirects.

    A redirect takes secrets along only to the same server. Bound the time from outside.

    Args:
        request: what to ask.
        tls: for https; the system's authorities when not given.

    Raises:
        SessionError: the URL can not work, nobody answers, the answer is too big or makes no sense.
    """
    for _ in range(MAX_REDIRECTS + 1):
        answer, location = await _exchange(request, _split(request.url), tls)
        if not location:
            return answer
        request = _redirected(request, answer.status, location)
    raise SessionError(f"{request.url} redirects too often")


def _split(url: str) -> SplitResult:
    """Take a URL apart; it comes from a registry, by way of the daemon."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if fits and _PLAIN.fullmatch(url):
            return parts
    except ValueError:
        pass  # No port, or no address: the same as below.
    raise SessionError(f"{url!r} is not the URL of a token server")


def _redirected(request: HTTPRequest, status: int, location: str) -> HTTPRequest:
    """The request that a redirect asks for (as browsers and Go do it, but for secrets)."""
    url = urljoin(request.url, location)
    method, body = request.method, request.body
    if status in {301, 302, 303} and method == "POST":
        method, body = "GET", b""
    headers = dict(request.headers)
    if not body:
        headers.pop("content-type", None)
    if _origin(url) != _origin(request.url):
        if body:
            raise SessionError(f"{request.url} redirects to {url}, where credentials for it can not be sent")
        headers.pop("authorization", None)
    return HTTPRequest(method, url, headers, body)


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = _split(url)
    return parts.scheme, parts.hostname, _port(parts)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


async def _exchange(
    request: HTTPRequest, parts: SplitResult, tls: ssl.SSLContext | None
) -> tuple[HTTPAnswer, str]:
    """One request on a connection of its own: the answer, and where it redirects to."""
    try:
        stream, target, more = await _connect(parts, tls)
        async with stream:
            await stream.send(_encode(request, parts, target, more))
            raw = await _read_all(stream)
    except ssl.SSLCertVerificationError as exc:
        raise SessionError(
            f"the certificate of {parts.netloc} is not trusted: {exc.verify_message}; name its authority with "
            "RegistryAuth(tls=...) (--registry-auth-tlscontext)"
        ) from None
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as exc:
        raise SessionError(f"{_shown(parts)} can not be reached: {_reason(exc)}") from None
    return _decode(raw, request, parts)


def _reason(error: BaseException) -> str:
    """The system's words, which anyio has behind its own."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)


def _shown(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.hostname}:{_port(parts)}"


async def _connect(parts: SplitResult, tls: ssl.SSLContext | None) -> tuple[ByteStream, str, dict[str, str]]:
    """A connection to the server, or to the proxy before it, and the request's target and more headers on that."""
    assert parts.hostname is not None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    proxy = _proxy(parts)
    stream: ByteStream
    if proxy is None:
        stream = await anyio.connect_tcp(parts.hostname, _port(parts))
    else:
        stream = await anyio.connect_tcp(cast("str", proxy.hostname), _port(proxy))
        if parts.scheme == "http":
            return stream, f"http://{parts.netloc.rpartition('@')[2]}{path}", _proxy_login(proxy)
    try:
        if proxy is not None:
            await _open_tunnel(stream, parts, proxy)
        if parts.scheme == "https":
            context = tls or await anyio.to_thread.run_sync(ssl.create_default_context)
            stream = await TLSStream.wrap(
                stream, hostname=parts.hostname, ssl_context=context, standard_compatible=False
            )
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    return stream, path, {}


def _proxy(parts: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for a server, if any."""
    url = urllib.request.getproxies().get(parts.scheme)
    if not url or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxy = _split(url if "://" in url else f"http://{url}")
    if proxy.scheme != "http":
        raise SessionError(
            f"the proxy {proxy.scheme}://{proxy.hostname} can not be used for {parts.hostname}: only one that is "
            "spoken to by plain HTTP can; exempt the host with $NO_PROXY"
        )
    return proxy


def _proxy_login(proxy: SplitResult | None) -> dict[str, str]:
    """The header that opens a proxy, if its URL has a user."""
    if proxy is None or proxy.username is None:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"proxy-authorization": f"Basic {base64.b64encode(login).decode()}"}


async def _open_tunnel(stream: ByteStream, parts: SplitResult, proxy: SplitResult) -> None:
    name = f"{_bracketed(parts)}:{_port(parts)}"
    headers = {"host": name, **_proxy_login(proxy)}
    lines = [f"CONNECT {name} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items()), "", ""]
    await stream.send("\r\n".join(lines).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive()
        if len(head) > MAX_ANSWER:
            raise SessionError(f"the proxy's answer for {name} makes no sense")
    status = head.split(b"\r\n", 1)[0].decode("latin-1")
    if not re.match(r"HTTP/1\.[01] 2\d\d\b", status):
        raise SessionError(f"the proxy does not connect to {name}: {status[:200]!r}")


def _bracketed(parts: SplitResult) -> str:
    assert parts.hostname is not None
    return f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname


def _encode(request: HTTPRequest, parts: SplitResult, target: str, more: Mapping[str, str]) -> bytes:
    host = _bracketed(parts) + (f":{parts.port}" if parts.port else "")
    headers = {
        "host": host,
        "user-agent": f"pybuildkit/{__version__}",
        "accept": "application/json",
        "connection": "close",
        **request.headers,
        **more,
    }
    if request.body or request.method == "POST":
        headers["content-length"] = str(len(request.body))
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


async def _read_all(stream: ByteStream) -> bytes:
    """All until the server closes, as it was asked to; or until it has said all that it announced."""
    data = bytearray()
    while not _complete(data):
        try:
            data += await stream.receive()
        except anyio.EndOfStream:
            break
        if len(data) > MAX_ANSWER:
            raise SessionError(f"the answer has more than {MAX_ANSWER:,} bytes")
    return bytes(data)


def _complete(data: bytearray) -> bool:
    """Whether an answer is there as a whole; for servers that keep connections open all the same."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(data[: end + 2]).lower()
    if b"\r\ntransfer-encoding:" in head:
        return data.endswith(b"\r\n0\r\n\r\n")
    length = re.search(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", head)
    return length is not None and len(data) >= end + 4 + int(length[1])


class _Recorded:
    """What ``http.client`` takes for a socket: an answer that is already there."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _decode(raw: bytes, request: HTTPRequest, parts: SplitResult) -> tuple[HTTPAnswer, str]:
    response = http.client.HTTPResponse(cast("ssl.SSLSocket", _Recorded(raw)), method=request.method)
    try:
        response.begin()
        body = response.read()
    except (http.client.HTTPException, ValueError) as exc:
        # Not its text: it may quote the answer.
        raise SessionError(f"{_shown(parts)} does not speak HTTP ({type(exc).__name__})") from None
    location = response.getheader("location") or ""
    reason = "".join(c for c in response.reason if c.isprintable())[:100]
    answer = HTTPAnswer(response.status, reason, body)
    return answer, location if response.status in _REDIRECTS else ""
