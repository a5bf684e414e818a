"""File actions one by one: their options, the checks of them, and their bytes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._encode import (
    INT32_MAX,
    INT64_MAX,
    MINUS_ONE,
    UINT32_MAX,
    check_bool,
    check_int,
    check_text,
    field,
    text_field,
    texts,
)
from pybuildkit.llb._paths import clean, join, normalize

if TYPE_CHECKING:
    from pybuildkit.llb.files import FileResult
    from pybuildkit.llb.state import State

Chown: TypeAlias = str | int | tuple[str | int | None, str | int]
CreatedTime: TypeAlias = dt.datetime | int

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WILDCARDS = frozenset("*?[")


class OwnerOptions(TypedDict, total=False):
    """Options of actions that make a file.

    Attributes:
        chown: its owner: ``"user"``, ``"user:group"``, an id, or a pair, of which the user may be None. Names
            are looked up in the state's own ``/etc/passwd`` and ``/etc/group``.
        created_time: its time: an aware ``datetime``, or nanoseconds since 1970 as ``time.time_ns`` gives.
    """

    chown: Chown
    created_time: CreatedTime


class MkdirOptions(OwnerOptions, total=False):
    """Options of ``mkdir``. ``parents`` makes missing parents too."""

    parents: bool


class RmOptions(TypedDict, total=False):
    """Options of ``rm``.

    Attributes:
        allow_not_found: it is no failure when there is nothing.
        allow_wildcard: whether ``*``, ``?`` and ``[...]`` match; by default they do when the path holds one.
    """

    allow_not_found: bool
    allow_wildcard: bool


class CopyOptions(OwnerOptions, total=False):
    """Options of ``copy`` (L65).

    Attributes:
        mode: permissions of what is copied, a number or a change as ``u=rwX,go=rX``; kept by default.
        follow_symlinks: copy what symlinks point to.
        contents_only: of a directory, copy what is in it and not itself.
        include: patterns; only what matches one is copied.
        exclude: patterns; what matches one is not copied.
        required_paths: paths that must be there, when ``include`` is given.
        unpack: unpack archives instead of copying them.
        create_dest_path: make missing directories of the target.
        allow_wildcard: whether ``*``, ``?`` and ``[...]`` match; by default they do when the path holds one.
        allow_empty_wildcard: it is no failure when nothing matches.
        replace_existing: replace what is at the target even when its type differs.
    """

    mode: int | str
    follow_symlinks: bool
    contents_only: bool
    include: Iterable[str]
    exclude: Iterable[str]
    required_paths: Iterable[str]
    unpack: bool
    create_dest_path: bool
    allow_wildcard: bool
    allow_empty_wildcard: bool
    replace_existing: bool


# Truth values of CopyOptions with their tags in FileActionCopy.
_COPY_FLAGS = {
    "follow_symlinks": b"\x28\x01",
    "contents_only": b"\x30\x01",
    "unpack": b"\x38\x01",
    "create_dest_path": b"\x40\x01",
    "allow_wildcard": b"\x48\x01",
    "allow_empty_wildcard": b"\x50\x01",
}


class Step:
    """One action, checked. ``source`` is where a copy copies from; other actions have none."""

    __slots__ = ("source",)

    source: State | FileResult | None

    def encode(self, directory: str, base: int, source_directory: str) -> bytes:
        """The member of ``FileAction.action``.

        Args:
            directory: where relative paths start.
            base: the number of the input in which names of users are looked up.
            source_directory: where relative source paths of a copy start.
        """
        raise NotImplementedError


class Mkdir(Step):
    __slots__ = ("mode", "owner", "parents", "path", "time")

    def __init__(self, path: str, mode: int, parents: bool, options: OwnerOptions) -> None:
        self.source = None
        self.path = check_text(path, "path")
        self.mode = _check_mode(mode)
        self.parents = check_bool(parents, "parents")
        self.owner = Owner.parse(options.get("chown"))
        self.time = _time(options.get("created_time"))

    def encode(self, directory: str, base: int, source_directory: str) -> bytes:
        body = field(b"\n", normalize(directory, self.path).encode()) + _number(b"\x10", self.mode)
        body += b"\x18\x01" if self.parents else b""
        return field(b"\x32", body + _encode_owner(b"\x22", self.owner, base) + _number(b"\x28", self.time))


class Mkfile(Step):
    __slots__ = ("data", "mode", "owner", "path", "time")

    def __init__(self, path: str, data: bytes | str, mode: int, options: OwnerOptions) -> None:
        self.source = None
        self.path = check_text(path, "path")
        self.data = _check_data(data, path)
        self.mode = _check_mode(mode)
        self.owner = Owner.parse(options.get("chown"))
        self.time = _time(options.get("created_time"))

    def encode(self, directory: str, base: int, source_directory: str) -> bytes:
        body = field(b"\n", normalize(directory, self.path).encode()) + _number(b"\x10", self.mode)
        body += field(b"\x1a", self.data) if self.data else b""
        return field(b"\x2a", body + _encode_owner(b"\x22", self.owner, base) + _number(b"\x28", self.time))


class Symlink(Step):
    __slots__ = ("owner", "path", "target", "time")

    def __init__(self, target: str, path: str, options: OwnerOptions) -> None:
        self.source = None
        self.target = check_text(target, "symlink target")
        self.path = check_text(path, "symlink path")
        self.owner = Owner.parse(options.get("chown"))
        self.time = _time(options.get("created_time"))

    def encode(self, directory: str, base: int, source_directory: str) -> bytes:
        body = field(b"\n", self.target.encode()) + field(b"\x12", self.path.encode())
        return field(b"\x42", body + _encode_owner(b"\x1a", self.owner, base) + _number(b"\x20", self.time))


class Rm(Step):
    __slots__ = ("flags", "path")

    def __init__(self, path: str, options: RmOptions) -> None:
        self.source = None
        self.path = check_text(path, "path")
        found = check_bool(options.get("allow_not_found", False), "allow_not_found")
        wildcard = check_bool(
            options.get("allow_wildcard", not _WILDCARDS.isdisjoint(path)), "allow_wildcard"
        )
        self.flags = (b"\x10\x01" if found else b"") + (b"\x18\x01" if wildcard else b"")

    def encode(self, directory: str, base: int, source_directory: str) -> bytes:
        return field(b"\x3a", field(b"\n", normalize(directory, self.path).encode()) + self.flags)


class Copy(Step):
    __slots__ = ("dest", "flags", "lists", "mode", "owner", "src")

    def __init__(self, source: State | FileResult, src: str, dest: str, options: CopyOptions) -> None:
        self.source = source
        self.src = check_text(src, "copy src", empty=True)
        self.dest = check_text(dest, "copy dest", empty=True)
        self.owner = Owner.parse(options.get("chown"))
        values: dict[str, Any] = {"allow_wildcard": not _WILDCARDS.isdisjoint(src), **options}
        flags = [tag for name, tag in _COPY_FLAGS.items() if check_bool(values.get(name, False), name)]
        self.flags = b"".join(flags) + _number(b"\x58", _time(options.get("created_time")))
        self.lists = _patterns(b"\x62", options.get("include", ()), "include pattern")
        self.lists += _patterns(b"\x6a", options.get("exclude", ()), "exclude pattern")
        self.lists += (
            b"\x70\x01" if check_bool(options.get("replace_existing", False), "replace_existing") else b""
        )
        mode = options.get("mode", -1)
        self.mode = b""
        if isinstance(mode, str):
            self.lists += field(b"\x7a", check_text(mode, "mode").encode())
        else:
            self.mode = _number(
                b"\x20", -1 if "mode" not in options else check_int(mode, "mode", 0, INT32_MAX)
            )
        self.lists += _patterns(b"\x82\x01", options.get("required_paths", ()), "required path")

    def encode(self, directory: str, base: int, source_directory: str) -> bytes:
        src = clean(self.src)
        body = field(b"\n", join("/" if src.startswith("/") else source_directory, src).encode())
        body += field(b"\x12", normalize(directory, self.dest, keep_slash=True).encode())
        return field(
            b"\x22", body + _encode_owner(b"\x1a", self.owner, base) + self.mode + self.flags + self.lists
        )


class Owner:
    """A ``ChownOpt``; each half an id, a name, or missing."""

    __slots__ = ("group", "user")

    def __init__(self, user: int | str | None, group: int | str | None) -> None:
        self.user = user
        self.group = group

    @classmethod
    def parse(cls, value: Chown | None) -> Owner | None:
        """Read an owner; ``root`` and digits are ids (L67).

        Raises:
            DefinitionError: it is none.
        """
        if value is None:
            return None
        if isinstance(value, str):
            user, colon, group = check_text(value, "chown").partition(":")
            return cls(_user(user, value), _user(group, value) if colon else None)
        if isinstance(value, tuple) and len(value) == 2:
            return cls(None if value[0] is None else _user(value[0], value), _user(value[1], value))
        return cls(_user(value, value), None)


def _user(value: str | int, whole: object) -> int | str:
    if value == "root":
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, str):
        if not value or value.startswith(("-", "+")):
            raise DefinitionError(f"chown {whole!r} is no owner, write user, user:group, or ids")
        return check_text(value, "chown")
    return check_int(value, f"chown {whole!r}: id", 0, UINT32_MAX)


def _encode_owner(tag: bytes, owner: Owner | None, base: int) -> bytes:
    if owner is None:
        return b""
    body = b"" if owner.user is None else field(b"\n", _encode_user(owner.user, base))
    return field(tag, body if owner.group is None else body + field(b"\x12", _encode_user(owner.group, base)))


def _encode_user(user: int | str, base: int) -> bytes:
    if isinstance(user, int):
        return b"\x10" + varint(user)  # a member of a oneof is written even when it is zero
    return field(b"\n", text_field(b"\n", user, "chown") + _number(b"\x10", base))


def _number(tag: bytes, value: int) -> bytes:
    if value == -1:
        return tag + MINUS_ONE
    return tag + varint(value) if value else b""


def _patterns(tag: bytes, values: Iterable[str], what: str) -> bytes:
    return b"".join([field(tag, value.encode()) for value in texts(values, what)])


def _time(value: CreatedTime | None) -> int:
    """Nanoseconds since 1970; -1 when the daemon shall choose (L61)."""
    if value is None:
        return -1
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise DefinitionError(
                f"created_time {value!r} has no time zone, use datetime(..., tzinfo=dt.UTC)"
            )
        value = (value - _EPOCH) // dt.timedelta(microseconds=1) * 1000
    return check_int(value, "created_time", -INT64_MAX - 1, INT64_MAX)


def _check_mode(mode: int) -> int:
    if check_int(mode, "mode", 0, INT32_MAX) & ~0o777:
        raise DefinitionError(
            f"mode {mode:#o} has more than permission bits, which this action can not set: at most 0o777"
        )
    return mode


def _check_data(data: bytes | str, path: str) -> bytes:
    try:
        encoded = data.encode() if isinstance(data, str) else data
    except UnicodeEncodeError:
        raise DefinitionError(
            f"content of {path!r} is not valid Unicode: it holds a lone surrogate"
        ) from None
    if not isinstance(encoded, bytes):
        raise DefinitionError(f"content of {path!r} is a {type(data).__name__}, give bytes or a str")
    return encoded


def check_state(state: State, what: str) -> State:
    """The same state, checked.

    Raises:
        DefinitionError: it is no state.
    """
    if not hasattr(state, "settings"):
        raise DefinitionError(f"{what} {state!r} is a {type(state).__name__}, give a State")
    return state


def check_options(options: Mapping[str, Any], kind: type, where: str) -> None:
    """Refuse options that an action does not have, as a call with a wrong keyword is refused.

    Raises:
        TypeError: there is no such option.
    """
    for name in options:
        if name not in kind.__annotations__:
            raise TypeError(f"{where} has no option {name!r}")
