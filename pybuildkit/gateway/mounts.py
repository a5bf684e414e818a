"""What is mounted into a gateway's container: references, and the same mounts that steps have (V70)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway._types import AnyReference
from pybuildkit.llb.mounts import (
    BindMount,
    CacheMount,
    Mount,
    SecretMount,
    SSHMount,
    TmpfsMount,
)

if TYPE_CHECKING:
    from pybuildkit.llb import State

__all__ = ["FilledCache", "MountLike", "ResultMount"]

MountLike: TypeAlias = "AnyReference | ResultMount | State | Mount"
"""A reference, a state (which is solved first), or a mount of ``pybuildkit.llb``."""

_SHARINGS = {"shared": 0, "private": 1, "locked": 2}
_SECRET, _SSH, _CACHE, _TMPFS = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class ResultMount:
    """A result of this build by its id: a reference's, or one that a failed step left (C57).

    Attributes:
        id: the result's id; empty for an empty directory.
        readonly: nothing can be written to it. At ``/`` the daemon mounts a copy, which can be written to.
        selector: the path inside it that is mounted, empty for all of it.
    """

    id: str
    readonly: bool = False
    selector: str = ""


@dataclass(frozen=True, slots=True)
class FilledCache(Mount):
    """A cache as a step had it, with the result that it began with: without that it is another cache (C57).

    Attributes:
        cache: the cache.
        id: the result's id.
    """

    cache: CacheMount
    id: str


@dataclass(frozen=True, slots=True)
class Mounted:
    """A mount at its place, as the daemon gets it.

    Attributes:
        target: where.
        selector: the path inside what is mounted.
        body: the encoded mount.
        readable: whether the daemon can read files in it from outside.
    """

    target: str
    selector: str
    body: bytes
    readable: bool


def as_mount(target: str, value: object) -> ResultMount | BindMount | CacheMount | Mount:
    """What a user wants to mount, as a mount.

    Raises:
        ConfigError: it can not be mounted.
    """
    from pybuildkit.llb import State

    if isinstance(value, State):  # which is a Mount itself
        return BindMount(value)
    if isinstance(value, ResultMount | Mount):
        return value
    id_ = getattr(value, "id", None)
    if isinstance(id_, str) and hasattr(value, "encode"):
        return ResultMount(id_)
    raise ConfigError(
        f"mount {target}: {type(value).__name__} can not be mounted; give a reference, a state, or a mount of llb"
    )


def check_targets(mounts: Mapping[str, object]) -> None:
    """See whether the places fit together.

    Raises:
        ConfigError: there is no root, or a place is not absolute.
    """
    if "/" not in mounts:
        raise ConfigError('a container needs a root: container({"/": reference})')
    for target in mounts:
        if not target.startswith("/"):
            raise ConfigError(f"mount {target!r} is not absolute; it must start with /")


def encode_mount(target: str, mount: ResultMount | Mount) -> Mounted:
    """A ``pb.Mount``. States must have been solved: they come as ``ResultMount``.

    Raises:
        ConfigError: the daemon can not mount it into a gateway's container.
    """
    head = p.text(3, target)
    if isinstance(mount, ResultMount):
        body = p.text(2, mount.selector) + head + p.flag(5, mount.readonly) + p.text(23, mount.id)
        return Mounted(target, mount.selector, body, readable=True)
    if target == "/":
        raise ConfigError("the root of a container must be a reference or a state")
    if isinstance(mount, CacheMount):
        if mount.base is not None:
            raise ConfigError(
                f"cache {mount.id!r}: base= is for steps; a gateway's container can not fill a cache"
            )
        return _cache(target, mount)
    if isinstance(mount, FilledCache):
        return _cache(target, mount.cache, mount.id)
    if isinstance(mount, TmpfsMount):
        if mount.size:
            raise ConfigError(
                f"mount {target}: the daemon does not limit tmpfs in a gateway's container; leave size out"
            )
        return Mounted(target, "", head + _kind(_TMPFS), readable=False)
    if isinstance(mount, SecretMount):
        return Mounted(target, "", head + _kind(_SECRET) + p.message(21, _client(mount)), readable=False)
    if isinstance(mount, SSHMount):
        return Mounted(target, "", head + _kind(_SSH) + p.message(22, _client(mount)), readable=False)
    raise ConfigError(f"mount {target}: {type(mount).__name__} can not be mounted into a gateway's container")


def _cache(target: str, mount: CacheMount, result: str = "") -> Mounted:
    option = p.text(1, mount.id) + p.number(2, _SHARINGS[mount.sharing])
    body = p.text(2, mount.selector) + p.text(3, target) + p.flag(5, mount.readonly)
    body += _kind(_CACHE) + p.message(20, option) + p.text(23, result)
    return Mounted(target, mount.selector, body, readable=True)


def of_state(mount: BindMount, reference: AnyReference | None) -> ResultMount:
    """A bind mount whose state has been solved; None is ``scratch``."""
    id_ = "" if reference is None else reference.id
    return ResultMount(id_, mount.readonly, mount.selector)


def _kind(number: int) -> bytes:
    return p.number(6, number)


def _client(mount: SecretMount | SSHMount) -> bytes:
    body = p.text(1, mount.id) + p.number(2, mount.uid) + p.number(3, mount.gid)
    return body + p.number(4, mount.mode) + p.flag(5, mount.optional)
