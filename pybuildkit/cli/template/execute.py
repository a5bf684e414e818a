"""Running a template over a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pybuildkit.cli.template.functions import FUNCTIONS, truth
from pybuildkit.cli.template.parse import (
    Action,
    Branch,
    Chain,
    Command,
    Leave,
    Literal,
    Node,
    Operand,
    Pipeline,
    Text,
    parse,
    trouble,
)
from pybuildkit.cli.template.values import Nil, Struct, go_print, type_name
from pybuildkit.errors import ConfigError

__all__ = ["Template"]

_MISSING = object()


class _Left(Exception):
    """``break`` or ``continue`` was met."""


class Template:
    """A template, read and ready to be used any number of times.

    Raises:
        ConfigError: it can not be read.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._nodes = parse(text)

    def render(self, value: Any) -> str:
        """The text that the template makes of a value.

        Raises:
            ConfigError: it names a field or function that does not exist, or uses a function wrongly.
        """
        out: list[str] = []
        try:
            _Run(out, value).walk(self._nodes, value)
        except _TemplateError as exc:
            raise trouble(self._text, str(exc)) from None
        return "".join(out)


class _TemplateError(ConfigError):
    """Something in the template does not fit the value."""


class _Run:
    """One use of a template: its output and its variables."""

    def __init__(self, out: list[str], root: Any) -> None:
        self._out = out
        self._scopes: list[dict[str, Any]] = [{"$": root}]

    def walk(self, nodes: list[Node], dot: Any) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self._out.append(node.text)
            elif isinstance(node, Action):
                value = self._pipeline(node.pipeline, dot)
                if not node.pipeline.variables:
                    self._out.append(go_print(value))
            elif isinstance(node, Leave):
                raise _Left(node.kind)
            else:
                self._branch(node, dot)

    def _branch(self, node: Branch, dot: Any) -> None:
        self._scopes.append({})
        try:
            if node.kind == "range":
                self._range(node, dot)
                return
            value = self._pipeline(node.pipeline, dot)
            if truth(value):
                self._scoped(node.body, value if node.kind == "with" else dot)
            else:
                self._scoped(node.otherwise, dot)
        finally:
            self._scopes.pop()

    def _scoped(self, nodes: list[Node], dot: Any) -> None:
        self._scopes.append({})
        try:
            self.walk(nodes, dot)
        finally:
            self._scopes.pop()

    def _range(self, node: Branch, dot: Any) -> None:
        pipeline = node.pipeline
        value = self._pipeline(Pipeline(pipeline.commands), dot)
        empty = True
        for key, item in _items(value):
            empty = False
            names = pipeline.variables
            if names:
                self._assign(names[-1], item, declares=pipeline.declares)
            if len(names) == 2:
                self._assign(names[0], key, declares=pipeline.declares)
            try:
                self._scoped(node.body, item)
            except _Left as left:
                if str(left) == "break":
                    break
        if empty:
            self._scoped(node.otherwise, dot)

    def _assign(self, name: str, value: Any, *, declares: bool) -> None:
        if declares:
            self._scopes[-1][name] = value
            return
        for scope in reversed(self._scopes):
            if name in scope:
                scope[name] = value
                return
        raise _TemplateError(f"the variable {name} is not declared")

    def _pipeline(self, pipeline: Pipeline, dot: Any) -> Any:
        value: Any = _MISSING
        for command in pipeline.commands:
            value = self._command(command, dot, value)
        for name in pipeline.variables:
            self._assign(name, value, declares=pipeline.declares)
        return value

    def _command(self, command: Command, dot: Any, last: Any) -> Any:
        first, *rest = command.operands
        if isinstance(first, Chain) and isinstance(first.start, str) and first.start.isidentifier():
            return self._call(first, rest, dot, last)
        if rest or last is not _MISSING:
            raise _TemplateError(f"{_shown(first)} takes no arguments")
        return self._operand(first, dot)

    def _call(self, chain: Chain, rest: list[Operand], dot: Any, last: Any) -> Any:
        name = chain.start
        assert isinstance(name, str)
        function = FUNCTIONS.get(name)
        if function is None:
            raise _TemplateError(
                f"the function {name!r} is not known; there are {', '.join(sorted(FUNCTIONS))}"
            )
        lazy = name in ("and", "or")
        arguments: list[Any] = []
        for operand in rest:
            arguments.append(self._operand(operand, dot))
            if lazy and truth(arguments[-1]) == (name == "or"):
                return arguments[-1]
        if last is not _MISSING:
            arguments.append(last)
        try:
            value = function(*arguments)
        except (TypeError, ValueError, LookupError) as exc:
            reason = "it takes another number of values" if "positional argument" in str(exc) else str(exc)
            raise _TemplateError(f"{name}: {reason}") from None
        return _fields(value, chain.fields)

    def _operand(self, operand: Operand, dot: Any) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        start = operand.start
        if isinstance(start, Pipeline):
            value = self._pipeline(start, dot)
        elif start == ".":
            value = dot
        elif start.startswith("$"):
            value = self._variable(start)
        else:
            return self._call(operand, [], dot, _MISSING)
        return _fields(value, operand.fields)

    def _variable(self, name: str) -> Any:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        raise _TemplateError(f"the variable {name} is not declared")


def _fields(value: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        if isinstance(value, Struct):
            if name not in value.fields:
                known = ", ".join(value.fields)
                raise _TemplateError(f"there is no field .{name}; there are {known}")
            value = value.fields[name].value
        elif isinstance(value, Mapping):
            value = value.get(name)
        elif value is None or isinstance(value, Nil):
            raise _TemplateError(f"there is no .{name} where there is nothing")
        else:
            raise _TemplateError(f"there is no field .{name} in a {type_name(value)}")
    return value


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from ((key, value[key]) for key in sorted(value))
    elif isinstance(value, list | bytes):
        yield from enumerate(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from ((number, number) for number in range(value))
    elif value is not None and not isinstance(value, Nil):
        raise _TemplateError(f"range can not go over a {type_name(value)}")


def _shown(operand: Operand) -> str:
    if isinstance(operand, Literal):
        return repr(operand.value)
    start = operand.start if isinstance(operand.start, str) else "(...)"
    return ".".join((start.rstrip("."), *operand.fields)) or "."
