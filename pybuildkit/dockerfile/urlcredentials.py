"""Credentials in the URLs of contexts. A frontend's attributes are recorded, so these become secrets (T20).

``https://user:token@host/repo.git`` is told to the frontend as ``https://host/repo.git``, and the daemon gets the
credentials from the session, under the names that its git and HTTP sources ask for: ``GIT_AUTH_HEADER.<host>`` and
``HTTP_AUTH_HEADER_<host>``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, MutableMapping
from urllib.parse import unquote_to_bytes

from pybuildkit.dockerfile.contexts import is_git
from pybuildkit.errors import ConfigError
from pybuildkit.llb.gitrepo import AUTH_HEADER_SECRET
from pybuildkit.secrets import Secret

__all__ = ["take_credentials"]

HTTP_AUTH_HEADER_SECRET = "HTTP_AUTH_HEADER_"  # noqa: S105 - the beginning of a secret's name

_URL = re.compile(
    r"(?P<scheme>(?i:https?|git|ssh))://(?P<userinfo>[^/?#]*)@(?P<host>[^/?#@]*)(?P<rest>.*)", re.DOTALL
)
_PORT = re.compile(r":\d*\Z")


def take_credentials(attrs: MutableMapping[str, str], secrets: Mapping[str, Secret]) -> dict[str, Secret]:
    """Take the credentials out of the URLs of contexts.

    Args:
        attrs: of a frontend; URLs with credentials are replaced.
        secrets: those of the build.

    Returns:
        The secrets of the build, with what was taken.

    Raises:
        ConfigError: there are several credentials for one host, or some that can not be used. No message has them.
    """
    taken: dict[str, bytes] = {}
    for key in _keys(attrs):
        found = _URL.fullmatch(attrs[key])
        if found is None:
            continue
        scheme, userinfo, host, rest = found.group("scheme", "userinfo", "host", "rest")
        if scheme.lower() not in {"http", "https"}:
            if ":" in userinfo:
                raise ConfigError(
                    f"{_named(key)}: the password in its URL would be recorded by the daemon, and {scheme}:// has no "
                    "use for it: leave it out; over SSH an agent opens repositories (ssh=)"
                )
            continue  # the name of a user, as in ssh://git@host
        attrs[key] = url = f"{scheme}://{host}{rest}"
        name = _secret_name(url, host)
        header = _basic(userinfo)
        if name in secrets or taken.get(name, header) != header:
            raise ConfigError(
                f"{_named(key)}: its URL has credentials for {host}, and there are others already: leave them out of "
                f"the URL, and give one secrets={{{name!r}: b'Basic ...'}}"
            )
        taken[name] = header
    return {**secrets, **{name: Secret.value(header) for name, header in taken.items()}}


def _keys(attrs: Mapping[str, str]) -> Iterator[str]:
    """The attributes that are contexts."""
    main = attrs.get("contextkey", "context")
    return (key for key in list(attrs) if key in {"context", main} or key.startswith("context:"))


def _named(key: str) -> str:
    return f"the context {key.removeprefix('context:')!r}" if key.startswith("context:") else "the context"


def _secret_name(url: str, host: str) -> str:
    if is_git(url):
        return f"{AUTH_HEADER_SECRET}.{host}"
    return HTTP_AUTH_HEADER_SECRET + _PORT.sub("", host).strip("[]")


def _basic(userinfo: str) -> bytes:
    """The header that a URL's user and password stand for."""
    user, _, password = userinfo.partition(":")
    return b"Basic " + base64.b64encode(unquote_to_bytes(user) + b":" + unquote_to_bytes(password))
