"""What a state says of the commands to come: environment, directory, user and the rest (L18, L24 to L30)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pybuildkit._values import dataclass, replace
from pybuildkit._values import field as dataclass_field
from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._encode import INT64_MAX, check_int, check_text, field, text, text_field
from pybuildkit.llb._env import Env
from pybuildkit.llb._paths import join
from pybuildkit.platforms import Platform

__all__ = ["Config", "Network", "Security", "UlimitName", "Values"]

Network: TypeAlias = Literal["sandbox", "host", "none"]
Security: TypeAlias = Literal["sandbox", "insecure"]
UlimitName: TypeAlias = Literal[
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
]  # fmt: skip

NETWORKS: dict[str, int] = {"sandbox": 0, "host": 1, "none": 2}
SECURITIES: dict[str, int] = {"sandbox": 0, "insecure": 1}
ULIMITS = frozenset(UlimitName.__args__)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Config:
    """A state's settings, for reading.

    Attributes:
        env: environment variables, in the order in which the container gets them.
        dir: the working directory.
        user: ``name``, ``uid``, ``name:group`` or ``uid:gid``, empty for root.
        platform: the platform, None when it is the build's default.
        hostname: the container's host name.
        network: how the container reaches the network.
        security: what the container may do.
        extra_hosts: host names with their addresses.
        ulimits: names with soft and hard limit.
        cgroup_parent: the cgroup in which containers are made.
    """

    env: Mapping[str, str]
    dir: str
    user: str
    platform: Platform | None
    hostname: str
    network: Network
    security: Security
    extra_hosts: tuple[tuple[str, str], ...]
    ulimits: tuple[tuple[str, int, int], ...]
    cgroup_parent: str


@dataclass(frozen=True, slots=True)
class More:
    """The settings that few states have; numbers as the wire has them."""

    hostname: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    ulimits: tuple[tuple[str, int, int], ...] = ()
    cgroup_parent: str = ""
    network: int = 0
    security: int = 0
    custom: Mapping[Any, Any] = dataclass_field(default_factory=dict)

    def changed(self, kind: str, value: Any) -> More:
        """A copy with one setting changed, or lengthened by one."""
        if kind == "hosts":
            return replace(self, hosts=(*self.hosts, *value))
        if kind == "ulimits":
            return replace(self, ulimits=(*self.ulimits, *value))
        if kind == "custom":
            return replace(self, custom={**self.custom, **value})
        return replace(self, **{kind: value})


_NO_MORE = More()


class Values:
    """All settings of a state; never changed once made."""

    __slots__ = ("_tail", "dir", "env", "more", "platform", "user")

    lazy = False

    def __init__(
        self,
        env: Env,
        dir: str = "/",  # noqa: A002 - what the setting is called
        user: str = "",
        platform: Platform | None = None,
        more: More = _NO_MORE,
    ) -> None:
        self.env = env
        self.dir = dir
        self.user = user
        self.platform = platform
        self.more = more
        self._tail: tuple[bytes, bytes] | None = None

    def change(self, kind: str, value: Any) -> Values:
        """These settings with one of them changed; the value has been checked."""
        if kind == "env":
            made = Values(self.env.with_items(value), self.dir, self.user, self.platform, self.more)
            made._tail = self.tail()  # it has nothing of the environment
            return made
        if kind == "dir":
            return Values(self.env, join_dir(self.dir, value), self.user, self.platform, self.more)
        if kind == "user":
            return Values(self.env, self.dir, value, self.platform, self.more)
        if kind == "platform":
            return Values(self.env, self.dir, self.user, value, self.more)
        if kind == "reset":
            # What Go does: an output with a platform of its own keeps the directory, any other starts at /
            # (L30).
            return Values(self.env, self.dir if value else "/", self.user, value or self.platform, self.more)
        return Values(self.env, self.dir, self.user, self.platform, self.more.changed(kind, value))

    def tail(self) -> tuple[bytes, bytes]:
        """The fields of ``Meta`` behind the environment, in two parts: the proxy's place is between them."""
        if self._tail is None:
            more = self.more
            head = text_field(b"\x1a", self.dir, "directory") + text_field(b"\x22", self.user, "user")
            rest = [
                field(b"\x32", text_field(b"\n", host, "host") + text_field(b"\x12", ip, "address"))
                for host, ip in more.hosts
            ]
            rest.append(text_field(b"\x3a", more.hostname, "hostname"))
            rest.extend(field(b"\x4a", _encode_ulimit(*limit)) for limit in more.ulimits)
            rest.append(text_field(b"\x52", more.cgroup_parent, "cgroup parent"))
            rest.append(b"\x58\x01")  # removeMountStubsRecursive, always (L56)
            self._tail = head, b"".join(rest)
        return self._tail

    def config(self) -> Config:
        """The settings for reading."""
        more = self.more
        return Config(
            env=self.env.values(),
            dir=self.dir,
            user=self.user,
            platform=self.platform,
            hostname=more.hostname,
            network=("sandbox", "host", "none")[more.network],
            security=("sandbox", "insecure")[more.security],
            extra_hosts=more.hosts,
            ulimits=more.ulimits,
            cgroup_parent=more.cgroup_parent,
        )


EMPTY = Values(Env())


def join_dir(before: str, path: str) -> str:
    """A directory as ``Dir`` sets it: an absolute one stays as written, a relative one is joined (L25)."""
    return path if path.startswith("/") else join(before or "/", path)


def check_dir(path: str) -> str:
    """A working directory, checked."""
    return check_text(path, "directory", empty=True)


def check_network(value: str) -> int:
    """A network mode's number.

    Raises:
        DefinitionError: there is no such mode.
    """
    return _choice(NETWORKS, value, "network")


def check_security(value: str) -> int:
    """A security mode's number.

    Raises:
        DefinitionError: there is no such mode.
    """
    return _choice(SECURITIES, value, "security")


def check_host(host: str, address: object) -> tuple[str, str]:
    """A host with its address, spelt as Go spells it.

    Raises:
        DefinitionError: the host is empty, or the address is none.
    """
    check_text(host, "extra host")
    try:
        ip = ipaddress.ip_address(address)  # type: ignore[arg-type]
    except ValueError:
        raise DefinitionError(f"extra host {host}: {address!r} is not an IP address") from None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id:
        raise DefinitionError(f"extra host {host}: {address!r} has a zone, give the address without it")
    return host, str(mapped or ip)


def check_ulimit(name: str, soft: int, hard: int | None) -> tuple[str, int, int]:
    """A limit; the hard one is the soft one when not given. -1 is unlimited.

    Raises:
        DefinitionError: there is no such limit, or a value is no number.
    """
    if name not in ULIMITS:
        raise DefinitionError(f"ulimit {name!r} does not exist, there are {', '.join(sorted(ULIMITS))}")
    check_int(soft, f"ulimit {name}", -1, INT64_MAX)
    return name, soft, soft if hard is None else check_int(hard, f"ulimit {name}", -1, INT64_MAX)


def _choice(choices: Mapping[str, int], value: str, what: str) -> int:
    try:
        return choices[value]
    except (KeyError, TypeError):
        raise DefinitionError(f"{what} {value!r} does not exist, there are {', '.join(choices)}") from None


def _encode_ulimit(name: str, soft: int, hard: int) -> bytes:
    body = field(b"\n", text(name, "ulimit"))
    if soft:
        body += b"\x10" + varint(soft)
    return body + (b"\x18" + varint(hard) if hard else b"")
