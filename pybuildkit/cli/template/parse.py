"""From a template's text to its tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError

__all__ = [
    "Action",
    "Branch",
    "Chain",
    "Command",
    "Leave",
    "Literal",
    "Node",
    "Operand",
    "Pipeline",
    "Text",
    "parse",
]


@dataclass(slots=True)
class Text:
    """Text between actions."""

    text: str


@dataclass(slots=True)
class Literal:
    """A constant."""

    value: Any


@dataclass(slots=True)
class Chain:
    """Fields of something: ``.A.B``, ``$x.A``, ``(…).A``; without fields the thing itself.

    Attributes:
        start: ``.``, a variable's name with its ``$``, a function's name, or a pipeline in parentheses.
        fields: names behind it.
    """

    start: str | Pipeline
    fields: tuple[str, ...] = ()


Operand: TypeAlias = Literal | Chain


@dataclass(slots=True)
class Command:
    """One command of a pipeline: a function or method with arguments, or a single operand."""

    operands: list[Operand]


@dataclass(slots=True)
class Pipeline:
    """Commands joined by ``|``, with the variables that get its value."""

    commands: list[Command]
    variables: tuple[str, ...] = ()
    declares: bool = False


@dataclass(slots=True)
class Action:
    """A pipeline whose value is printed, unless it only sets a variable."""

    pipeline: Pipeline


@dataclass(slots=True)
class Branch:
    """``if``, ``with`` and ``range``."""

    kind: str
    pipeline: Pipeline
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Leave:
    """``break`` and ``continue``."""

    kind: str


Node: TypeAlias = Text | Action | Branch | Leave

_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`|/\*.*?\*/', re.DOTALL)
_ACTION = re.compile(r"\{\{(-(?=\s))?(.*?)((?<=\s)-)?\}\}\Z", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    | (?P<char>'(?:[^'\\]|\\.)+')
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))
    | (?P<field>\.[A-Za-z_]\w*)
    | (?P<variable>\$\w*)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<sign>:=|[.|(),=])
    )""",
    re.VERBOSE,
)
_CONSTANTS = {"true": True, "false": False}
_BLOCKS = ("if", "with", "range")
_UNSUPPORTED = ("define", "template", "block")


def parse(text: str) -> list[Node]:
    """The nodes of a template.

    Raises:
        ConfigError: it is none, or uses ``define``, ``template`` or ``block``.
    """
    reader = _Reader(_split(text), text)
    nodes, end = reader.nodes(())
    assert end == ""
    return nodes


def trouble(text: str, what: str) -> ConfigError:
    """The error for a template that can not be used."""
    return ConfigError(
        f"--format {text!r}: {what}; it is a Go template as {{{{.ID}}}} or {{{{json .}}}}, or json"
    )


def _split(text: str) -> list[tuple[str, bool]]:
    """Texts and actions (True), with trimming done and comments left out."""
    out: list[tuple[str, bool]] = []
    position = 0
    trim_next = False
    for match in _actions(text):
        before = text[position : match.start()]
        if trim_next:
            before = before.lstrip()
        if match[1]:
            before = before.rstrip()
        out.append((before, False))
        inner = match[2]
        if not re.fullmatch(r"\s*/\*.*\*/\s*", inner, re.DOTALL):
            out.append((inner, True))
        trim_next = bool(match[3])
        position = match.end()
    rest = text[position:]
    out.append((rest.lstrip() if trim_next else rest, False))
    return [(part, action) for part, action in out if part or action]


def _actions(text: str) -> list[re.Match[str]]:
    """The actions of a text; braces in strings do not end them."""
    found = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        end = start + 2
        while not text.startswith("}}", end):
            quoted = _QUOTED.match(text, end)
            end = quoted.end() if quoted else end + 1
            if end > len(text):
                raise trouble(text, "an action is not closed")
        position = end + 2
        match = _ACTION.match(text, start, position)
        assert match is not None
        found.append(match)
    return found


class _Reader:
    def __init__(self, parts: list[tuple[str, bool]], text: str) -> None:
        self._parts = parts
        self._text = text
        self._next = 0
        self._loops = 0

    def nodes(self, ends: tuple[str, ...]) -> tuple[list[Node], str]:
        """Nodes up to one of the words that end them; the whole action that did."""
        found: list[Node] = []
        while self._next < len(self._parts):
            part, action = self._parts[self._next]
            self._next += 1
            if not action:
                found.append(Text(part))
                continue
            word = part.split(maxsplit=1)[0] if part.split() else ""
            if word in ends:
                return found, part.strip()
            found.append(self._action(word, part))
        if ends:
            raise trouble(self._text, "an {{end}} is missing")
        return found, ""

    def _action(self, word: str, part: str) -> Node:
        if word in ("else", "end"):
            raise trouble(self._text, f"{{{{{word}}}}} is out of place")
        if word in _UNSUPPORTED:
            raise trouble(self._text, f"{{{{{word}}}}} is not supported")
        if word in ("break", "continue"):
            if not self._loops or part.split() != [word]:
                raise trouble(self._text, f"{{{{{word}}}}} is out of place")
            return Leave(word)
        if word in _BLOCKS:
            return self._branch(word, part.strip().removeprefix(word))
        return Action(_Tokens(part, self._text).pipeline(("",)))

    def _branch(self, kind: str, rest: str) -> Branch:
        branch = Branch(kind, _Tokens(rest, self._text).pipeline(("",), loop=kind == "range"))
        self._loops += kind == "range"
        branch.body, end = self.nodes(("else", "end"))
        self._loops -= kind == "range"
        if end.startswith("else"):
            following = end.removeprefix("else").strip()
            if following:
                word, _, pipeline = following.partition(" ")
                if word != kind or kind == "range":
                    raise trouble(self._text, f"{{{{{end}}}}} is out of place")
                branch.otherwise = [self._branch(kind, pipeline)]
                return branch
            branch.otherwise, end = self.nodes(("end",))
        return branch


class _Tokens:
    """The tokens of one action."""

    def __init__(self, part: str, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, bool]] = []
        position = 0
        part = part.rstrip()
        while position < len(part):
            match = _TOKEN.match(part, position)
            if match is None:
                raise trouble(text, f"{part[position:].strip()!r} can not be read")
            kind = match.lastgroup or ""
            glued = match.start(kind) == position and position > 0
            self._tokens.append((kind, match[kind], glued))
            position = match.end()
        self._next = 0

    def _peek(self) -> tuple[str, str, bool]:
        return self._tokens[self._next] if self._next < len(self._tokens) else ("", "", False)

    def _take(self) -> tuple[str, str, bool]:
        token = self._peek()
        self._next += 1
        return token

    def pipeline(self, ends: tuple[str, ...], *, loop: bool = False) -> Pipeline:
        """A pipeline up to one of the signs that end it, that taken too."""
        variables, declares = self._variables(loop=loop)
        commands = []
        while True:
            commands.append(self._command((*ends, "|")))
            _, sign, _ = self._take()
            if sign != "|" or not self._peek()[0]:  # Go lets a last | pass
                break
        return Pipeline(commands, variables, declares)

    def _variables(self, *, loop: bool) -> tuple[tuple[str, ...], bool]:
        start = self._next
        names: list[str] = []
        while self._peek()[0] == "variable":
            names.append(self._take()[1])
            sign = self._peek()[1]
            if sign in (":=", "="):
                self._take()
                return tuple(names), sign == ":="
            if sign != "," or not loop or len(names) == 2:
                break
            self._take()
        self._next = start
        return (), False

    def _command(self, ends: tuple[str, ...]) -> Command:
        operands: list[Operand] = []
        while self._peek()[1] not in ends:
            operands.append(self._operand())
        if not operands:
            raise trouble(self._text, "a value is missing")
        if isinstance(operands[0], Literal) and operands[0].value is None:
            raise trouble(self._text, "nil alone is nothing")
        return Command(operands)

    def _operand(self) -> Operand:
        kind, word, _ = self._take()
        start: str | Pipeline
        fields: list[str] = []
        if kind in ("string", "char", "number"):
            return Literal(self._constant(kind, word))
        if kind == "word":
            if word in _CONSTANTS:
                return Literal(_CONSTANTS[word])
            if word == "nil":
                return Literal(None)
            start = word
        elif kind == "field":
            start, fields = ".", [word[1:]]
        elif kind == "variable" or word == ".":
            start = word
        elif word == "(":
            start = self.pipeline((")",))
        else:
            raise trouble(self._text, f"{word or 'the end'!r} is out of place")
        while self._peek()[0] == "field" and self._peek()[2]:
            fields.append(self._take()[1][1:])
        return Chain(start, tuple(fields))

    def _constant(self, kind: str, token: str) -> Any:
        readers: dict[str, Callable[[str], Any]] = {"string": _string, "char": _char, "number": _number}
        try:
            return readers[kind](token)
        except (ValueError, SyntaxError, TypeError):
            raise trouble(self._text, f"{token} can not be read") from None


def _string(token: str) -> str:
    if token[0] == "`":
        return token[1:-1]
    text: str = ast.literal_eval(token)
    return text


def _char(token: str) -> int:
    return ord(ast.literal_eval(token))


def _number(token: str) -> int | float:
    try:
        return int(token, 0)
    except ValueError:
        return float(token)
