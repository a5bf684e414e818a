"""The vertices of a graph: what all share, sources, and those that are known only later.

A node never changes. What does not depend on a marshal's options is encoded when it is made; ``encode`` adds
the rest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pybuildkit.llb._caps import Cap
from pybuildkit.llb._encode import field, map_strings
from pybuildkit.llb._frames import Frame
from pybuildkit.llb.options import Constraints
from pybuildkit.platforms import Platform

if TYPE_CHECKING:
    from pybuildkit.llb.marshal import Marshaler
    from pybuildkit.llb.state import State
    from pybuildkit.llb.values import Values

__all__ = ["Deferred", "LazyValues", "LocalNode", "Node", "Output", "SourceNode"]


class Node:
    """A vertex."""

    __slots__ = ("constraints", "frame")

    def __init__(self, constraints: Constraints | None, frame: Frame | None) -> None:
        self.constraints = constraints
        self.frame = frame

    def deps(self) -> list[Node]:
        """The nodes it takes input from, in the order in which Go visits them: it decides ``Definition.def``."""
        return []

    def lazy_values(self) -> list[LazyValues]:
        """Settings that must be known before it can be encoded."""
        return []

    def output_platform(self) -> Platform | None:
        """The platform that its result gives to a state (L18)."""
        return None

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes and the capabilities it needs; all its inputs have been encoded."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label()}>"

    def label(self) -> str:
        """What it is, in a few words."""
        return ""


Output = tuple[Node, int]


class SourceNode(Node):
    """Something from outside: an image, a repository, a file (L1 to L9)."""

    __slots__ = ("attrs", "body", "caps", "identifier", "platform_specific")

    def __init__(
        self,
        identifier: str,
        attrs: Mapping[str, bytes],
        caps: int,
        constraints: Constraints | None,
        frame: Frame | None,
    ) -> None:
        super().__init__(constraints, frame)
        self.identifier = identifier
        self.attrs = attrs
        self.caps = caps
        self.platform_specific = identifier.startswith(("docker-image://", "oci-layout://"))
        self.body = encode_source(identifier, attrs)

    def output_platform(self) -> Platform | None:
        """The platform that was asked for."""
        return self.constraints.platform if self.constraints is not None else None

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes, and what they need."""
        platform = m.platform(self.output_platform()) if self.platform_specific else b""
        return platform + m.filters(self.constraints) + self.body, self.caps

    def renamed(self, identifier: str) -> SourceNode:
        """The same with another identifier."""
        return SourceNode(identifier, self.attrs, self.caps, self.constraints, self.frame)

    def label(self) -> str:
        """What it is, in a few words."""
        return self.identifier


class LocalNode(SourceNode):
    """A folder of the client, which gets the build's unique id unless it is bound to a session (L9).

    Attributes:
        name: its name in the build, empty to make one from the folder's path.
        source: what the client syncs: a path or a tree; None when ``solve(locals=...)`` gives it. A path is
            only looked
            at when the graph is marshalled: asking for the current directory can block an event loop.
    """

    __slots__ = ("name", "source")

    def __init__(
        self,
        name: str,
        source: object,
        attrs: Mapping[str, bytes],
        caps: int,
        constraints: Constraints | None,
        frame: Frame | None,
    ) -> None:
        self.name = name
        self.source = source
        super().__init__(f"local://{name or source}", attrs, caps, constraints, frame)

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes, and what they need."""
        source, name = self.source, self.name
        if isinstance(source, str):
            source = os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 - links stay as they are
            name = name or local_name(source)
        attrs, caps = self.attrs, self.caps
        if source is not None or "local.session" not in attrs:
            m.add_local(name, source)
        if "local.session" not in attrs:
            unique = self.constraints.unique_id if self.constraints is not None else ""
            attrs = {**attrs, "local.unique": (unique or m.unique_id).encode()}
            caps |= Cap.LOCAL_UNIQUE
        return m.filters(self.constraints) + encode_source(f"local://{name}", attrs), caps


def local_name(path: str) -> str:
    """A name for a folder: what it is called, and what tells it from others that are called the same."""
    digest = hashlib.sha256(path.encode()).hexdigest()[:12]
    return f"{os.path.basename(path) or 'root'}-{digest}"  # noqa: PTH119


class Deferred(Node):
    """A state that is known only when a graph is marshalled (L19): a function's result, a resolved image.

    Attributes:
        make: gives the state; called once in each marshal.
    """

    __slots__ = ("make",)

    def __init__(self, make: Callable[[Marshaler], State], frame: Frame | None) -> None:
        super().__init__(None, frame)
        self.make = make

    def deps(self) -> list[Node]:
        """The nodes it takes input from."""
        raise NotImplementedError("a deferred node is replaced before its inputs are asked for")

    def label(self) -> str:
        """What it is, in a few words."""
        return "known when marshalled"


class LazyValues:
    """Settings that build on those of a deferred state."""

    __slots__ = ("base", "kind", "value")

    lazy = True

    def __init__(self, base: Deferred | LazyValues, kind: str = "", value: Any = None) -> None:
        self.base = base
        self.kind = kind
        self.value = value

    def change(self, kind: str, value: Any) -> LazyValues:
        """These settings with one of them changed; the value has been checked."""
        return LazyValues(self, kind, value)

    def resolve(self, deferred_values: Callable[[Deferred], Values]) -> Values:
        """The settings, given those of the deferred state."""
        changes: list[LazyValues] = []
        base: Deferred | LazyValues = self
        while isinstance(base, LazyValues):
            changes.append(base)
            base = base.base
        values = deferred_values(base)
        for change in reversed(changes):
            if change.kind:
                values = values.change(change.kind, change.value)
        return values

    def root(self) -> Deferred:
        """The deferred state."""
        base: Deferred | LazyValues = self
        while isinstance(base, LazyValues):
            base = base.base
        return base


def encode_source(identifier: str, attrs: Mapping[str, bytes]) -> bytes:
    """The field ``Op.source``."""
    return field(b"\x1a", field(b"\n", identifier.encode()) + map_strings(b"\x12", attrs))
