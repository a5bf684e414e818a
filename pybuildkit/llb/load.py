"""``definition``: a graph made elsewhere, as a state."""

from __future__ import annotations

from pybuildkit.llb.definitions import Definition
from pybuildkit.llb.imported import load
from pybuildkit.llb.state import State

__all__ = ["definition"]


def definition(data: bytes | Definition) -> State:
    """A graph made elsewhere, as a state to go on from; its ops keep their bytes and digests (L14, L89).

    Args:
        data: the definition, or its bytes, as ``buildctl`` reads them from its standard input.

    Raises:
        DefinitionError: it is none, or is not complete.
    """
    made = data if isinstance(data, Definition) else Definition.from_bytes(data)
    output = load(made)
    state = State(output)
    platform = output[0].output_platform() if output is not None else None
    return state if platform is None else state.platform(platform)
