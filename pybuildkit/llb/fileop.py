"""The op behind ``state.file``: a chain of actions, numbered as Go numbers them (L66 to L73)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pybuildkit._wire import varint
from pybuildkit.llb._caps import Cap
from pybuildkit.llb._encode import MINUS_ONE, field
from pybuildkit.llb._frames import Frame
from pybuildkit.llb._steps import Step
from pybuildkit.llb.files import FileAction, FileResult
from pybuildkit.llb.nodes import LazyValues, Node, Output
from pybuildkit.llb.options import Constraints
from pybuildkit.llb.values import Values

if TYPE_CHECKING:
    from pybuildkit.llb.marshal import Marshaler
    from pybuildkit.llb.state import State

__all__ = ["FileNode"]

_NO_OUTPUT = b"\x18" + MINUS_ONE


class _Entry:
    """One action in its place.

    Attributes:
        step: the action.
        state: the state that its chain works on.
        before: which action's result it works on, None for the state itself.
        source: the output that a copy copies from.
        source_action: which action's result a copy copies from.
        source_state: the state at whose directory relative source paths start.
    """

    __slots__ = ("before", "source", "source_action", "source_state", "state", "step")

    def __init__(self, step: Step, state: State, before: int | None) -> None:
        self.step = step
        self.state = state
        self.before = before
        self.source: Output | None = None
        self.source_action: int | None = None
        self.source_state: State | None = None


class _Chain:
    """A chain of actions that is being numbered."""

    __slots__ = ("actions", "last", "position", "result", "state")

    def __init__(self, action: FileAction, state: State, result: FileResult | None) -> None:
        self.actions = action.steps()
        self.state = state
        self.result = result
        self.position = 0
        self.last: int | None = None


class FileNode(Node):
    """File actions on a state."""

    __slots__ = ("action", "body", "inputs", "state")

    def __init__(
        self, state: State, action: FileAction, constraints: Constraints | None, frame: Frame | None
    ) -> None:
        super().__init__(constraints, frame)
        self.state = state
        self.action = action
        entries, self.inputs = _number(state, action)
        # Encoded here as if different inputs had different digests; see encode.
        self.body: bytes | None = None
        if not _lazy_values(entries):
            numbers = {source: n for n, source in enumerate(self.inputs)}
            self.body = _body(entries, numbers, len(numbers), _own_values)

    def deps(self) -> list[Node]:
        """The nodes it takes input from."""
        if len(self.inputs) < 2:
            return [node for node, _ in self.inputs]
        found: dict[Node, None] = {}
        stack: list[tuple[FileAction | None, State]] = [(self.action, self.state)]
        while stack:
            action, state = stack.pop()
            if action is None:
                continue
            source = action.step.source
            stack.append((action.previous, state))
            if state.output is not None:
                found[state.output[0]] = None
            if isinstance(source, FileResult):
                stack.append((source.action, source.state))
            elif source is not None and source.output is not None:
                found[source.output[0]] = None
        return list(found)

    def lazy_values(self) -> list[LazyValues]:
        """Settings that must be known first."""
        # Entries are not kept: large graphs would be mostly of them, and they are seldom needed again.
        return _lazy_values(_number(self.state, self.action)[0]) if self.body is None else []

    def encode(self, m: Marshaler) -> tuple[bytes, int]:
        """The op's bytes, and what they need."""
        given = [m.input(node, index) for node, index in self.inputs]
        body = self.body
        if (len(given) > 1 and len(set(given)) != len(given)) or None in given or body is None:
            distinct = [one for one in dict.fromkeys(given) if one is not None]
            numbers = {
                source: distinct.index(one)
                for source, one in zip(self.inputs, given, strict=True)
                if one is not None
            }
            body = _body(_number(self.state, self.action)[0], numbers, len(distinct), m.values)
            given = list(distinct)
        return b"".join((*given, m.filters(self.constraints), body)), Cap.FILE_BASE  # type: ignore[arg-type]

    def label(self) -> str:
        """What it is, in a few words."""
        return repr(self.action)[len("<FileAction ") : -1]


def _body(
    entries: list[_Entry],
    numbers: Mapping[Output, int],
    count: int,
    values: Callable[[Values | LazyValues], Values],
) -> bytes:
    """The field ``Op.file``."""
    actions = []
    last = len(entries) - 1
    for place, entry in enumerate(entries):
        state, source = entry.state, entry.source_state
        base = -1 if state.output is None else numbers.get(state.output, -1)
        first = base if entry.before is None else count + entry.before
        second = -1
        if entry.source_action is not None:
            second = count + entry.source_action
        elif entry.source is not None:
            second = numbers.get(entry.source, -1)
        source_dir = "/" if source is None else values(source.settings).dir
        step = entry.step.encode(values(state.settings).dir, base, source_dir)
        body = b"".join(
            (_index(b"\x08", first), _index(b"\x10", second), b"" if place == last else _NO_OUTPUT, step)
        )
        actions.append(b"\x12" + varint(len(body)) + body)
    return field(b"\x22", b"".join(actions))


def _lazy_values(entries: list[_Entry]) -> list[LazyValues]:
    states = [entry.state for entry in entries]
    states += [entry.source_state for entry in entries if entry.source_state is not None]
    return [state.settings for state in states if isinstance(state.settings, LazyValues)]


def _number(state: State, action: FileAction) -> tuple[list[_Entry], tuple[Output, ...]]:
    """All actions in the order in which the daemon runs them, and the inputs in the order of their first use."""
    entries: list[_Entry] = []
    inputs: dict[Output, None] = {}
    numbered: dict[FileResult, int | None] = {}
    stack = [_Chain(action, state, None)]
    while stack:
        chain = stack[-1]
        if chain.position == len(chain.actions):
            stack.pop()
            if chain.result is not None:
                numbered[chain.result] = chain.last
            continue
        step = chain.actions[chain.position].step
        if chain.state.output is not None:
            inputs[chain.state.output] = None
        source = step.source
        if isinstance(source, FileResult) and source not in numbered:
            stack.append(_Chain(source.action, source.state, source))
            continue
        entry = _Entry(step, chain.state, chain.last)
        if isinstance(source, FileResult):
            entry.source_action = numbered[source]
            entry.source_state = source.state
        elif source is not None:
            entry.source_state = source
            entry.source = source.output
            if source.output is not None:
                inputs[source.output] = None
        chain.last = len(entries)
        chain.position += 1
        entries.append(entry)
    return entries, tuple(inputs)


def _own_values(values: Values | LazyValues) -> Values:
    assert isinstance(values, Values)
    return values


def _index(tag: bytes, value: int) -> bytes:
    if value < 0:
        return tag + MINUS_ONE
    return tag + varint(value) if value else b""
