"""Limits of the containers in which steps run: resources, ulimits, shared memory, host names (V52, V53)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, get_args

from pybuildkit import csvattrs
from pybuildkit._attrs import attr, render
from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError

__all__ = [
    "Hosts",
    "Resources",
    "UlimitName",
    "Ulimits",
    "check_cpuset",
    "host_list",
    "size_in_bytes",
    "ulimit_list",
]

UlimitName: TypeAlias = Literal[
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
]  # fmt: skip

Ulimits: TypeAlias = "Iterable[str] | Mapping[str, int | tuple[int, int]]"
"""Docker's texts, ``nofile=1024:2048``; or by name, one limit or soft and hard. -1 is unlimited."""

Hosts: TypeAlias = "Mapping[str, str | Iterable[str]] | Iterable[str]"
"""Addresses by host name; or Docker's texts, ``name=address`` or ``name:address``."""

# Compiled when first used, which is a matter of start-up time; the re module keeps them.
_SIZE = r"(?i:(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?)"
_CPUSET = r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?"
_HOST = r"[^\s,=:\"]+"
_ULIMITS = frozenset(get_args(UlimitName))
_MAX_CPU = 8192


def size_in_bytes(value: int | str, *, what: str) -> int:
    """A size: bytes, or a number with a unit of 1024s as ``64m`` or ``1.5GiB``.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(_SIZE, value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(f"{what}={value!r} is not a size, write bytes or a number with a unit as 64m or 2g")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))


def _memory(key: str, value: str) -> str:
    if int(value) <= 0:
        raise ConfigError(f"{key}={value} must be more than 0")
    return value


def _swap(key: str, value: str) -> str:
    if int(value) <= 0 and value != "-1":
        raise ConfigError(f"{key}={value} must be more than 0, or -1 for no limit")
    return value


def check_cpuset(key: str, value: str) -> str:
    """A list of processors or memory nodes.

    Raises:
        ConfigError: it is none.
    """
    for part in value.split(","):
        match = re.fullmatch(_CPUSET, part)
        if part.strip() and (match is None or not int(match[1]) <= int(match[2] or match[1]) <= _MAX_CPU):
            raise ConfigError(f"{key}={value!r} is not a list of numbers and ranges, as 0-3,5")
    return value


@dataclass(frozen=True, slots=True)
class Resources:
    """What one step may use.

    Attributes:
        memory: bytes, or a size as ``512m``.
        memory_swap: memory and swap together; -1 for no limit.
        cpu_shares: weight against others.
        cpu_period: microseconds.
        cpu_quota: microseconds of each period.
        cpuset_cpus: processors, as ``0-3,5``.
        cpuset_mems: memory nodes, likewise.
    """

    memory: int | str | None = field(default=None, metadata=attr("memory", _memory))
    memory_swap: int | str | None = field(default=None, metadata=attr("memswap", _swap))
    cpu_shares: int | None = field(default=None, metadata=attr("cpushares", _memory))
    cpu_period: int | None = field(default=None, metadata=attr("cpuperiod", _memory))
    cpu_quota: int | None = field(default=None, metadata=attr("cpuquota", _memory))
    cpuset_cpus: str | None = field(default=None, metadata=attr("cpusetcpus", check_cpuset))
    cpuset_mems: str | None = field(default=None, metadata=attr("cpusetmems", check_cpuset))

    def __post_init__(self) -> None:
        """Turn sizes into bytes and check all."""
        for name in ("memory", "memory_swap"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, -1 if value == "-1" else size_in_bytes(value, what=name))
        self.attrs()

    def attrs(self) -> dict[str, str]:
        """The frontend's attributes."""
        return render(self)


def ulimit_list(ulimits: Ulimits) -> str:
    """The frontend's attribute: ``name=soft:hard`` in CSV, the last of each name.

    Raises:
        ConfigError: a name is unknown, or a limit is no number or above the hard one.
    """
    if isinstance(ulimits, Mapping):
        pairs = [
            (name, limits if isinstance(limits, tuple) else (limits,)) for name, limits in ulimits.items()
        ]
        texts = [f"{name}={':'.join(str(v) for v in limits)}" for name, limits in pairs]
    else:
        texts = [ulimits] if isinstance(ulimits, str) else list(ulimits)
    found = dict(_ulimit(text) for text in texts)
    return csvattrs.join(f"{name}={soft}:{hard}" for name, (soft, hard) in found.items()) if found else ""


def _ulimit(text: str) -> tuple[str, tuple[int, int]]:
    name, equals, limits = text.partition("=")
    if not equals or name not in _ULIMITS:
        raise ConfigError(f"ulimit {text!r}: {name!r} is not one of {', '.join(sorted(_ULIMITS))}")
    try:
        values = [int(v) for v in limits.split(":")]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 2:
        raise ConfigError(f"ulimit {text!r}: write {name}=SOFT[:HARD] with integers")
    soft, hard = values[0], values[-1]
    if hard != -1 and (soft == -1 or soft > hard):
        raise ConfigError(f"ulimit {text!r}: the soft limit is above the hard one")
    return name, (soft, hard)


def host_list(hosts: Hosts) -> str:
    """The frontend's attribute: ``host=address`` in CSV.

    Raises:
        ConfigError: a host name or address can not be one.
    """
    pairs: list[tuple[str, str]] = []
    if isinstance(hosts, Mapping):
        for name, found in hosts.items():
            pairs += [(name, address) for address in ([found] if isinstance(found, str) else found)]
    else:
        for text in [hosts] if isinstance(hosts, str) else hosts:
            separator = "=" if "=" in text else ":"
            name, _, address = text.partition(separator)
            pairs.append((name, address))
    return csvattrs.join(f"{name}={_address(name, text)}" for name, text in pairs) if pairs else ""


def _address(name: str, text: str) -> str:
    if not re.fullmatch(_HOST, name):
        raise ConfigError(f"add_hosts: {name!r} is not a host name, write name=address")
    if text == "host-gateway":
        raise ConfigError(f"add_hosts: host-gateway for {name!r} is Docker's own; give the address itself")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        import ipaddress  # a matter of start-up time

        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ConfigError(f"add_hosts: {text!r} for {name!r} is not an IP address") from None
    if "%" in bare:
        raise ConfigError(f"add_hosts: {text!r} for {name!r} has a zone, which BuildKit does not take")
    return str(address)
