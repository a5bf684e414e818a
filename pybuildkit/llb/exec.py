"""Commands: the op behind ``state.run`` and its mounts (L45 to L60)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._caps import Cap
from pybuildkit.llb._command import SHELL, ExecParts
from pybuildkit.llb._encode import MINUS_ONE
from pybuildkit.llb._env import Env, encode_item
from pybuildkit.llb._frames import Frame
from pybuildkit.llb._paths import mount_target
from pybuildkit.llb.mounts import (
    BindMount,
    CacheMount,
    ContentCache,
    Mount,
    Sharing,
    TmpfsMount,
    encode_options,
    encode_tmpfs,
)
from pybuildkit.llb.nodes import LazyValues, Node, Output
from pybuildkit.llb.options import Constraints
from pybuildkit.llb.values import Values
from pybuildkit.platforms import Platform

if TYPE_CHECKING:
    from pybuildkit.llb.marshal import Marshaler
    from pybuildkit.llb.state import State

__all__ = ["BoundMount", "ExecNode", "bind", "bind_root"]

_NO_INPUT = b"\x08" + MINUS_ONE
_NO_OUTPUT = b"\x20" + MINUS_ONE
_ROOT_DEST = b"\x1a\x01/"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class BoundMount:
    """A mount with an input or an output, at its target in one command.

    Attributes:
        target: as the user wrote it: mounts are sorted by it.
        source: the output that is mounted, None for an empty folder.
        before: the encoded fields selector and dest.
        after: the encoded fields behind ``output``.
        index: which output of the command it is, -1 for none.
        why: what keeps it from being an output.
        caps: what it needs of the daemon.
        state: the state that is mounted; reading back goes on from its settings.
    """

    __slots__ = ("after", "before", "caps", "index", "source", "state", "target", "why")

    def __init__(
        self,
        target: str,
        source: Output | None,
        before: bytes,
        after: bytes = b"",
        *,
        caps: int = 0,
        why: str = "",
        state: State | None = None,
    ) -> None:
        self.target = target
        self.source = source
        self.before = before
        self.after = after
        self.index = -1
        self.caps = caps
        self.why = why
        self.state = state

    def encode(self, number: int) -> bytes:
        """The field ``ExecOp.mounts``; ``number`` is the place of its source among the op's inputs."""
        body = (_NO_INPUT if number < 0 else b"\x08" + varint(number) if number else b"") + self.before
        index = self.index
        if index:
            body += _NO_OUTPUT if index < 0 else b"\x20" + varint(index)
        body += self.after
        return b"\x12" + varint(len(body)) + body


class ExecNode(Node):
    """A command."""

    __slots__ = ("args", "body", "caps", "inputs", "mounts", "parts", "values")

    def __init__(
        self,
        values: Values | LazyValues,
        args: bytes,
        mounts: list[BoundMount],
        parts: ExecParts,
        constraints: Constraints | None,
        frame: Frame | None,
    ) -> None:
        super().__init__(constraints, frame)
        self.values = values
        self.args = args
        self.mounts = mounts
        self.parts = parts
        self.caps = parts.caps | Cap.EXEC_BASE
        index = 0
        inputs: list[Output] = []
        for mount in mounts:
            if not mount.why:
                mount.index = index
                index += 1
            self.caps |= mount.caps
            if mount.source is not None and mount.source not in inputs:
                inputs.append(mount.source)
        self.inputs = tuple(inputs)
        if constraints is not None and constraints.metadata is not None and constraints.metadata.resources:
            self.caps |= Cap.EXEC_LINUX_RESOURCES
        # Encoded here as if different inputs had different digests; see encode.
        self.body = None if isinstance(values, LazyValues) else self._body(values, self._numbers(self.inputs))

    def deps(self) -> list[Node]:
        """The nodes it takes input from."""
        return [node for node, _ in self.inputs]

    def lazy_values(self) -> list[LazyValues]:
        """Settings that must be known first."""
        return [self.values] if isinstance(self.values, LazyValues) else []

    def output_platform(self) -> Platform | None:
        """The platform that was asked for."""
        return self.constraints.platform if self.constraints is not None else None

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes, and what they need."""
        given = [m.input(node, index) for node, index in self.inputs]
        values = m.values(self.values)
        caps = self.caps
        if values.more.network:
            caps |= Cap.EXEC_NETWORK
        if values.more.security:
            caps |= Cap.EXEC_SECURITY
        if values.more.ulimits:
            caps |= Cap.EXEC_ULIMIT
        env = values.env
        if m.caps is not None:
            if m.caps.supports("exec.meta.setsdefaultpath"):
                caps |= Cap.EXEC_SETS_DEFAULT_PATH
            elif m.default_platform.os != "windows":
                env = self._env(values).with_default("PATH", _DEFAULT_PATH)
        body = self.body
        if (len(given) > 1 and len(set(given)) != len(given)) or None in given:
            # Two nodes are the same op, or a deferred state is empty: the inputs have other numbers.
            distinct = [one for one in dict.fromkeys(given) if one is not None]
            places = {
                source: -1 if one is None else distinct.index(one)
                for source, one in zip(self.inputs, given, strict=True)
            }
            body = self._body(
                values, [-1 if b.source is None else places[b.source] for b in self.mounts], env
            )
            given = list(distinct)
        elif body is None or env is not values.env:
            body = self._body(values, self._numbers(self.inputs), env)
        platform = self.output_platform() or values.platform
        return b"".join((*given, m.platform(platform), m.filters(self.constraints), body)), caps  # type: ignore[arg-type]

    def label(self) -> str:
        """What it is, in a few words."""
        words = []
        rest = self.args
        while rest:
            size, start, shift = 0, 1, 0
            while True:
                size |= (rest[start] & 0x7F) << shift
                shift += 7
                start += 1
                if rest[start - 1] < 0x80:
                    break
            words.append(rest[start : start + size].decode())
            rest = rest[start + size :]
        return " ".join(words[2:] if tuple(words[:2]) == SHELL else words)

    def mount_at(self, target: str) -> BoundMount:
        """The mount whose result is asked for.

        Raises:
            DefinitionError: there is none there, or it gives nothing back.
        """
        wanted = mount_target(target)[1]
        found = next((b for b in self.mounts if mount_target(b.target)[1] == wanted), None)
        if found is not None and not found.why:
            return found
        why = (
            f"the mount at {target!r} {found.why}"
            if found is not None
            else f"nothing is mounted at {target!r}"
        )
        writable = ", ".join(repr(b.target) for b in self.mounts if not b.why) or "none"
        raise DefinitionError(f"{why}, so there is nothing to read back; writable mounts: {writable}")

    def _numbers(self, inputs: Sequence[Output]) -> list[int]:
        return [-1 if mount.source is None else inputs.index(mount.source) for mount in self.mounts]

    def _env(self, values: Values) -> Env:
        if self.parts.socket and "SSH_AUTH_SOCK" not in values.env.table():
            return values.env.with_items((encode_item("SSH_AUTH_SOCK", self.parts.socket),))
        return values.env

    def _body(self, values: Values, numbers: Sequence[int], env: Env | None = None) -> bytes:
        """The field ``Op.exec``."""
        parts, more = self.parts, values.more
        head, rest = values.tail()
        if env is None or env is values.env:
            env = self._env(values)
        meta = b"".join((self.args, env.encoded(), head, parts.proxy, rest, parts.exit_codes))
        if len(numbers) == 1:
            mounts = self.mounts[0].encode(numbers[0])
        else:
            mounts = b"".join(
                [mount.encode(number) for mount, number in zip(self.mounts, numbers, strict=True)]
            )
        mode = bytes((0x18, more.network)) if more.network else b""
        mode += bytes((0x20, more.security)) if more.security else b""
        op = b"".join(
            (
                b"\n",
                varint(len(meta)),
                meta,
                mounts,
                parts.client_mounts,
                mode,
                parts.secret_env,
                parts.devices,
            )
        )
        return b"\x12" + varint(len(op)) + op


def bind(target: str, mount: Mount) -> BoundMount:
    """A state, or another mount that has a place among the op's outputs, at its target."""
    if isinstance(mount, TmpfsMount):
        return _bind_tmpfs(target, mount)
    if isinstance(mount, CacheMount):
        if mount.base is not None:
            return _bind_based(target, mount)
        return _bind_cache(
            target, mount.id, mount.sharing, mount.selector, mount.readonly, mount.content_cache
        )
    dest = mount_target(target)[0]
    if isinstance(mount, BindMount):
        before, after = encode_options(mount)
        source = mount.source.output
        caps = _mount_caps(mount) | (Cap.MOUNT_BIND if source is not None else 0)
        why = "is read-only" if mount.readonly else "" if mount.output else "was made with output=False"
        return BoundMount(target, source, before + dest, after, caps=caps, why=why, state=mount.source)
    state = cast("State", mount)
    source = state.output
    return BoundMount(target, source, dest, caps=Cap.MOUNT_BIND if source is not None else 0, state=state)


# Mounts without source and output are the same in every command that has them, so they are shared.


@lru_cache(maxsize=1024)
def _bind_tmpfs(target: str, mount: TmpfsMount) -> BoundMount:
    caps = Cap.MOUNT_TMPFS | (Cap.MOUNT_TMPFS_SIZE if mount.size else 0)
    return BoundMount(
        target, None, mount_target(target)[0], encode_tmpfs(mount), caps=caps, why="is in memory"
    )


@lru_cache(maxsize=1024)
def _bind_cache(
    target: str, name: str, sharing: Sharing, selector: str, readonly: bool, content_cache: ContentCache
) -> BoundMount:
    return _bind_based(target, CacheMount(name, sharing, None, selector, readonly, content_cache))


def _bind_based(target: str, mount: CacheMount) -> BoundMount:
    before, after = encode_options(mount)
    source = mount.base.output if mount.base is not None else None
    caps = _mount_caps(mount) | Cap.MOUNT_CACHE | Cap.MOUNT_CACHE_SHARING
    return BoundMount(target, source, before + mount_target(target)[0], after, caps=caps, why="is a cache")


def bind_root(state: State, readonly: bool) -> BoundMount:
    """The mount of the state that a command runs in."""
    source = state.output
    caps = Cap.MOUNT_BIND if source is not None else 0
    if readonly:
        return BoundMount("/", source, _ROOT_DEST, b"\x28\x01", caps=caps, why="is read-only", state=state)
    return BoundMount("/", source, _ROOT_DEST, caps=caps, state=state)


def _mount_caps(mount: BindMount | CacheMount) -> int:
    caps = Cap.MOUNT_SELECTOR if mount.selector else 0
    return caps if mount.content_cache == "default" else caps | Cap.MOUNT_CONTENT_CACHE
