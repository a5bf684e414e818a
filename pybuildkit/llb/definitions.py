"""``Definition``: a graph as the daemon takes it, ops and what is said of them (§3.7, L89)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pybuildkit._values import dataclass, field
from pybuildkit._wire import ProtoDecodeError, fields, signed, varint
from pybuildkit.errors import DefinitionError
from pybuildkit.events import Position, Range, SourceInfo
from pybuildkit.llb._encode import field as encode_field
from pybuildkit.llb.metadata import OpMetadata
from pybuildkit.llb.sourcemap import SourceLocation, SourceMap

if TYPE_CHECKING:
    from pybuildkit.llb.caps import CapSet

__all__ = ["Definition", "LocalSource", "SourceTable"]


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A folder that a definition takes from the client.

    Attributes:
        name: its name in the build.
        source: a path or a tree of files; None when ``solve(locals=...)`` must give it.
    """

    name: str
    source: object = None


@dataclass(frozen=True, slots=True)
class SourceTable:
    """The source files of a definition, and where in them each op comes from.

    Attributes:
        infos: the files.
        places: encoded ``Locations`` by the op's digest.
    """

    infos: tuple[SourceInfo, ...] = ()
    places: Mapping[str, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The message ``Source``."""
        out = [_entry(b"\n", digest, self.places[digest]) for digest in sorted(self.places)]
        for info in self.infos:
            body = _bytes(b"\n", info.filename.encode(errors="replace")) + _bytes(b"\x12", info.data)
            body += _bytes(b"\x1a", info.definition) + _bytes(b"\x22", info.language.encode())
            out.append(encode_field(b"\x12", body))
        return b"".join(out)

    @classmethod
    def decode(cls, data: bytes) -> SourceTable:
        """Read a message ``Source``."""
        infos: list[SourceInfo] = []
        places: dict[str, bytes] = {}
        for number, value in fields(data):
            if number == 1:
                key, body = _read_entry(value)
                places[key] = body
            elif number == 2:
                found = dict(fields(_message(value)))
                name, content, definition, language = (_message(found.get(n, b"")) for n in (1, 2, 3, 4))
                infos.append(SourceInfo(name.decode(), content, language.decode(), definition))
        return cls(tuple(infos), places)

    def locations(self, digest: str) -> tuple[SourceLocation, ...]:
        """Where an op comes from.

        Raises:
            DefinitionError: the table names a file that it does not have.
        """
        found = []
        for _, value in fields(self.places.get(digest, b"")):
            index, ranges = 0, []
            for number, part in fields(_message(value)):
                if number == 1 and isinstance(part, int):
                    index = part
                elif number == 2:
                    ranges.append(_read_range(_message(part)))
            if not 0 <= index < len(self.infos):
                raise DefinitionError(
                    f"the source map of {digest} names file {index}, there are {len(self.infos)}"
                )
            info = self.infos[index]
            nested = Definition.from_bytes(info.definition) if info.definition else None
            found.append(
                SourceLocation(SourceMap(info.filename, info.data, info.language, nested), tuple(ranges))
            )
        return tuple(found)


class Definition:
    """A graph as the daemon takes it. Never changed once made.

    Attributes:
        ops: the encoded ops; the last one names the result.
        digests: their digests, in the same order.
        locals: the folders that the client must sync, by name.
    """

    __slots__ = ("_decoded", "_metadata", "_source", "digests", "locals", "ops")

    ops: tuple[bytes, ...]
    digests: tuple[str, ...]
    locals: Mapping[str, LocalSource]
    _metadata: dict[str, bytes]
    _source: SourceTable | None
    _decoded: dict[str, OpMetadata]

    def __init__(
        self,
        ops: tuple[bytes, ...] = (),
        digests: tuple[str, ...] | None = None,
        metadata: Mapping[str, bytes] | None = None,
        source: SourceTable | None = None,
        locals: Mapping[str, LocalSource] | None = None,  # noqa: A002 - what they are called
    ) -> None:
        put = object.__setattr__
        put(self, "ops", ops)
        put(self, "digests", _digests(ops) if digests is None else digests)
        put(self, "locals", dict(locals or {}))
        put(self, "_metadata", dict(metadata or {}))
        put(self, "_source", source)
        put(self, "_decoded", {})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} can not be set: a Definition never changes")

    @classmethod
    def from_bytes(cls, data: bytes) -> Definition:
        """Read a ``pb.Definition``, ours or one of Go's ``llb.WriteTo``; ops are kept as they are.

        Raises:
            DefinitionError: it is none.
        """
        try:
            return cls._decode(data)
        except (ProtoDecodeError, UnicodeDecodeError, TypeError) as exc:
            raise DefinitionError(f"{len(data)} bytes are not an LLB definition: {exc}") from exc

    @classmethod
    def _decode(cls, data: bytes) -> Definition:
        ops: list[bytes] = []
        metadata: dict[str, bytes] = {}
        source: SourceTable | None = None
        for number, value in fields(data):
            if number == 1:
                ops.append(_message(value))
            elif number == 2:
                key, body = _read_entry(value)
                metadata[key] = OpMetadata.decode(body).encode()
            elif number == 3:
                source = SourceTable.decode(_message(value))
        return cls(tuple(ops), None, metadata, source, _locals(ops, {}))

    def to_bytes(self) -> bytes:
        """The ``pb.Definition``: always the same bytes for the same definition, maps sorted by key."""
        out = [encode_field(b"\n", op) for op in self.ops]
        out += [_entry(b"\x12", digest, self._metadata[digest]) for digest in sorted(self._metadata)]
        if self._source is not None:
            out.append(encode_field(b"\x1a", self._source.encode()))
        return b"".join(out)

    @property
    def head(self) -> str:
        """The digest of the op that yields the result, empty for an empty definition."""
        from pybuildkit.llb.schema import inputs_of

        inputs = inputs_of(self.ops[-1]) if self.ops else []
        return inputs[0][0] if inputs else ""

    @property
    def metadata(self) -> Mapping[str, OpMetadata]:
        """What is said of each op, by its digest."""
        if not self._decoded:
            self._decoded.update({digest: OpMetadata.decode(data) for digest, data in self._metadata.items()})
        return self._decoded

    def encoded_metadata(self, digest: str) -> bytes:
        """What is said of an op, as the message ``OpMetadata``; empty when nothing is."""
        return self._metadata.get(digest, b"")

    @property
    def files(self) -> tuple[SourceInfo, ...]:
        """The source files that ops come from."""
        return self._source.infos if self._source is not None else ()

    def locations(self, digest: str) -> tuple[SourceLocation, ...]:
        """Where an op comes from: the Python line that made it, or what a frontend said."""
        return self._source.locations(digest) if self._source is not None else ()

    def without_cache(self) -> Definition:
        """The same, with every op to be run even when its result is cached (B24)."""
        ignore = OpMetadata(ignore_cache=True)
        metadata = {d: self.metadata.get(d, OpMetadata()).merged(ignore).encode() for d in self.digests}
        return Definition(self.ops, self.digests, {**self._metadata, **metadata}, self._source, self.locals)

    def part(self, digest: str, index: int = 0) -> Definition:
        """The part of the graph that yields what one of its ops gives.

        Args:
            digest: the op's.
            index: which of the op's results.

        Raises:
            DefinitionError: there is no such op.
        """
        from pybuildkit.llb.schema import inputs_of

        by_digest = dict(zip(self.digests, self.ops, strict=True))
        if digest not in by_digest:
            raise DefinitionError(f"there is no op {digest} in the graph")
        needed = {digest}
        left = [digest]
        while left:
            found = {name for name, _ in inputs_of(by_digest[left.pop()])} - needed
            needed |= found
            left += found
        kept = [name for name in self.digests if name in needed]
        result = encode_field(b"\n", digest.encode()) + (b"\x10" + varint(index) if index else b"")
        ops = (*(by_digest[name] for name in kept), encode_field(b"\n", result))
        metadata = {name: data for name, data in self._metadata.items() if name in needed}
        return Definition(ops, None, metadata, self._source, _locals(ops, self.locals))

    def validate(self, caps: CapSet | None = None) -> None:
        """Check the definition as the daemon would, before anything is sent.

        Args:
            caps: what the daemon can do, to be checked too.

        Raises:
            DefinitionError: it can not work; the text names every problem.
        """
        from pybuildkit.llb.validate import problems

        if found := problems(self, caps):
            raise DefinitionError(
                "the definition can not be solved:\n" + "\n".join(f"- {line}" for line in found)
            )

    def to_dot(self) -> str:
        """The graph for Graphviz."""
        from pybuildkit.llb.dumping import to_dot

        return to_dot(self)

    def to_json(self) -> str:
        """The graph as JSON, one op in a line: what ``buildctl debug dump-llb`` prints, and what it leaves out."""
        from pybuildkit.llb.dumping import to_json

        return to_json(self)

    def __len__(self) -> int:
        """The number of ops."""
        return len(self.ops)

    def __bool__(self) -> bool:
        """Whether there is anything to solve."""
        return bool(self.ops)

    def __eq__(self, other: object) -> bool:
        return self.to_bytes() == other.to_bytes() if isinstance(other, Definition) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digests)

    def __repr__(self) -> str:
        return f"<Definition {self.head[7:19] or 'scratch'}, {len(self.ops)} ops>"


def _locals(ops: Iterable[bytes], known: Mapping[str, LocalSource]) -> dict[str, LocalSource]:
    """The folders that ops read, by name."""
    from pybuildkit.llb.schema import local_name

    names = [name for op in ops if (name := local_name(op))]
    return {name: known.get(name) or LocalSource(name) for name in names}


def _digests(ops: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(["sha256:" + hashlib.sha256(op).hexdigest() for op in ops])


def _entry(tag: bytes, key: str, value: bytes) -> bytes:
    name = key.encode()
    body = b"\n" + varint(len(name)) + name + b"\x12" + varint(len(value)) + value
    return tag + varint(len(body)) + body


def _bytes(tag: bytes, value: bytes) -> bytes:
    return encode_field(tag, value) if value else b""


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtoDecodeError("a number stands where a message or text should be")
    return value


def _read_entry(value: int | bytes) -> tuple[str, bytes]:
    found = dict(fields(_message(value)))
    return _message(found.get(1, b"")).decode(), _message(found.get(2, b""))


def _read_range(data: bytes) -> Range:
    found = dict(fields(data))
    return Range(_read_position(_message(found.get(1, b""))), _read_position(_message(found.get(2, b""))))


def _read_position(data: bytes) -> Position:
    found = {n: signed(value) for n, value in fields(data) if isinstance(value, int)}
    return Position(found.get(1, 0), found.get(2, 0))
