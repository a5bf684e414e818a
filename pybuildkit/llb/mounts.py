"""What can be mounted into a command: states, caches, memory, secrets, agents (L46 to L49)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from pybuildkit._values import dataclass
from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._encode import (
    INT64_MAX,
    UINT32_MAX,
    check_bool,
    check_int,
    check_text,
    field,
    text,
    text_field,
)

if TYPE_CHECKING:
    from pybuildkit.llb.state import State

__all__ = [
    "BindMount",
    "CacheMount",
    "ContentCache",
    "Device",
    "Mount",
    "ProxyEnv",
    "SSHMount",
    "SecretMount",
    "Sharing",
    "TmpfsMount",
    "cache",
    "secret",
    "ssh",
    "tmpfs",
]

Sharing: TypeAlias = Literal["shared", "private", "locked"]
ContentCache: TypeAlias = Literal["default", "on", "off"]

_SHARINGS = {"shared": 0, "private": 1, "locked": 2}
_CONTENT_CACHES = {"default": 0, "on": 1, "off": 2}


class Mount:
    """What can be mounted into a command: a state, or what ``state.mount``, ``cache`` and so on give."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class BindMount(Mount):
    """A state's files, from ``state.mount()``.

    Attributes:
        source: the state; one from ``scratch()`` is an empty folder.
        readonly: nothing can be written to it, and nothing is read back.
        selector: the path inside the state that is mounted, empty for all of it.
        output: whether what was written can be read back, as ``run[target]``.
        content_cache: whether the daemon finds cached results by the files' content.
    """

    source: State
    readonly: bool = False
    selector: str = ""
    output: bool = True
    content_cache: ContentCache = "default"

    def __post_init__(self) -> None:
        check_bool(self.readonly, "readonly")
        check_bool(self.output, "output")
        check_text(self.selector, "selector", empty=True)
        _choice(_CONTENT_CACHES, self.content_cache, "content_cache")


@dataclass(frozen=True, slots=True, eq=False)
class CacheMount(Mount):
    """A folder that the daemon keeps from build to build, from ``cache()``.

    Attributes:
        id: its name in the daemon.
        sharing: what happens when two steps want it at once: ``shared`` lets both write, ``private`` gives
            the second one a new folder, ``locked`` lets the second one wait.
        base: what is in it at first.
        selector: the path inside it that is mounted.
        readonly: nothing can be written to it.
        content_cache: whether the daemon finds cached results by the base's content.
    """

    id: str
    sharing: Sharing = "shared"
    base: State | None = None
    selector: str = ""
    readonly: bool = False
    content_cache: ContentCache = "default"

    def __post_init__(self) -> None:
        check_text(self.id, "cache id")
        _choice(_SHARINGS, self.sharing, "sharing")
        check_bool(self.readonly, "readonly")
        check_text(self.selector, "selector", empty=True)
        _choice(_CONTENT_CACHES, self.content_cache, "content_cache")
        if self.base is not None and not hasattr(self.base, "marshal"):
            raise DefinitionError(f"cache base {self.base!r} is a {type(self.base).__name__}, give a State")


@dataclass(frozen=True, slots=True)
class TmpfsMount(Mount):
    """A folder in memory, from ``tmpfs()``. ``size`` is in bytes, 0 for no limit."""

    size: int = 0

    def __post_init__(self) -> None:
        check_int(self.size, "tmpfs size", 0, INT64_MAX)


@dataclass(frozen=True, slots=True)
class SecretMount(Mount):
    """A secret of the client, as a file or, as a value of ``env=``, in a variable; from ``secret()``.

    Attributes:
        id: its name in the client.
        optional: the command runs even when the client does not have it.
        uid: the file's owner.
        gid: the file's group.
        mode: the file's permissions.
    """

    id: str
    optional: bool = False
    uid: int = 0
    gid: int = 0
    mode: int = 0o400

    def __post_init__(self) -> None:
        check_text(self.id, "secret id")
        check_bool(self.optional, "optional")
        _check_owner(self.uid, self.gid, self.mode)

    def encode(self, dest: bytes) -> bytes:
        """The field ``ExecOp.mounts``; ``dest`` is the encoded target."""
        return _encode_client_mount(dest, b"\x30\x01\xaa\x01", self)

    def encode_env(self, name: str) -> bytes:
        """The field ``ExecOp.secretenv``."""
        body = text_field(b"\n", self.id, "secret id") + text_field(b"\x12", name, "environment variable")
        return field(b"\x2a", body + (b"\x18\x01" if self.optional else b""))


@dataclass(frozen=True, slots=True)
class SSHMount(Mount):
    """An SSH agent of the client, as a socket, from ``ssh()``.

    Attributes:
        id: its name in the client, empty for the default one.
        optional: the command runs even when the client does not have it.
        uid: the socket's owner.
        gid: the socket's group.
        mode: the socket's permissions.
    """

    id: str = ""
    optional: bool = False
    uid: int = 0
    gid: int = 0
    mode: int = 0o600

    def __post_init__(self) -> None:
        check_text(self.id, "ssh id", empty=True)
        check_bool(self.optional, "optional")
        _check_owner(self.uid, self.gid, self.mode)

    def encode(self, dest: bytes) -> bytes:
        """The field ``ExecOp.mounts``; ``dest`` is the encoded target."""
        return _encode_client_mount(dest, b"\x30\x02\xb2\x01", self)


@dataclass(frozen=True, slots=True)
class Device:
    """A CDI device, as ``vendor.com/class=name``; an optional one may be missing on the worker (L49)."""

    name: str
    optional: bool = False

    def __post_init__(self) -> None:
        check_text(self.name, "device name")
        check_bool(self.optional, "optional")

    def encode(self) -> bytes:
        """The field ``ExecOp.cdiDevices``."""
        return field(
            b"\x32", text_field(b"\n", self.name, "device name") + (b"\x10\x01" if self.optional else b"")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyEnv:
    """Proxies for a command: seen by it as variables, but not part of its cache key (L52)."""

    http_proxy: str = ""
    https_proxy: str = ""
    ftp_proxy: str = ""
    no_proxy: str = ""
    all_proxy: str = ""

    def encode(self) -> bytes:
        """The field ``Meta.proxy_env``.

        Raises:
            DefinitionError: a value is no text.
        """
        values = (self.http_proxy, self.https_proxy, self.ftp_proxy, self.no_proxy, self.all_proxy)
        body = b"".join(text_field(varint(n << 3 | 2), value, "proxy") for n, value in enumerate(values, 1))
        return field(b"\x2a", body)


def cache(
    id: str,  # noqa: A002 - the field's own name
    *,
    sharing: Sharing = "shared",
    base: State | None = None,
    selector: str = "",
    readonly: bool = False,
    content_cache: ContentCache = "default",
) -> CacheMount:
    """A folder that the daemon keeps from build to build: for a package manager's or a compiler's cache.

    Args:
        id: its name in the daemon; every command that names it sees the same folder.
        sharing: ``shared`` lets two steps write at once, ``private`` gives the second one a new folder,
            ``locked`` lets the second one wait.
        base: what is in it at first.
        selector: the path inside it that is mounted.
        readonly: nothing can be written to it.
        content_cache: whether the daemon finds cached results by the base's content.

    Raises:
        DefinitionError: an argument is bad.
    """
    return CacheMount(id, sharing, base, selector, readonly, content_cache)


def tmpfs(size: int = 0) -> TmpfsMount:
    """A folder in memory, of at most ``size`` bytes, 0 for no limit; gone when the command ends.

    Raises:
        DefinitionError: the size is no number.
    """
    return TmpfsMount(size)


def secret(
    id: str,  # noqa: A002 - the field's own name
    *,
    optional: bool = False,
    uid: int = 0,
    gid: int = 0,
    mode: int = 0o400,
) -> SecretMount:
    """A secret of the client: a file as a value of ``mounts=``, a variable as a value of ``env=`` (L47).

    Args:
        id: its name in ``solve(secrets=...)``.
        optional: run the command even when the client does not have it.
        uid: the file's owner.
        gid: the file's group.
        mode: the file's permissions.

    Raises:
        DefinitionError: an argument is bad.
    """
    return SecretMount(id, optional, uid, gid, mode)


def ssh(
    id: str = "",  # noqa: A002 - the field's own name
    *,
    optional: bool = False,
    uid: int = 0,
    gid: int = 0,
    mode: int = 0o600,
) -> SSHMount:
    """An SSH agent of the client, as a socket (L48).

    Args:
        id: its name in ``solve(ssh=...)``, empty for the default one.
        optional: run the command even when the client does not have it.
        uid: the socket's owner.
        gid: the socket's group.
        mode: the socket's permissions.

    Raises:
        DefinitionError: an argument is bad.
    """
    return SSHMount(id, optional, uid, gid, mode)


def encode_options(mount: BindMount | CacheMount) -> tuple[bytes, bytes]:
    """The fields of ``Mount`` that stand before its target and behind its output."""
    selector = field(b"\x12", text(mount.selector, "selector")) if mount.selector else b""
    rest = b"\x28\x01" if mount.readonly else b""
    if isinstance(mount, CacheMount):
        sharing = _SHARINGS[mount.sharing]
        body = field(b"\n", text(mount.id, "cache id")) + (bytes((0x10, sharing)) if sharing else b"")
        rest += b"\x30\x03" + field(b"\xa2\x01", body)
    content = _CONTENT_CACHES[mount.content_cache]
    return selector, rest + (bytes((0xC0, 0x01, content)) if content else b"")


def encode_tmpfs(mount: TmpfsMount) -> bytes:
    """The fields of ``Mount`` behind its output."""
    body = b"\x08" + varint(mount.size) if mount.size else b""
    return b"\x30\x04" + field(b"\x9a\x01", body)


def _encode_client_mount(dest: bytes, kind: bytes, mount: SecretMount | SSHMount) -> bytes:
    """A mount of something of the client: no input, and an output that is not set (L55)."""
    body = text_field(b"\n", mount.id, "id")
    for tag, value in ((b"\x10", mount.uid), (b"\x18", mount.gid), (b"\x20", mount.mode)):
        if value:
            body += tag + varint(value)
    body += b"\x28\x01" if mount.optional else b""
    return field(b"\x12", b"\x08" + varint(-1) + dest + field(kind, body))


def _check_owner(uid: int, gid: int, mode: int) -> None:
    check_int(uid, "uid", 0, UINT32_MAX)
    check_int(gid, "gid", 0, UINT32_MAX)
    check_int(mode, "mode", 0, UINT32_MAX)


def _choice(choices: dict[str, int], value: str, what: str) -> None:
    if value not in choices:
        raise DefinitionError(f"{what} {value!r} does not exist, there are {', '.join(choices)}")
