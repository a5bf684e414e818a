"""The language: from a YAML file to a ``Service`` that remembers its lines."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

from pybuildkit.frontend import SourceFile

T = TypeVar("T")
Node = yaml.Node


@dataclass(frozen=True, slots=True)
class Item:
    """A text of the file, and its lines."""

    text: str
    lines: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Copy:
    """Files of the context, and where they go."""

    source: str
    target: str
    lines: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Service:
    """A Python service.

    Attributes:
        base: the image that it is built on.
        apt: Debian packages.
        pip: Python packages, as pip takes them; paths are those of the context.
        copy: files of the context.
        env: environment variables.
        workdir: where it starts.
        ports: what it listens on.
        entrypoint: what it starts.
    """

    base: Item
    apt: list[Item] = field(default_factory=list)
    pip: list[Item] = field(default_factory=list)
    copy: list[Copy] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    ports: list[int] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)


def parse(source: SourceFile) -> Service:
    """Read a service.

    Raises:
        FrontendError: the file is not YAML, or no service; with its lines.
    """
    return _Parser(source).service()


class _Parser:
    def __init__(self, source: SourceFile) -> None:
        self._source = source

    def service(self) -> Service:
        try:
            root = yaml.compose(self._source.text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as exc:
            lines = [mark.line + 1 for mark in (exc.context_mark, exc.problem_mark) if mark is not None]
            raise self._source.error(f"not YAML: {exc.problem}", (min(lines), max(lines))) from None
        if root is None:
            raise self._source.error("the file is empty; write at least `base: python:3-slim`", 1)
        readers: dict[str, Callable[[Node], Any]] = {
            "base": self._item,
            "apt": lambda node: self._list(node, self._item),
            "pip": lambda node: self._list(node, self._item),
            "copy": lambda node: self._list(node, self._copy),
            "env": lambda node: {key: self._text(value) for key, value in self._mapping(node).items()},
            "workdir": self._text,
            "ports": lambda node: self._list(node, self._number),
            "entrypoint": lambda node: self._list(node, self._text),
        }
        found = {}
        for key, value in self._mapping(root, known=list(readers)).items():
            found[key] = readers[key](value)
        if "base" not in found:
            raise self._source.error("there is no base; write `base: python:3-slim`", _lines(root)[0])
        return Service(**found)

    def _mapping(self, node: Node, known: list[str] | None = None) -> dict[str, Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, "a mapping, as `key: value`")
        found: dict[str, Node] = {}
        for key_node, value in node.value:
            key = self._text(key_node)
            if key in found:
                raise self._source.error(f"{key} is there twice", _lines(key_node))
            if known is not None and key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise self._source.error(f"there is no key {key}; {hint}", _lines(key_node))
            found[key] = value
        return found

    def _list(self, node: Node, read: Callable[[Node], T]) -> list[T]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._wrong(node, "a list, as `- item` or `[item, item]`")
        return [read(each) for each in node.value]

    def _text(self, node: Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            raise self._wrong(node, "a text")
        return str(node.value)

    def _item(self, node: Node) -> Item:
        return Item(self._text(node), _lines(node))

    def _number(self, node: Node) -> int:
        text = self._text(node)
        if not text.isdigit():
            raise self._wrong(node, "a number")
        return int(text)

    def _copy(self, node: Node) -> Copy:
        source, _, target = self._text(node).partition(" ")
        return Copy(source, target.strip() or f"/{source.rstrip('/')}", _lines(node))

    def _wrong(self, node: Node, wanted: str) -> Exception:
        return self._source.error(f"this must be {wanted}", _lines(node))


def _lines(node: Node) -> tuple[int, int]:
    """First and last line; a block ends in YAML where the next one begins."""
    first, last = node.start_mark.line + 1, node.end_mark.line + (1 if node.end_mark.column else 0)
    return first, max(first, last)
