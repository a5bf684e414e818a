"""Definitions as states: a graph made elsewhere goes on here, its ops verbatim (L14, L89)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybuildkit.errors import DefinitionError
from pybuildkit.llb.definitions import Definition
from pybuildkit.llb.metadata import OpMetadata
from pybuildkit.llb.nodes import Node
from pybuildkit.llb.schema import decode_platform, inputs_of, local_name
from pybuildkit.llb.sourcemap import SourceLocation
from pybuildkit.platforms import Platform

if TYPE_CHECKING:
    from pybuildkit.llb.marshal import Marshaler

__all__ = ["ImportedNode"]


class ImportedNode(Node):
    """An op of a definition.

    Attributes:
        op: its bytes.
        digest: their digest.
        inputs: the nodes that it takes input from.
        metadata: what the definition says of it.
        locations: where it comes from.
        local: the name of the client's folder that it is, mostly empty.
    """

    __slots__ = ("digest", "inputs", "local", "locations", "metadata", "op", "own_platform")

    def __init__(
        self, op: bytes, digest: str, metadata: OpMetadata, locations: tuple[SourceLocation, ...]
    ) -> None:
        super().__init__(None, None)
        self.op = op
        self.digest = digest
        self.inputs: list[Node] = []
        self.metadata = metadata
        self.locations = locations
        self.local = local_name(op)
        self.own_platform = decode_platform(op)

    def deps(self) -> list[Node]:
        """The nodes it takes input from."""
        return self.inputs

    def output_platform(self) -> Platform | None:
        """The platform that was asked for."""
        return self.own_platform

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes, and what they need."""
        raise NotImplementedError("an imported op is not encoded again")

    def label(self) -> str:
        """What it is, in a few words."""
        return self.digest


def load(definition: Definition) -> tuple[Node, int] | None:
    """The output that a definition yields, None for an empty one.

    Raises:
        DefinitionError: an op names an input that is not there, or the last op names nothing.
    """
    if not definition.ops:
        return None
    nodes: dict[str, ImportedNode] = {}
    for op, digest in zip(definition.ops[:-1], definition.digests, strict=False):
        metadata = definition.metadata.get(digest, OpMetadata())
        nodes[digest] = ImportedNode(op, digest, metadata, definition.locations(digest))
    for node in nodes.values():
        for digest, _ in inputs_of(node.op):
            if digest not in nodes:
                raise DefinitionError(f"op {node.digest} needs {digest}, which the definition does not have")
            node.inputs.append(nodes[digest])
    last = inputs_of(definition.ops[-1])
    if len(last) != 1 or last[0][0] not in nodes:
        raise DefinitionError(
            "the last op of the definition does not name its result, the definition may be cut off"
        )
    digest, index = last[0]
    if index < 0:
        raise DefinitionError(f"the definition's result is output {index} of {digest}, which can not be")
    return nodes[digest], index
