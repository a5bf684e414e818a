"""Addresses of git repositories, read as Go reads them: they become part of an op's identifier (L6).

``https://host/path``, ``ssh://user@host:port/path``, ``git://host/path`` and ``user@host:path`` all name a
repository.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote_to_bytes

from pybuildkit._values import dataclass
from pybuildkit.errors import DefinitionError

__all__ = ["GitURL"]

_PROTOCOLS = frozenset({"http", "https", "ssh", "git"})
_SCHEME = re.compile(r"([a-zA-Z0-9]+)://")
_SCP = re.compile(r"([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):(.*?)(?:\?(.*?))?(?:#(.*))?")
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_ASCII_ESCAPE = re.compile(r"%(?!25)[0-7]")
_PORT = re.compile(r"(?::[0-9]*)?")
_PASSWORD = re.compile(r"((?:^|://)[^/?#@:]*:)[^/?#]*@")
_USERINFO = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")

# Bytes that Go leaves as they are in each part of an address (net/url shouldEscape).
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~")
_PATH = _UNRESERVED | frozenset(b"$&+,/:;=@")
_PATH_AS_WRITTEN = _PATH | frozenset(b"!'()*[]%")
_USER = _UNRESERVED | frozenset(b"$&+,;=")
_HOST = _UNRESERVED | frozenset(b"!$&'()*+,;=:[]<>\"")


@dataclass(frozen=True, slots=True)
class GitURL:
    """A parsed address.

    Attributes:
        scheme: ``http``, ``https``, ``ssh`` or ``git``.
        host: the host with its port.
        path: the path, unescaped.
        remote: the address for the git program, without what is behind ``#``.
        fragment: what is behind ``#``: ``ref:subdir``.
    """

    scheme: str
    host: str
    path: str
    remote: str
    fragment: str = ""

    @classmethod
    def parse(cls, url: str) -> GitURL:
        """Read an address; one without a scheme is taken for ``https``.

        Raises:
            DefinitionError: it is none; a password in it is not in the text.
        """
        shown = _PASSWORD.sub(r"\1***@", url)
        if scheme := _SCHEME.match(url):
            if scheme[1].lower() not in _PROTOCOLS:
                raise DefinitionError(
                    f"git url {shown!r}: {scheme[1]} is not one of {', '.join(sorted(_PROTOCOLS))}"
                )
            return cls._parse_url(url, shown)
        if scp := _SCP.fullmatch(url):
            user, host, path, _, fragment = scp.groups(default="")
            if "?" in url:
                raise DefinitionError(
                    f"git url {shown!r} has a query, which the daemon would not see: take it out"
                )
            return cls("ssh", host, path, f"{user}@{host}:{path}", fragment)
        return cls._parse_url(f"https://{url}", shown)

    @classmethod
    def _parse_url(cls, url: str, shown: str) -> GitURL:
        if any(ord(c) < 0x20 or ord(c) == 0x7F for c in url):
            raise DefinitionError(f"git url {shown!r} holds a control character")
        rest, _, fragment = url.partition("#")
        if "?" in rest:
            raise DefinitionError(
                f"git url {shown!r} has a query, which the daemon would not see: take it out"
            )
        scheme, _, rest = rest.partition("://")
        authority, slash, path = rest.partition("/")
        userinfo, at, host = authority.rpartition("@")
        name = _unescape(host, shown)
        _check_host(host, shown)
        path = slash + path
        plain = _unescape(path, shown)
        if "\0" in name + plain + _unescape(fragment, shown):
            raise DefinitionError(f"git url {shown!r} stands for a NUL character")
        if not _USERINFO.fullmatch(userinfo):
            raise DefinitionError(
                f"git url {shown!r}: the user holds a character that must be written as %XX"
            )
        if not name:
            raise DefinitionError(f"git url {shown!r} has no host, write https://host/path")
        remote = f"{scheme.lower()}://"
        if at:
            user, colon, password = userinfo.partition(":")
            remote += _escape(_unescape(user, shown), _USER)
            remote += f":{_escape(_unescape(password, shown), _USER)}@" if colon else "@"
        written = path if all(byte in _PATH_AS_WRITTEN for byte in path.encode()) else _escape(plain, _PATH)
        return cls(
            scheme.lower(), name, plain, remote + _escape(name, _HOST) + written, _unescape(fragment, shown)
        )


def _check_host(host: str, shown: str) -> None:
    if host.startswith("["):
        name, _, port = host[1:].rpartition("]")
        try:
            ipaddress.IPv6Address(name.replace("%25", "%"))
        except ValueError:
            raise DefinitionError(f"git url {shown!r}: {host!r} is no IPv6 address in brackets") from None
    else:
        port = host[len(host.partition(":")[0]) :]
    if not _PORT.fullmatch(port):
        raise DefinitionError(f"git url {shown!r}: {port!r} is no port; a path follows the host with a /")
    if _ASCII_ESCAPE.search(host) or any(b not in _HOST and b < 0x80 and b != 0x25 for b in host.encode()):
        raise DefinitionError(f"git url {shown!r}: {host!r} holds a character that no host has")


def _unescape(part: str, shown: str) -> str:
    if _ESCAPE.search(part):
        raise DefinitionError(f"git url {shown!r} has a % that is not followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise DefinitionError(f"git url {shown!r} does not stand for UTF-8") from None


def _escape(part: str, kept: frozenset[int]) -> str:
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in part.encode())
