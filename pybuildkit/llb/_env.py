"""Environment variables as a persistent list: adding one shares everything before it.

The order is that of the last assignment: assigning again moves a variable to the end (L24). The bytes for the
op are made once per list and, for a new variable, from the bytes of the list before it: Go walks all earlier
assignments for every op instead, which makes long graphs quadratic.
"""

from __future__ import annotations

from collections.abc import Mapping

from pybuildkit.errors import DefinitionError
from pybuildkit.llb._encode import field, text

__all__ = ["Env", "encode_item", "encode_items"]

Items = tuple[tuple[str, bytes], ...]

_TAG = b"\x12"  # Meta.env
# A list that far from the next one with a table makes the one before it have a table too, for its other
# children.
_FAR = 8


class Env:
    """A list of variables; what it says never changes once made.

    Attributes:
        parent: the list that it is longer than.
        items: the variables that it has more.
        known: encoded assignments by name, in order, once they are asked for.
        data: the bytes of all, likewise.
    """

    __slots__ = ("data", "items", "known", "parent")

    def __init__(self, parent: Env | None = None, items: Items = ()) -> None:
        self.parent = parent
        self.items = items
        self.known: dict[str, bytes] | None = None
        self.data: bytes | None = None

    def with_items(self, items: Items) -> Env:
        """This list with more variables, from ``encode_items``."""
        return Env(self, items)

    def with_default(self, name: str, value: str) -> Env:
        """This list, with one more variable unless it has it."""
        return self if name in self.table() else Env(self, (encode_item(name, value),))

    def table(self) -> dict[str, bytes]:
        """Encoded assignments by name, in order; not to be changed."""
        if self.known is None:
            self._fill()
        assert self.known is not None
        return self.known

    def encoded(self) -> bytes:
        """All fields ``Meta.env``."""
        if self.data is None:
            before, items = self.parent, self.items
            names = {name for name, _ in items}
            if before is None or len(names) < len(items) or not before.table().keys().isdisjoint(names):
                self._fill()
            else:
                # All are new, so no table is needed: the variables of most commands are nobody else's.
                self.data = b"".join([before.encoded(), *[item for _, item in items]])
        assert self.data is not None
        return self.data

    def values(self) -> dict[str, str]:
        """The variables, in order."""
        return dict(_decode(item) for item in self.table().values())

    def _fill(self) -> None:
        links: list[Env] = []
        env: Env | None = self
        while env is not None and env.known is None:
            links.append(env)
            env = env.parent
        if len(links) > _FAR:
            links[1].apply(env, links[1:])
            links, env = links[:1], links[1]
        self.apply(env, links)

    def apply(self, base: Env | None, links: list[Env]) -> None:
        """Make table and bytes from those of a list before this one and what was assigned since."""
        table = dict(base.known) if base is not None and base.known is not None else {}
        added: list[bytes] = []
        moved = False
        for link in reversed(links):
            for name, item in link.items:
                moved = table.pop(name, None) is not None or moved
                table[name] = item
                added.append(item)
        if moved or base is None or base.data is None:
            self.data = b"".join(table.values())
        else:
            self.data = base.data + b"".join(added)
        self.known = table


def encode_item(name: str, value: str) -> tuple[str, bytes]:
    """A variable and its field ``Meta.env``.

    Raises:
        DefinitionError: the name can not be one, or the value holds a NUL.
    """
    if not name or not isinstance(name, str) or "=" in name:
        raise DefinitionError(
            f"{name!r} can not be the name of an environment variable: it is empty or holds '='"
        )
    if not isinstance(value, str):
        kind = type(value).__name__  # type: ignore[unreachable]
        raise DefinitionError(f"environment variable {name} is {value!r}, a {kind}, give a str")
    return name, field(_TAG, text(f"{name}={value}", "environment variable"))


def encode_items(variables: Mapping[str, str]) -> Items:
    """Variables for ``Env.with_items``.

    Raises:
        DefinitionError: a name or a value is bad, or it is no mapping.
    """
    if not isinstance(variables, Mapping):
        raise DefinitionError(
            f"environment {variables!r} is a {type(variables).__name__}, give a dict of str"
        )
    return tuple([encode_item(name, value) for name, value in variables.items()])


def _decode(item: bytes) -> tuple[str, str]:
    """Name and value out of an encoded item: tag, length, text."""
    start = 1
    while item[start] & 0x80:
        start += 1
    name, _, value = item[start + 1 :].decode().partition("=")
    return name, value
