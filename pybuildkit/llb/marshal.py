"""From a state to a definition: every op encoded once, inputs first (§3.7).

Linear in the graph: nodes are visited once, in a loop and not by recursion, and each joins what it encoded
when it was made. The order of ops is Go's: depth first, in the order in which Go asks a vertex for its
inputs.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pybuildkit._values import replace
from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError
from pybuildkit.llb import _caps
from pybuildkit.llb._caps import Cap
from pybuildkit.llb._locations import Locations
from pybuildkit.llb.definitions import Definition, LocalSource
from pybuildkit.llb.imported import ImportedNode
from pybuildkit.llb.metadata import OpMetadata
from pybuildkit.llb.nodes import Deferred, LazyValues, Node
from pybuildkit.llb.options import Constraints, encode_filters, encode_platform
from pybuildkit.llb.resolve import ImageDeferred, ImageQuery
from pybuildkit.llb.values import Values
from pybuildkit.platforms import Platform

if TYPE_CHECKING:
    from pybuildkit.llb.caps import CapSet
    from pybuildkit.llb.resolve import ImageResolver
    from pybuildkit.llb.state import State

__all__ = ["Marshaler"]

_TERMINAL = Cap.CONSTRAINTS | Cap.PLATFORM
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class Marshaler:
    """One marshal.

    Args:
        constraints: options for every op.
        resolver: looks up images.
        caps: what the daemon can do; None when that is not known.
        unique_id: what tells this build's local folders from another's; random when empty.
        frames: whether Python lines go into the source map.
    """

    def __init__(
        self,
        constraints: Constraints | None = None,
        *,
        resolver: ImageResolver | None = None,
        caps: CapSet | None = None,
        unique_id: str = "",
        frames: bool = True,
    ) -> None:
        made = constraints or Constraints()
        if made.locations is not None:
            raise DefinitionError("location= belongs to one op, it can not be given to marshal")
        self.default_platform = made.platform or _usual_platform()
        self.resolver = resolver
        self.caps = caps
        self.unique_id = unique_id or "".join(secrets.choice(_ALPHABET) for _ in range(25))
        self.frames = frames
        self._base_metadata = made.metadata
        self._platforms: dict[Platform, bytes] = {}
        self._base_filters = made.filters
        self._filters = encode_filters(made.filters)
        self._locals: dict[str, LocalSource] = {}
        # Encoded digests of the nodes that are done; a deferred node's is empty and its state has the answer.
        self._done: dict[Node, bytes] = {}
        self._states: dict[Deferred, State] = {}
        self._values: dict[LazyValues, Values] = {}
        self._ops: dict[str, bytes] = {}
        self._metadata: dict[str, int | OpMetadata] = {}
        self._locations = Locations()

    # ---- what nodes ask for

    def input(self, node: Node, index: int) -> bytes | None:
        """The field ``Op.inputs`` for an output of a node that is done; None for an empty deferred state."""
        digest = self._done[node]
        while not digest:
            assert isinstance(node, Deferred)
            output = self._states[node].output
            if output is None:
                return None
            node, index = output
            digest = self._done[node]
        if not index:
            return b"\nI\nG" + digest
        number = varint(index)
        return b"\n" + bytes((74 + len(number),)) + b"\nG" + digest + b"\x10" + number

    def platform(self, platform: Platform | None) -> bytes:
        """The field ``Op.platform``, the build's default when the op has none (L58)."""
        platform = platform or self.default_platform
        encoded = self._platforms.get(platform)
        if encoded is None:
            encoded = self._platforms[platform] = encode_platform(platform)
        return encoded

    def filters(self, constraints: Constraints | None) -> bytes:
        """The field ``Op.constraints``: the marshal's filters, then the op's own (L81)."""
        if constraints is None or not constraints.filters:
            return self._filters
        return encode_filters((*self._base_filters, *constraints.filters))

    def values(self, settings: Values | LazyValues) -> Values:
        """Settings that are known now.

        Raises:
            DefinitionError: an image that they build on can not be looked up, or they build on themselves.
        """
        if not isinstance(settings, LazyValues):
            return settings
        stack = [settings]
        while stack:
            current = stack[-1]
            below = self.state_of(current.root()).settings
            if isinstance(below, LazyValues) and below not in self._values:
                if below in stack:
                    raise DefinitionError(f"{current.root()!r} needs its own result, which can not be")
                stack.append(below)
                continue
            stack.pop()
            concrete = self._values[below] if isinstance(below, LazyValues) else below
            self._values[current] = current.resolve(lambda _, found=concrete: found)  # type: ignore[misc]
        return self._values[settings]

    def state_of(self, node: Deferred) -> State:
        """The state of a deferred node.

        Raises:
            DefinitionError: its function gave something else.
        """
        state = self._states.get(node)
        if state is None:
            state = node.make(self)
            if not hasattr(state, "settings"):
                raise DefinitionError(
                    f"a deferred state is {state!r}, a {type(state).__name__}; its function must give a State"
                )
            self._states[node] = state
        return state

    def add_local(self, name: str, source: object) -> None:
        """Note a folder that the client must sync.

        Raises:
            DefinitionError: another one has the same name.
        """
        known = self._locals.setdefault(name, LocalSource(name, source))
        if known.source is None and source is not None:
            self._locals[name] = LocalSource(name, source)
        elif source is not None and known.source is not source and known.source != source:
            raise DefinitionError(
                f"local name {name!r} stands for {known.source!r} and for {source!r}, give one another name="
            )

    # ---- the walk

    def marshal(self, state: State) -> Definition:
        """The definition of a state.

        Raises:
            DefinitionError: the graph can not work.
        """
        if state.output is None:
            return Definition()
        for node in self._walk(state.output[0]):
            if isinstance(node, ImportedNode):
                self._add_imported(node)
            else:
                self._add(node)
        terminal = self.input(*state.output)
        if terminal is None:
            return Definition()
        digest = self._digest(terminal).decode()
        self._ops[digest] = terminal
        metadata = {key: _encode_metadata(value) for key, value in self._metadata.items()}
        metadata[digest] = _caps.encode(_TERMINAL | _metadata_caps(self._metadata.values()))
        source = self._locations.build(self)
        return Definition(tuple(self._ops.values()), tuple(self._ops), metadata, source, self._locals)

    def queries(self, state: State) -> set[ImageQuery]:
        """The images that must be looked up, as far as can be said with what the resolver knows already."""
        wanted: set[ImageQuery] = set()
        seen: set[Node] = set()
        stack: list[Node] = [] if state.output is None else [state.output[0]]
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            stack.extend(settings.root() for settings in node.lazy_values())
            if not isinstance(node, Deferred):
                stack.extend(node.deps())
                continue
            if isinstance(node, ImageDeferred) and node.resolver is None:
                wanted.add(node.query(self))
                continue
            made = self.state_of(node)
            if made.output is not None:
                stack.append(made.output[0])
            if isinstance(made.settings, LazyValues):
                stack.append(made.settings.root())
        return wanted

    def nested(self, state: State) -> Definition:
        """The definition of another state, for a source map, with the same options."""
        made = Constraints(self.default_platform, self._base_filters, self._base_metadata)
        other = Marshaler(
            made, resolver=self.resolver, caps=self.caps, unique_id=self.unique_id, frames=False
        )
        return other.marshal(state)

    def _walk(self, root: Node) -> Iterator[Node]:
        """Nodes, each behind its inputs; the caller has to make each one done."""
        done = self._done
        opened: set[Node] = set()
        stack = [root]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            if isinstance(node, Deferred):
                output = self.state_of(node).output
                pending = [output[0]] if output is not None and output[0] not in done else []
                if pending and node in opened:
                    raise DefinitionError(f"{node!r} needs its own result, which can not be")
                opened.add(node)
            else:
                pending = [dep for dep in node.deps() if dep not in done]
            if pending:
                pending.reverse()
                stack += pending
                continue
            stack.pop()
            if isinstance(node, Deferred):
                done[node] = b""
            else:
                yield node

    def _add(self, node: Node) -> None:
        op, caps = node.encode(self)
        digest = b"sha256:" + hashlib.sha256(op).hexdigest().encode()
        self._done[node] = digest
        key = digest.decode()
        self._ops.setdefault(key, op)
        constraints = node.constraints
        entry: int | OpMetadata = caps
        if self._base_metadata is not None or (constraints is not None and constraints.metadata is not None):
            entry = self._base_metadata or OpMetadata()
            if constraints is not None and constraints.metadata is not None:
                entry = entry.merged(constraints.metadata)
            entry = entry.with_caps(_caps.names(caps))
        known = self._metadata.get(key)
        self._metadata[key] = entry if known is None else _merge(known, entry)
        if constraints is not None and constraints.locations is not None:
            self._locations.add(key, constraints.locations)
        else:
            self._locations.add_frame(key, node.frame if self.frames else None)

    def _add_imported(self, node: ImportedNode) -> None:
        self._done[node] = node.digest.encode()
        self._ops.setdefault(node.digest, node.op)
        known = self._metadata.get(node.digest)
        self._metadata[node.digest] = node.metadata if known is None else _merge(known, node.metadata)
        self._locations.add(node.digest, node.locations)
        if node.local:
            self._locals.setdefault(node.local, LocalSource(node.local, None))

    @staticmethod
    def _digest(op: bytes) -> bytes:
        return b"sha256:" + hashlib.sha256(op).hexdigest().encode()


def _usual_platform() -> Platform:
    """This machine's platform, as in Go (§3.7 item 1); but containers on a Mac are Linux."""
    host = Platform.host().normalized()
    return replace(host, os="linux") if host.os == "darwin" else host


def _merge(known: int | OpMetadata, more: int | OpMetadata) -> int | OpMetadata:
    """The metadata of two vertices that are the same op (L85)."""
    if isinstance(known, int):
        if isinstance(more, int):
            return known | more
        known = OpMetadata(caps=_caps.names(known))
    if isinstance(more, int):
        more = OpMetadata(caps=_caps.names(more))
    return known.merged(more)


def _encode_metadata(value: int | OpMetadata) -> bytes:
    return _caps.encode(value) if isinstance(value, int) else value.encode()


def _metadata_caps(values: Iterable[int | OpMetadata]) -> int:
    """What the whole definition needs because of its metadata; the last op says it (L86)."""
    caps = 0
    for value in values:
        if not isinstance(value, int):
            caps |= Cap.META_IGNORE_CACHE if value.ignore_cache else 0
            caps |= Cap.META_DESCRIPTION if value.description else 0
            caps |= Cap.META_EXPORT_CACHE if value.export_cache is not None else 0
    return caps
