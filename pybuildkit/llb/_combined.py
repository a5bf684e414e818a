"""The vertices behind ``merge``, ``diff``, ``passthrough`` and ``build``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._caps import Cap
from pybuildkit.llb._encode import MINUS_ONE, field, map_strings
from pybuildkit.llb._frames import Frame
from pybuildkit.llb.nodes import Node, Output
from pybuildkit.llb.options import Constraints

if TYPE_CHECKING:
    from pybuildkit.llb.marshal import Marshaler


class MergeNode(Node):
    """Layers over one another."""

    __slots__ = ("inputs",)

    def __init__(self, inputs: tuple[Output, ...], made: Constraints | None, frame: Frame | None) -> None:
        super().__init__(made, frame)
        self.inputs = inputs

    def deps(self) -> list[Node]:
        """The nodes it takes input from."""
        return [node for node, _ in self.inputs]

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes, and what they need."""
        given = [one for one in (m.input(node, index) for node, index in self.inputs) if one is not None]
        if len(given) < 2:
            raise DefinitionError(
                "a merge has less than two inputs once its deferred states are known: they are empty"
            )
        # MergeInput holds the input's number; inputs are not made distinct (L10).
        numbers = (b"\n\x00" if not n else field(b"\n", b"\x08" + varint(n)) for n in range(len(given)))
        body = field(b"\x32", b"".join(numbers))
        return b"".join((*given, m.filters(self.constraints), body)), Cap.MERGE_OP

    def label(self) -> str:
        """What it is, in a few words."""
        return f"merge of {len(self.inputs)}"


class DiffNode(Node):
    """What one state has more than another."""

    __slots__ = ("lower", "upper")

    def __init__(
        self, lower: Output, upper: Output | None, made: Constraints | None, frame: Frame | None
    ) -> None:
        super().__init__(made, frame)
        self.lower = lower
        self.upper = upper

    def deps(self) -> list[Node]:
        """The nodes it takes input from."""
        return [self.lower[0]] if self.upper is None else [self.lower[0], self.upper[0]]

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes, and what they need."""
        given: list[bytes] = []
        sides = []
        for tag, side in ((b"\n", self.lower), (b"\x12", self.upper)):
            found = m.input(*side) if side is not None else None
            number = len(given)
            if found is None:
                sides.append(field(tag, b"\x08" + MINUS_ONE))
                continue
            given.append(found)
            sides.append(field(tag, b"\x08" + varint(number) if number else b""))
        return b"".join((*given, m.filters(self.constraints), field(b"\x3a", b"".join(sides)))), Cap.DIFF_OP

    def label(self) -> str:
        """What it is, in a few words."""
        return "diff"


class PassthroughNode(Node):
    """Some of its inputs as they are, once all of them are there."""

    __slots__ = ("id", "inputs", "outputs")

    def __init__(
        self,
        name: str,
        inputs: list[Output],
        outputs: list[int],
        made: Constraints | None,
        frame: Frame | None,
    ) -> None:
        super().__init__(made, frame)
        self.id = name
        self.inputs = inputs
        self.outputs = outputs

    def deps(self) -> list[Node]:
        """The nodes it takes input from."""
        return [node for node, _ in self.inputs]

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes, and what they need."""
        given = []
        for node, index in self.inputs:
            found = m.input(node, index)
            if found is None:
                raise DefinitionError(
                    f"an input of the pass-through {self.id!r} is an empty deferred state, leave it out"
                )
            given.append(found)
        outputs = field(b"\x12", b"".join([varint(n) for n in self.outputs]))
        body = field(b"\x42", field(b"\n", self.id.encode()) + outputs)
        return b"".join((*given, m.filters(self.constraints), body)), Cap.PASSTHROUGH_OP

    def label(self) -> str:
        """What it is, in a few words."""
        return f"pass-through {self.id}"


class BuildNode(Node):
    """A build of the definition that a state holds."""

    __slots__ = ("attrs", "source")

    def __init__(self, source: Output, filename: str, made: Constraints | None, frame: Frame | None) -> None:
        super().__init__(made, frame)
        self.source = source
        self.attrs = map_strings(b"\x22", {"llbbuild.filename": filename.encode()} if filename else {})

    def deps(self) -> list[Node]:
        """The nodes it takes input from."""
        return [self.source[0]]

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes, and what they need."""
        given = m.input(*self.source)
        if given is None:
            raise DefinitionError("the state to build is empty, it must hold a definition")
        platform = m.platform(self.constraints.platform if self.constraints is not None else None)
        inputs = field(b"\x12", field(b"\n", b"buildkit.llb.definition") + b"\x12\x00")
        body = field(b"\x2a", b"\x08" + MINUS_ONE + inputs + self.attrs)
        return b"".join((given, platform, m.filters(self.constraints), body)), Cap.BUILD_OP_FILENAME

    def label(self) -> str:
        """What it is, in a few words."""
        return "build"
