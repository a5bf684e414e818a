"""Tokens from token servers of every temper."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
import trustme

from pybuildkit.errors import SessionError
from pybuildkit.registry.credentials import ANONYMOUS, Credentials
from pybuildkit.registry.fetching import fetch_token
from pybuildkit.registry.tokens import Token, TokenRequest
from tests.support.httpserver import Answer, Asked, serve

ME = Credentials("me", "hunter2&=")
SCOPES = ("repository:a/b:pull,push", "repository:c:pull")


def given(asked: Asked) -> Answer:
    return Answer(
        body={"token": "T", "access_token": "A" if asked.method == "POST" else "", "expires_in": 300}
    )


async def test_oauth_with_a_password() -> None:
    """S69: one form, the scopes joined by blanks."""
    with serve(given) as server:
        token = await fetch_token(TokenRequest(f"{server.url}/token", "reg", SCOPES), ME)
    assert (token.value, token.expires_in, token.issued_at) == ("A", 300, 0)
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/token", {})
    assert asked.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert "authorization" not in asked.headers
    assert asked.form == {
        "grant_type": ["password"],
        "username": ["me"],
        "password": ["hunter2&="],
        "client_id": ["buildkit-client"],
        "service": ["reg"],
        "scope": ["repository:a/b:pull,push repository:c:pull"],
    }


async def test_oauth_with_an_identity_token() -> None:
    """S69."""
    with serve(given) as server:
        await fetch_token(TokenRequest(server.url, "reg"), Credentials("me", "pw", identity_token="id"))
    assert server.asked[0].form == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["id"],
        "client_id": ["buildkit-client"],
        "service": ["reg"],
    }


@pytest.mark.parametrize("status", [401, 404, 405])
async def test_a_server_that_knows_no_oauth(status: int) -> None:
    """S69: then by GET, with the password in the header; the realm's own query stays."""

    def answers(asked: Asked) -> Answer:
        return Answer(status) if asked.method == "POST" else given(asked)

    with serve(answers) as server:
        token = await fetch_token(TokenRequest(f"{server.url}/t?account=x", "reg", SCOPES), ME)
    assert token.value == "T"
    asked = server.asked[1]
    assert asked.query == {"account": ["x"], "service": ["reg"], "scope": list(SCOPES)}
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"me:hunter2&=").decode()


async def test_an_identity_token_is_not_tried_again_after_405() -> None:
    """S69."""
    with serve(lambda asked: Answer(405)) as server, pytest.raises(SessionError, match="405"):
        await fetch_token(TokenRequest(server.url), Credentials(identity_token="id"))
    assert len(server.asked) == 1


async def test_nobody_asks_by_get() -> None:
    """S69."""
    with serve(given) as server:
        token = await fetch_token(TokenRequest(server.url, "", SCOPES), ANONYMOUS)
    assert token.value == "T"
    (asked,) = server.asked
    assert (asked.method, asked.query) == ("GET", {"scope": list(SCOPES)})
    assert "authorization" not in asked.headers


async def test_a_finished_token_needs_no_server() -> None:
    """S69: ``registrytoken``."""
    token = await fetch_token(TokenRequest("http://127.0.0.1:1/"), Credentials(registry_token="done"))
    assert (token.value, token.expires_in, token.issued_at) == ("done", 60, 0)


@pytest.mark.parametrize(
    ("document", "expires_in", "issued_at"),
    [
        ({}, 60, 0),
        ({"expires_in": 0, "issued_at": "0001-01-01T00:00:00Z"}, 60, 0),
        ({"expires_in": "300", "issued_at": "2001-02-03T04:05:06.123456789Z"}, 300, 981173106),
        ({"expires_in": 1.5, "issued_at": "2001-02-03T06:05:06+02:00"}, 1, 981173106),
        ({"expires_in": -5, "issued_at": "yesterday"}, 60, 0),
        ({"expires_in": "soon", "issued_at": 12}, 60, 0),
        ({"expires_in": 1e999}, 60, 0),
    ],
)
async def test_its_life(document: dict[str, Any], expires_in: int, issued_at: int) -> None:
    """S69: sixty seconds when the server does not say."""
    with serve(lambda asked: Answer(body={"token": "T", **document})) as server:
        token = await fetch_token(TokenRequest(server.url), ANONYMOUS)
    assert (token.expires_in, token.issued_at) == (expires_in, issued_at)


def test_a_tenth_of_its_life_is_kept_in_reserve() -> None:
    assert Token("t", 100, 1000).fresh_until(5.0) == 1090
    assert Token("t", 100).fresh_until(5.0) == 95
    assert repr(Token("hunter2", 1, 2)) == "Token(<hidden>, expires_in=1, issued_at=2)"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            Answer(401, {"details": "incorrect username or password"}),
            "401 Unauthorized: incorrect username or password",
        ),
        (Answer(400, {"error": "invalid_grant", "error_description": "no\nway"}), "400 Bad Request: noway"),
        (
            Answer(403, {"errors": [{"code": "DENIED", "message": "requested access"}]}),
            "403 Forbidden: requested access",
        ),
        (Answer(401, {"details": "wrong password hunter2&="}), "401 Unauthorized"),
        (Answer(500, b"<html>hunter2&="), "500 Internal Server Error"),
        (Answer(200, b"<html>hunter2&="), "answered without a token"),
        (Answer(200, b"[]"), "answered without a token"),
        (Answer(200, {"token": ["T"]}), "answered without a token"),
        (Answer(200, {"token": "a\r\nb"}), "answered without a token"),
        (Answer(200, b"x" * (1 << 20)), "more than 1,048,576 bytes"),
    ],
)
async def test_refusals(answer: Answer, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the server says is passed on, unless the password is in it."""
    with (
        serve(lambda asked: answer) as server,
        caplog.at_level(logging.DEBUG),
        pytest.raises(SessionError, match=r"^failed to fetch oauth token: ") as caught,
    ):
        await fetch_token(TokenRequest(f"{server.url}/token?x=1"), ME)
    assert text in str(caught.value)
    assert ("docker login" in str(caught.value)) is (answer.status in {401, 403})
    assert "hunter2" not in str(caught.value) + caplog.text


async def test_nobody_there() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with pytest.raises(
        SessionError, match=rf"fetch anonymous token: http://127.0.0.1:{port} can not be reached"
    ):
        await fetch_token(TokenRequest(f"http://127.0.0.1:{port}/x"), ANONYMOUS)


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "token",
        "file:///etc/passwd",
        "ftp://a/b",
        "http://",
        "http://a:99999/",
        "http://a/ b",
        "http://a/\r\nX: y",
    ],
)
async def test_realms_that_are_none(realm: str) -> None:
    """It comes from a registry, which may be anybody's."""
    with pytest.raises(SessionError, match="is not the URL of a token server"):
        await fetch_token(TokenRequest(realm), ANONYMOUS)


@contextmanager
def raw_server(answer: bytes, *, hang: bool = False) -> Generator[str]:
    """Sends bytes as they are, and closes the connection or does not."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                if hang:
                    done.wait(30)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            done.set()
            thread.join()


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "hang"),
    [
        (HEAD + b'\r\n{"token": "T"}', False),
        (HEAD + b'Content-Length: 14\r\n\r\n{"token": "T"}', True),
        (HEAD + b'Transfer-Encoding: chunked\r\n\r\n7\r\n{"token\r\n7\r\n": "T"}\r\n0\r\n\r\n', True),
        (b'HTTP/1.0 200\r\n\r\n{"token": "T"}', False),
    ],
    ids=["to the end", "kept open", "chunked", "old"],
)
async def test_ways_to_end_an_answer(answer: bytes, hang: bool) -> None:
    with raw_server(answer, hang=hang) as url:
        assert (await fetch_token(TokenRequest(url), ANONYMOUS, timeout=10)).value == "T"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-hunter2\r\n",
        HEAD + b'Content-Length: 20\r\n\r\n{"token": "hunter2"}'[:-3],
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nhunter2\r\n",
        HEAD + b"X: " + b"y" * 70000,
    ],
)
async def test_no_http(answer: bytes) -> None:
    with raw_server(answer) as url, pytest.raises(SessionError, match="does not speak HTTP") as caught:
        await fetch_token(TokenRequest(url), ANONYMOUS)
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_does_not_answer() -> None:
    """It ends in time, and nothing is left that waits."""
    started = time.monotonic()
    with raw_server(b"", hang=True) as url, pytest.raises(SessionError, match=r"did not answer within 0.3 s"):
        await fetch_token(TokenRequest(url), ANONYMOUS, timeout=0.3)
    assert time.monotonic() - started < 10


async def test_a_fetch_is_cancelled_at_once() -> None:
    with raw_server(b"", hang=True) as url:
        with anyio.move_on_after(0.2) as scope:
            await fetch_token(TokenRequest(url), ANONYMOUS)
    assert scope.cancelled_caught


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_on_the_same_server(status: int) -> None:
    """As Go has it: some make a GET of a POST, some do not."""

    def answers(asked: Asked) -> Answer:
        if asked.path == "/old":
            return Answer(status, headers={"Location": "/new"})
        return Answer(body={"access_token": "T"})

    with serve(answers) as server:
        assert (await fetch_token(TokenRequest(f"{server.url}/old"), ME)).value == "T"
    assert server.asked[1].method == ("POST" if status > 303 else "GET")
    assert bool(server.asked[1].body) is (status > 303)


async def test_a_redirect_to_another_server_takes_no_password_along() -> None:
    with serve(given) as other:

        def to_other(asked: Asked) -> Answer:
            return Answer(307 if asked.method == "POST" else 302, headers={"Location": f"{other.url}/x"})

        with serve(to_other) as server:
            with pytest.raises(SessionError, match="credentials for it can not be sent") as caught:
                await fetch_token(TokenRequest(server.url), ME)
            assert "hunter2" not in str(caught.value)
            assert other.asked == []
            assert (await fetch_token(TokenRequest(server.url), ANONYMOUS)).value == "T"

        def get_to_other(asked: Asked) -> Answer:
            if asked.method == "POST":
                return Answer(404)
            return Answer(302, headers={"Location": f"{other.url}/x"})

        with serve(get_to_other) as server:
            await fetch_token(TokenRequest(server.url), ME)
    assert ["authorization" in asked.headers for asked in other.asked] == [False, False]


async def test_redirects_without_end() -> None:
    around = Answer(302, headers={"Location": "/"})
    with serve(lambda asked: around) as server, pytest.raises(SessionError, match="redirects too often"):
        await fetch_token(TokenRequest(server.url), ANONYMOUS)
    assert len(server.asked) == 6


async def test_a_redirect_to_somewhere_else() -> None:
    away = Answer(302, headers={"Location": "file:///etc/passwd"})
    with serve(lambda asked: away) as server, pytest.raises(SessionError, match="not the URL of a token"):
        await fetch_token(TokenRequest(server.url), ANONYMOUS)


# --- TLS and proxies ---------------------------------------------------------------------------------------


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_tls() -> None:
    authority = trustme.CA()
    with serve(given, tls=server_context(authority, "127.0.0.1")) as server:
        with pytest.raises(SessionError, match=r"is not trusted: .*--registry-auth-tlscontext"):
            await fetch_token(TokenRequest(server.url), ANONYMOUS)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        assert (await fetch_token(TokenRequest(server.url), ANONYMOUS, tls=context)).value == "T"


async def test_plain_http_at_a_tls_address() -> None:
    with serve(given) as server, pytest.raises(SessionError, match="can not be reached"):
        await fetch_token(TokenRequest(server.url.replace("http:", "https:")), ANONYMOUS)


@contextmanager
def proxy(refuse: bool = False) -> Generator[tuple[str, list[bytes]]]:
    """A proxy for one request: by CONNECT, or answering itself."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                head = connection.recv(65536)
                lines = head.split(b"\r\n")
                seen.extend([lines[0], *(line for line in lines if line.startswith(b"proxy-authorization"))])
                if refuse:
                    connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                elif head.startswith(b"CONNECT "):
                    host, _, port = head.split()[1].partition(b":")
                    with socket.create_connection((host.decode(), int(port))) as target:
                        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        back = threading.Thread(target=pump, args=(target, connection))
                        back.start()
                        pump(connection, target)
                        back.join()
                else:
                    connection.sendall(HEAD + b'\r\n{"token": "P"}')

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        finally:
            thread.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


async def test_a_proxy_for_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy() as (url, seen):
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("http_proxy", url)
        assert (await fetch_token(TokenRequest("http://auth.test/token?a=b"), ANONYMOUS)).value == "P"
    assert seen == [b"GET http://auth.test/token?a=b HTTP/1.1"]


async def test_a_proxy_for_https(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serve(given, tls=server_context(authority, "127.0.0.1")) as server, proxy() as (url, seen):
        monkeypatch.setenv("https_proxy", url)
        assert (await fetch_token(TokenRequest(server.url), ANONYMOUS, tls=context)).value == "T"
    assert seen == [f"CONNECT {server.url.removeprefix('https://')} HTTP/1.1".encode()]


async def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(refuse=True) as (url, _):
        monkeypatch.setenv("https_proxy", url)
        with pytest.raises(SessionError, match=r"the proxy does not connect to auth.test:443: .*407"):
            await fetch_token(TokenRequest("https://auth.test/"), ANONYMOUS)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_with_a_password(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    with proxy(refuse=True) as (url, seen):
        monkeypatch.setenv(f"{scheme}_proxy", url.replace("//", "//me:hunter%40@"))
        with pytest.raises(SessionError) as caught:
            await fetch_token(TokenRequest(f"{scheme}://auth.test/"), ANONYMOUS)
    assert seen[1] == b"proxy-authorization: Basic " + base64.b64encode(b"me:hunter@")
    assert "hunter" not in str(caught.value)


async def test_a_proxy_that_speaks_tls_is_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "https://me:hunter2@proxy.test:3128")
    with pytest.raises(SessionError, match=r"proxy https://proxy.test can not be used") as caught:
        await fetch_token(TokenRequest("https://auth.test/"), ANONYMOUS)
    assert "hunter2" not in str(caught.value)


async def test_a_host_without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(given) as server:
        assert (await fetch_token(TokenRequest(server.url), ANONYMOUS)).value == "T"
