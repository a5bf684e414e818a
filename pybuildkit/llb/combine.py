"""Ops that combine states: merge, diff, pass-through and nested builds (L10 to L13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from pybuildkit._values import dataclass
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._combined import BuildNode, DiffNode, MergeNode, PassthroughNode
from pybuildkit.llb._encode import check_bool, check_text
from pybuildkit.llb._frames import capture
from pybuildkit.llb._steps import check_state
from pybuildkit.llb.nodes import Output
from pybuildkit.llb.options import OpOptions, PlatformOptions, constraints
from pybuildkit.llb.state import State, scratch
from pybuildkit.llb.values import EMPTY

__all__ = ["Passthrough", "PassthroughInput", "build", "diff", "merge", "passthrough"]


@dataclass(frozen=True, slots=True, eq=False)
class PassthroughInput:
    """An input of a pass-through; with ``output=False`` it must be there, and is not given on."""

    state: State
    output: bool = True


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Passthrough(State):
    """A pass-through: a state, its first output, with ``passthrough[n]`` for the others."""

    count: int = 1

    def __getitem__(self, index: int) -> State:
        """The output with that number.

        Raises:
            DefinitionError: there is none.
        """
        if not isinstance(index, int) or not 0 <= index < self.count:
            raise DefinitionError(
                f"output {index!r} of the pass-through does not exist, there are {self.count}"
            )
        assert self.output is not None
        return State((self.output[0], index), EMPTY)


def merge(*states: State, **options: Unpack[OpOptions]) -> State:
    """Layers over one another, later ones on top, without copying: a change leaves the others cached (L10).

    Empty states are left out. The result goes on with the first state's settings.

    Args:
        states: the layers.
        options: see ``OpOptions``.

    Raises:
        DefinitionError: one of them is no state.
    """
    made = constraints(options, where="merge")
    layers = [state for state in states if check_state(state, "merge input").output is not None]
    if not layers:
        return scratch()
    if len(layers) == 1:
        return layers[0]
    node = MergeNode(tuple([layer.output for layer in layers if layer.output is not None]), made, capture())
    return State((node, 0), layers[0].settings)


def diff(lower: State, upper: State, **options: Unpack[OpOptions]) -> State:
    """What ``upper`` has more than ``lower``, removals included, as a layer for ``merge`` (L11).

    Args:
        lower: what to compare with.
        upper: what has changed.
        options: see ``OpOptions``.

    Raises:
        DefinitionError: one of them is no state.
    """
    made = constraints(options, where="diff")
    below, above = check_state(lower, "lower").output, check_state(upper, "upper").output
    if below is None:
        return scratch() if above is None else upper
    return State((DiffNode(below, above, made, capture()), 0), lower.settings)


def passthrough(
    id: str,  # noqa: A002 - the field's own name
    inputs: Sequence[State | PassthroughInput],
    **options: Unpack[OpOptions],
) -> Passthrough:
    """Give states on as they are, once all inputs have been built (L12).

    Args:
        id: a name for it, part of its cache key.
        inputs: states to give on, and as ``PassthroughInput(state, output=False)`` states only to wait for.
            Empty states are left out.
        options: see ``OpOptions``.

    Raises:
        DefinitionError: there is no id, or nothing to give on.
    """
    made = constraints(options, where="passthrough")
    check_text(id, "pass-through id")
    taken: list[Output] = []
    outputs: list[int] = []
    for item in inputs:
        one = item if isinstance(item, PassthroughInput) else PassthroughInput(item)
        output = check_state(one.state, "pass-through input").output
        if output is None:
            continue
        if check_bool(one.output, "output"):
            outputs.append(len(taken))
        taken.append(output)
    if not outputs:
        raise DefinitionError(
            f"pass-through {id!r} gives nothing on: all of its inputs are empty, or have output=False"
        )
    return Passthrough((PassthroughNode(id, taken, outputs, made, capture()), 0), EMPTY, count=len(outputs))


def build(source: State, filename: str = "", **options: Unpack[PlatformOptions]) -> State:
    """Build the definition that a state holds, inside the daemon (L13).

    Args:
        source: a state with the bytes of a definition in a file.
        filename: the file, empty for ``/buildkit.llb.definition``.
        options: see ``PlatformOptions``.

    Raises:
        DefinitionError: the source is empty, or no state.
    """
    made = constraints(options, platform=True, where="build")
    output = check_state(source, "build source").output
    if output is None:
        raise DefinitionError("build source is empty, it must hold the file of a definition")
    check_text(filename, "filename", empty=True)
    return State((BuildNode(output, filename, made, capture()), 0), source.settings)
