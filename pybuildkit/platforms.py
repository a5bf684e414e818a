"""Platforms: ``linux/arm64``, ``linux/arm/v7``, ``windows(10.0.17763+win32k)/amd64``.

The grammar and the spellings are containerd's: what the daemon understands, this understands, with the same
result (tests compare with Go over a table). ``parse`` keeps what was written, ``normalized`` gives the one
spelling by which the daemon compares.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import TypeAlias

from pybuildkit._values import dataclass, replace
from pybuildkit.errors import ConfigError

__all__ = ["Platform", "PlatformLike", "join_platforms", "parse_platforms"]

# Compiled when first used, which is a matter of start-up time; the re module keeps them.
_COMPONENT = r"[A-Za-z0-9_.-]+"
_OS = r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?"
_BAD_ESCAPE = r"%(?![0-9A-Fa-f]{2})"
_ESCAPES = str.maketrans({"%": "%25", "+": "%2B", "(": "%28", ")": "%29", "/": "%2F"})

_KNOWN_OS = frozenset(
    {
        *(
            "aix",
            "android",
            "darwin",
            "dragonfly",
            "freebsd",
            "hurd",
            "illumos",
            "ios",
            "js",
            "linux",
            "nacl",
        ),
        *("netbsd", "openbsd", "plan9", "solaris", "windows", "zos"),
    }
)
_KNOWN_ARCH = frozenset(
    {
        *(
            "386",
            "amd64",
            "amd64p32",
            "arm",
            "armbe",
            "arm64",
            "arm64be",
            "ppc64",
            "ppc64le",
            "loong64",
            "mips",
        ),
        *(
            "mipsle",
            "mips64",
            "mips64le",
            "mips64p32",
            "mips64p32le",
            "ppc",
            "riscv",
            "riscv64",
            "s390",
            "s390x",
        ),
        *("sparc", "sparc64", "wasm"),
    }
)

# What an architecture is called elsewhere, with the variant that name implies.
_ARCH_ALIASES: dict[str, tuple[str, str | None]] = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_VARIANTS: dict[str, dict[str, str]] = {
    "amd64": {"v1": ""},
    "arm64": {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"},
    "arm": {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"},
}


@dataclass(frozen=True, slots=True)
class Platform:
    """What a result runs on.

    Attributes:
        os: ``linux``, ``windows``, ...
        architecture: Go's name: ``amd64``, ``arm64``, ``arm``, ...
        variant: ``v7``, ``v8``, empty for most.
        os_version: as ``10.0.17763``, on Windows.
        os_features: as ``win32k``.
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, host: Platform | None = None) -> Platform:
        """Read ``os[(version[+feature]...)][/arch[/variant]]``, or an architecture alone.

        Args:
            text: the platform.
            host: what fills in a missing half; this machine's when not given.

        Raises:
            ConfigError: it is no platform.
        """
        if "*" in text:
            raise ConfigError(f"platform {text!r}: wildcards are not supported, name every platform")
        parts = text.split("/", 3)
        os, version, features = _parse_os(parts[0], text)
        for part in parts[1:]:
            if not re.fullmatch(_COMPONENT, part):
                raise ConfigError(
                    f"platform {text!r}: {part!r} is not a name, write os/arch[/variant] as linux/arm64"
                )
        if len(parts) == 1:
            return _parse_single(text, os, version, features, host or cls.host())
        if len(parts) == 2:
            arch, variant = _normalize_arch(parts[1], "")
            if (arch, variant) == ("arm", "v7"):
                variant = ""
        elif len(parts) == 3:
            arch, variant = _normalize_arch(parts[1], parts[2])
            if arch == "arm64" and not variant:
                variant = "v8"
        else:
            raise ConfigError(f"platform {text!r} has too many parts, write os/arch[/variant]")
        return cls(os, arch, variant, version, features)

    @classmethod
    def host(cls) -> Platform:
        """This machine's platform, normalised."""
        return _host_platform()

    def normalized(self) -> Platform:
        """The one spelling by which platforms are compared: ``linux/arm64/v8`` becomes ``linux/arm64``."""
        arch, variant = _normalize_arch(self.architecture, self.variant)
        return replace(
            self,
            os=_normalize_os(self.os),
            architecture=arch,
            variant=variant,
            os_features=tuple(sorted(set(self.os_features))),
        )

    def __str__(self) -> str:
        """``os[(version[+feature]...)]/arch[/variant]``, which ``parse`` reads back."""
        if not self.os:
            return "unknown"
        os = self.os
        features = "+".join(f.translate(_ESCAPES) for f in sorted(set(self.os_features)) if f)
        if self.os_version or features:
            plus = "+" if features else ""
            os = f"{os}({self.os_version.translate(_ESCAPES)}{plus}{features})"
        return _join(os, self.architecture, self.variant)

    @property
    def short(self) -> str:
        """``os/arch[/variant]``, without version and features."""
        return _join(self.os, self.architecture, self.variant) if self.os else "unknown"


PlatformLike: TypeAlias = str | Platform


def parse_platforms(value: PlatformLike | Iterable[PlatformLike] | None) -> tuple[Platform, ...]:
    """Platforms from whatever users write: ``"linux/amd64,linux/arm64"``, or a list.

    ``local`` is this machine's. Each is normalised, and kept once, in the order of its first mention.

    Raises:
        ConfigError: one of them is no platform.
    """
    if value is None:
        return ()
    values = [value] if isinstance(value, str | Platform) else list(value)
    found: dict[Platform, None] = {}
    for item in values:
        if isinstance(item, Platform):
            found[item.normalized()] = None
            continue
        for part in item.split(","):
            word = part.strip()
            found[Platform.host() if word == "local" else Platform.parse(word).normalized()] = None
    return tuple(found)


def join_platforms(platforms: Iterable[Platform]) -> str:
    """The comma-separated form that frontends take (V52)."""
    return ",".join(str(p) for p in platforms)


def _join(*parts: str) -> str:
    """Go's ``path.Join``: empty parts vanish, the rest is cleaned."""
    joined = "/".join(p for p in parts if p)
    return posixpath.normpath(joined) if joined else ""


def _parse_os(part: str, text: str) -> tuple[str, str, tuple[str, ...]]:
    match = re.fullmatch(_OS, part)
    if match is None:
        raise ConfigError(
            f"platform {text!r}: {part!r} is not an operating system, write os/arch[/variant] as linux/arm64"
        )
    name, version, features = match.groups()
    return (
        _normalize_os(name),
        _decode(version or "", text),
        tuple(_decode(f, text) for f in (features or "").split("+")[1:]),
    )


def _decode(value: str, text: str) -> str:
    if "%" not in value:
        return value
    if re.search(_BAD_ESCAPE, value):
        raise ConfigError(
            f"platform {text!r}: {value!r} has a % that is not followed by two hexadecimal digits"
        )
    try:
        from urllib.parse import unquote_to_bytes  # a matter of start-up time

        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"platform {text!r}: {value!r} does not stand for UTF-8") from None


def _parse_single(text: str, os: str, version: str, features: tuple[str, ...], host: Platform) -> Platform:
    """One word: an operating system with the host's architecture, or an architecture on the host's system."""
    if os in _KNOWN_OS:
        variant = host.variant if host.architecture == "arm" and host.variant != "v7" else ""
        return Platform(os, host.architecture, variant, version, features)
    arch, variant = _normalize_arch(text, "")
    if (arch, variant) == ("arm", "v7"):
        variant = ""
    if arch in _KNOWN_ARCH:
        return Platform(host.os, arch, variant, version, features)
    raise ConfigError(f"platform {text!r} is neither a known operating system nor a known architecture")


def _normalize_os(os: str) -> str:
    os = os.lower()
    if os == "macos":
        return "darwin"
    return os or Platform.host().os


def _normalize_arch(arch: str, variant: str) -> tuple[str, str]:
    arch, variant = arch.lower(), variant.lower()
    arch, implied = _ARCH_ALIASES.get(arch, (arch, None))
    if implied is not None:
        return arch, implied
    return arch, _VARIANTS.get(arch, {}).get(variant, variant)


_HOST_OS = {"win32": "windows", "cygwin": "windows", "sunos5": "solaris"}
_HOST_ARCH = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "x64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "loongarch64": "loong64",
}


@cache
def _host_platform() -> Platform:
    os = _HOST_OS.get(sys.platform) or re.sub(r"\d.*$", "", sys.platform)
    machine = _machine().lower()
    if re.fullmatch(r"i[3-6]86", machine):
        return Platform(os, "386")
    if machine.startswith("armv"):
        return Platform(os, "arm", _arm_variant(machine))
    return Platform(os, _HOST_ARCH.get(machine, machine))


def _machine() -> str:
    if hasattr(os, "uname"):  # which says the same, and needs nothing imported
        return os.uname().machine
    import platform

    return platform.machine()


def _arm_variant(machine: str) -> str:
    """The variant of a 32-bit ARM machine as ``armv7l``; some ARMv6 boards say v7 and mean v6."""
    variant = machine[3:5]
    if variant == "v7" and re.search(r"^model name\s*:\s*armv6-compatible", _cpu_info(), re.MULTILINE):
        return "v6"
    return variant


def _cpu_info() -> str:
    try:
        with open("/proc/cpuinfo", errors="replace") as file:  # noqa: PTH123 - pathlib is a matter of start-up time
            return file.read().lower()
    except OSError:
        return ""
