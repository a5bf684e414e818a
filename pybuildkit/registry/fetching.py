"""Fetches tokens of registries from their token servers (S69)."""

from __future__ import annotations

import base64
import json
import re
import ssl
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import anyio

from pybuildkit.errors import SessionError
from pybuildkit.registry.credentials import Credentials
from pybuildkit.registry.http import HTTPAnswer, HTTPRequest, send_request
from pybuildkit.registry.tokens import DEFAULT_LIFE, Token, TokenRequest

__all__ = ["TOKEN_TIMEOUT", "fetch_token"]

TOKEN_TIMEOUT = 30.0
"""Seconds for all of it; the daemon waits sixty (S16)."""


async def fetch_token(
    request: TokenRequest,
    credentials: Credentials,
    *,
    tls: ssl.SSLContext | None = None,
    timeout: float = TOKEN_TIMEOUT,  # noqa: ASYNC109 - for all steps together, with its own text
) -> Token:
    """Fetch a token.

    With credentials by OAuth first, then in the older way where the server does not know that; anonymously without.

    Args:
        request: which token.
        credentials: whose.
        tls: for the token server; the system's authorities when not given.
        timeout: seconds for all of it.

    Raises:
        SessionError: the server refuses, can not be reached, or answers something else.
    """
    if credentials.registry_token:
        return Token(credentials.registry_token)
    kind = "oauth" if credentials.secret else "anonymous"
    try:
        with anyio.fail_after(timeout):
            return await _fetch(request, credentials, tls)
    except TimeoutError:
        reason = f"{_server(request.realm)} did not answer within {timeout:g} s"
    except SessionError as exc:
        reason = str(exc)
    # The daemon passes this text on, and errors of builds are told by its first words.
    raise SessionError(f"failed to fetch {kind} token: {reason}")


async def _fetch(request: TokenRequest, credentials: Credentials, tls: ssl.SSLContext | None) -> Token:
    if credentials.secret:
        answer = await send_request(_oauth_request(request, credentials), tls=tls)
        if not _wants_get(answer.status, credentials):
            return _token(answer, request, credentials, "access_token")
    answer = await send_request(_get_request(request, credentials), tls=tls)
    return _token(answer, request, credentials, "access_token", "token")


def _wants_get(status: int, credentials: Credentials) -> bool:
    """Whether the server may not know OAuth: some say 404, some 401, and those that mean it 405 (S69)."""
    return status in {404, 401} or (status == 405 and bool(credentials.username))


def _oauth_request(request: TokenRequest, credentials: Credentials) -> HTTPRequest:
    user, secret = credentials.login
    form = {"service": request.service, "client_id": request.client_id}
    if request.scopes:
        form["scope"] = " ".join(request.scopes)
    if user:
        form |= {"grant_type": "password", "username": user, "password": secret}
    else:
        form |= {"grant_type": "refresh_token", "refresh_token": secret}
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    return HTTPRequest("POST", request.realm, headers, urlencode(form).encode())


def _get_request(request: TokenRequest, credentials: Credentials) -> HTTPRequest:
    parts = urlsplit(request.realm)
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += [("service", request.service)] if request.service else []
    query += [("scope", scope) for scope in request.scopes]
    url = urlunsplit(parts._replace(query=urlencode(query), fragment=""))
    headers = {}
    if credentials.secret:
        user, secret = credentials.login
        headers["authorization"] = f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"
    return HTTPRequest("GET", url, headers)


def _token(answer: HTTPAnswer, request: TokenRequest, credentials: Credentials, *names: str) -> Token:
    server = _server(request.realm)
    document = _document(answer.body)
    if not 200 <= answer.status < 400:
        said = _explanation(document)
        if said and credentials.secret and credentials.secret in said:
            said = ""  # A server that says passwords back.
        text = f"{server} answered {answer.status} {answer.reason}".rstrip()
        text = f"{text}: {said}" if said else text
        if answer.status in {401, 403} and credentials.secret:
            text += "; log in again (docker login), or give other credentials in auth="
        raise SessionError(text)
    value = next((v for name in names if (v := document.get(name)) and isinstance(v, str)), "")
    if not value or not (value.isascii() and value.isprintable()):
        raise SessionError(f"{server} answered without a token")
    return Token(value, _seconds(document.get("expires_in")), _unix_time(document.get("issued_at")))


def _server(realm: str) -> str:
    """The server's part of a realm: its query might be anything."""
    parts = urlsplit(realm)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _explanation(document: dict[str, Any]) -> str:
    """What the server says of its refusal: the registries' way, OAuth's, and Docker Hub's."""
    errors = document.get("errors")
    listed = errors if isinstance(errors, list) else []
    texts = [error.get("message") for error in listed if isinstance(error, dict)]
    texts += [document.get(name) for name in ("error_description", "details", "error")]
    said = next((text for text in texts if text and isinstance(text, str)), "")
    return "".join(c for c in said if c.isprintable())[:200]


def _seconds(value: object) -> int:
    """The life of a token; some servers write it as a string, or as a fraction."""
    try:
        found = int(float(value)) if isinstance(value, str | int | float) else 0
    except (ValueError, OverflowError):
        found = 0
    return found if found > 0 else DEFAULT_LIFE


_NANOSECONDS = re.compile(r"(\.\d{6})\d+")


def _unix_time(value: object) -> int:
    """RFC 3339 as Unix time; 0 when it is missing or makes no sense."""
    if not isinstance(value, str):
        return 0
    try:
        found = datetime.fromisoformat(_NANOSECONDS.sub(r"\1", value))
        return max(0, int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()))
    except (ValueError, OverflowError):
        return 0
