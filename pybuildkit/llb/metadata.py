"""What is said of an op beside the op: how its step runs and is shown, never its digest (L74 to L86)."""

from __future__ import annotations

from collections.abc import Mapping

from pybuildkit._values import dataclass, field, replace
from pybuildkit._wire import fields, signed, varint
from pybuildkit.errors import DefinitionError
from pybuildkit.events import ProgressGroup
from pybuildkit.llb import _caps
from pybuildkit.llb._encode import (
    INT64_MAX,
    UINT64_MAX,
    check_int,
    map_strings,
    text,
    text_field,
)
from pybuildkit.llb._encode import (
    field as encode_field,
)

__all__ = ["OpMetadata", "ProgressGroup", "Resources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits of a step's container; they do not change its cache key (L78). Zero or empty means unlimited.

    Attributes:
        memory: bytes of memory.
        memory_swap: bytes of memory and swap together.
        cpu_shares: relative weight, 1024 being the usual one.
        cpu_period: the scheduler's period in microseconds.
        cpu_quota: microseconds of CPU time in a period.
        cpuset_cpus: the CPUs, as ``0-3``.
        cpuset_mems: the memory nodes, as ``0,1``.
    """

    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""

    def __post_init__(self) -> None:
        for name in ("memory", "memory_swap", "cpu_quota"):
            check_int(getattr(self, name), name, -INT64_MAX - 1)
        for name in ("cpu_shares", "cpu_period"):
            check_int(getattr(self, name), name, 0, UINT64_MAX)
        for name in ("cpuset_cpus", "cpuset_mems"):
            text(getattr(self, name), name)

    def encode(self) -> bytes:
        """The message ``LinuxResources``."""
        numbers = (self.memory, self.memory_swap, self.cpu_shares, self.cpu_period, self.cpu_quota)
        out = [varint(n << 3) + varint(value) for n, value in enumerate(numbers, 1) if value]
        out.append(text_field(b"\x32", self.cpuset_cpus, "cpuset_cpus"))
        out.append(text_field(b"\x3a", self.cpuset_mems, "cpuset_mems"))
        return b"".join(out)

    @classmethod
    def decode(cls, data: bytes) -> Resources:
        """Read a message ``LinuxResources``."""
        found = dict(fields(data))

        def number(n: int) -> int:
            value = found.get(n, 0)
            return value if isinstance(value, int) else 0

        def string(n: int) -> str:
            value = found.get(n, b"")
            return value.decode() if isinstance(value, bytes) else ""

        return cls(
            memory=signed(number(1)),
            memory_swap=signed(number(2)),
            cpu_shares=number(3),
            cpu_period=number(4),
            cpu_quota=signed(number(5)),
            cpuset_cpus=string(6),
            cpuset_mems=string(7),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpMetadata:
    """The metadata of one op in a definition.

    Attributes:
        ignore_cache: the step runs even when its result is cached.
        description: free texts; ``llb.customname`` is what progress shows as the step's name.
        export_cache: whether its result goes into exported caches; None leaves that to the build.
        caps: ids of the daemon's features that the op needs.
        progress_group: the group it is shown in.
        resources: limits of its container.
    """

    ignore_cache: bool = False
    description: Mapping[str, str] = field(default_factory=dict)
    export_cache: bool | None = None
    caps: frozenset[str] = frozenset()
    progress_group: ProgressGroup | None = None
    resources: Resources | None = None

    @property
    def name(self) -> str:
        """The custom name, empty when there is none."""
        return self.description.get("llb.customname", "")

    def merged(self, other: OpMetadata) -> OpMetadata:
        """This, with the other's values laid over it (L85)."""
        return OpMetadata(
            ignore_cache=self.ignore_cache or other.ignore_cache,
            description={**self.description, **other.description},
            export_cache=self.export_cache if other.export_cache is None else other.export_cache,
            caps=self.caps | other.caps,
            progress_group=other.progress_group or self.progress_group,
            resources=other.resources or self.resources,
        )

    def with_caps(self, caps: frozenset[str]) -> OpMetadata:
        """This, with more capabilities."""
        return replace(self, caps=self.caps | caps)

    def encode(self) -> bytes:
        """The message ``OpMetadata``, maps sorted by key."""
        out = [b"\x08\x01"] if self.ignore_cache else []
        out.append(map_strings(b"\x12", {key: value.encode() for key, value in self.description.items()}))
        if self.export_cache is not None:
            out.append(b"\x22\x02\x08\x01" if self.export_cache else b"\x22\x00")
        out.append(_caps.encode_names(self.caps))
        if (group := self.progress_group) is not None:
            body = text_field(b"\n", group.id, "progress group id")
            body += text_field(b"\x12", group.name, "progress group name")
            out.append(encode_field(b"\x32", body + (b"\x18\x01" if group.weak else b"")))
        if self.resources is not None:
            out.append(encode_field(b"\x3a", self.resources.encode()))
        return b"".join(out)

    @classmethod
    def decode(cls, data: bytes) -> OpMetadata:
        """Read a message ``OpMetadata``.

        Raises:
            ProtoDecodeError: it is none.
        """
        ignore_cache, description, caps = False, dict[str, str](), set[str]()
        export_cache: bool | None = None
        group: ProgressGroup | None = None
        resources: Resources | None = None
        for number, value in fields(data):
            if isinstance(value, int):
                ignore_cache = bool(value) if number == 1 else ignore_cache
            elif number == 2:
                entry = dict(fields(value))
                description[_string(entry.get(1, b""))] = _string(entry.get(2, b""))
            elif number == 4:
                export_cache = bool(dict(fields(value)).get(1, 0))
            elif number == 5:
                caps.add(_string(dict(fields(value)).get(1, b"")))
            elif number == 6:
                entry = dict(fields(value))
                group = ProgressGroup(
                    _string(entry.get(1, b"")), _string(entry.get(2, b"")), bool(entry.get(3, 0))
                )
            elif number == 7:
                resources = Resources.decode(value)
        return cls(
            ignore_cache=ignore_cache,
            description=description,
            export_cache=export_cache,
            caps=frozenset(caps),
            progress_group=group,
            resources=resources,
        )


def _string(value: int | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def check_description(description: Mapping[str, str]) -> dict[str, str]:
    """A copy of a description, checked.

    Raises:
        DefinitionError: it is no mapping of texts.
    """
    if not isinstance(description, Mapping):
        raise DefinitionError(
            f"description {description!r} is a {type(description).__name__}, give a dict of str"
        )
    for key, value in description.items():
        text(key, "description key")
        text(value, f"description {key!r}")
    return dict(description)
