"""A decorator that makes what ``dataclasses.dataclass`` makes, with less work.

``__init__`` is compiled when the class is first instantiated or looked at; the other methods are closures, not compiled
at all; what the functions of ``dataclasses`` want to know of a class is made when one of them asks. Everything else is as
there: ``tests/unit/test_values.py`` compares every class of the package with what the standard decorator makes of it.

Good for modules whose annotations are strings (``from __future__ import annotations``), and for what this package uses:
no ``InitVar``, no ``order=``, no ``weakref_slot=``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from reprlib import recursive_repr
from types import MappingProxyType
from typing import Any

__all__ = ["KW_ONLY", "dataclass", "field", "fields", "replace"]

_NOTHING: Any = object()
_NO_METADATA: Mapping[Any, Any] = MappingProxyType({})
_set = object.__setattr__


class KW_ONLY:  # noqa: N801 - its name in dataclasses
    """Annotates the place in a class behind which fields are keyword arguments."""


class _Factory:
    """The default of an argument whose value a function makes."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()


class _Field:
    """What ``field`` gives: see ``dataclasses.field``. The class adds the name and the type."""

    __slots__ = (
        "compare",
        "default",
        "default_factory",
        "hash",
        "init",
        "kw_only",
        "metadata",
        "name",
        "repr",
        "type",
    )

    def __init__(
        self,
        *,
        default: Any = _NOTHING,
        default_factory: Any = _NOTHING,
        init: bool = True,
        repr: bool = True,  # noqa: A002
        hash: bool | None = None,  # noqa: A002
        compare: bool = True,
        metadata: Mapping[Any, Any] | None = None,
        kw_only: Any = _NOTHING,
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.init = init
        self.repr = repr
        self.hash = hash
        self.compare = compare
        self.metadata = _NO_METADATA if metadata is None else MappingProxyType(metadata)
        self.kw_only = kw_only
        self.name = self.type = ""

    def standard(self) -> Any:
        """The same of ``dataclasses``."""
        import dataclasses

        given = {
            name: getattr(self, name)
            for name in (
                "default",
                "default_factory",
                "init",
                "repr",
                "hash",
                "compare",
                "metadata",
                "kw_only",
            )
        }
        return dataclasses.field(**{name: value for name, value in given.items() if value is not _NOTHING})


field = _Field


def fields(value: Any) -> tuple[Any, ...]:
    """See ``dataclasses.fields``; of what a field has there, all but the private."""
    found: tuple[Any, ...] = value.__value_fields__
    return found


def replace(value: Any, /, **changes: Any) -> Any:
    """See ``dataclasses.replace``."""
    for spec in value.__value_fields__:
        if not spec.init:
            if spec.name in changes:
                raise ValueError(f"field {spec.name} is declared with init=False, it can not be replaced")
        elif spec.name not in changes:
            changes[spec.name] = getattr(value, spec.name)
    return value.__class__(**changes)


def dataclass(
    cls: Any = None,
    /,
    *,
    init: bool = True,
    repr: bool = True,  # noqa: A002
    eq: bool = True,
    frozen: bool = False,
    kw_only: bool = False,
    slots: bool = False,
) -> Any:
    """See ``dataclasses.dataclass``."""
    params = {"init": init, "repr": repr, "eq": eq, "frozen": frozen, "kw_only": kw_only, "slots": slots}
    return _made(cls, params) if cls is not None else lambda cls: _made(cls, params)


def _made(cls: Any, params: Mapping[str, bool]) -> Any:
    specs = _own_fields(cls, kw_only=params["kw_only"])
    members = _members(cls, _with_inherited(cls, specs), params)
    if params["slots"]:
        return _slotted(cls, specs, members)
    for name, spec in specs.items():
        if spec.default is not _NOTHING:
            setattr(cls, name, spec.default)
        elif name in cls.__dict__:
            delattr(cls, name)
    for name, member in members.items():
        setattr(cls, name, member)
    return cls


def _own_fields(cls: Any, *, kw_only: bool) -> dict[str, _Field]:
    found = {}
    for name, annotation in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063 - inspect is what costs
        if annotation == "KW_ONLY":
            kw_only = True
        elif not annotation.startswith("ClassVar"):
            given = cls.__dict__.get(name, _NOTHING)
            spec = given if given.__class__ is _Field else _Field(default=given)
            spec.name, spec.type = name, annotation
            if spec.kw_only is _NOTHING:
                spec.kw_only = kw_only
            found[name] = spec
    return found


def _with_inherited(cls: Any, specs: Mapping[str, _Field]) -> tuple[_Field, ...]:
    every: dict[str, _Field] = {}
    for base in cls.__mro__[-1:0:-1]:
        every |= {spec.name: spec for spec in base.__dict__.get("__value_fields__", ())}
    return tuple((every | dict(specs)).values())


def _slotted(cls: Any, specs: Iterable[str], members: Mapping[str, Any]) -> Any:
    """Slots can only be given to a class that is just being made: so it is made again."""
    inherited = {name for base in cls.__mro__[1:] for name in base.__dict__.get("__slots__", ())}
    left_out = {*specs, "__dict__", "__weakref__"}
    body = {name: value for name, value in cls.__dict__.items() if name not in left_out}
    body["__slots__"] = tuple(name for name in specs if name not in inherited)
    made = type(cls)(cls.__name__, cls.__bases__, body | dict(members))
    made.__qualname__ = cls.__qualname__
    return made


def _members(cls: Any, every: tuple[_Field, ...], params: Mapping[str, bool]) -> dict[str, Any]:
    """The class' new attributes; methods that it has itself stay, as with the standard decorator."""
    own = cls.__dict__
    members: dict[str, Any] = {
        "__value_fields__": every,
        "__dataclass_fields__": _LazyStandard("__dataclass_fields__", every, params),
        "__dataclass_params__": _LazyStandard("__dataclass_params__", every, params),
        "__replace__": replace,
    }
    if "__match_args__" not in own:
        members["__match_args__"] = tuple(spec.name for spec in every if spec.init and not spec.kw_only)
    if params["init"]:
        members["__init__"] = _LazyInit(every, frozen=params["frozen"])
    if params["repr"] and "__repr__" not in own:
        members["__repr__"] = _repr_of([spec.name for spec in every if spec.repr])
    if params["eq"]:
        members |= _comparison(own, every, frozen=params["frozen"])
    if params["frozen"]:
        members |= _freezing({spec.name for spec in every})
        if params["slots"]:
            members |= {
                name: member
                for name, member in (("__getstate__", _getstate), ("__setstate__", _setstate))
                if name not in own
            }
    return members


class _LazyInit:
    """Stands for ``__init__`` until somebody wants it."""

    def __init__(self, every: tuple[_Field, ...], *, frozen: bool) -> None:
        self._every = every
        self._frozen = frozen

    def __get__(self, instance: Any, cls: Any) -> Any:
        owner = _owner(cls, "__init__", self)
        made = _compile_init(owner, self._every, frozen=self._frozen)
        type.__setattr__(owner, "__init__", made)
        return made if instance is None else made.__get__(instance, cls)


class _LazyStandard:
    """Stands for what the functions of ``dataclasses`` want to see, until one of them looks."""

    def __init__(self, name: str, every: tuple[_Field, ...], params: Mapping[str, bool]) -> None:
        self._name = name
        self._every = every
        self._params = params

    def __get__(self, instance: Any, cls: Any) -> Any:
        import dataclasses

        body: dict[str, Any] = {spec.name: spec.standard() for spec in self._every}
        body["__annotations__"] = {spec.name: spec.type for spec in self._every}
        body["__module__"] = cls.__module__
        twin: Any = dataclasses.dataclass(**self._params)(type("Twin", (), body))
        found = getattr(twin, self._name)
        type.__setattr__(_owner(cls, self._name, self), self._name, found)
        return found


def _owner(cls: Any, name: str, member: object) -> Any:
    """The class of the family that has a member itself."""
    return next(base for base in cls.__mro__ if base.__dict__.get(name) is member)


def _compile_init(cls: Any, every: Iterable[_Field], *, frozen: bool) -> Any:
    outside: dict[str, Any] = {"_set": _set, "_FACTORY": _FACTORY}
    positional: list[str] = ["self"]
    keyword: list[str] = []
    lines: list[str] = []
    for spec in every:
        name = value = spec.name
        default = ""
        if spec.default is not _NOTHING:
            outside[f"_default_{name}"] = spec.default
            default = f"_default_{name}"
        elif spec.default_factory is not _NOTHING:
            outside[f"_make_{name}"] = spec.default_factory
            default = "_FACTORY"
            value = f"_make_{name}() if {name} is _FACTORY else {name}"
        if spec.init:
            (keyword if spec.kw_only else positional).append(f"{name}={default}" if default else name)
        elif not default:
            continue
        else:
            value = default if default != "_FACTORY" else f"_make_{name}()"
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    arguments = ", ".join([*positional, *(["*", *keyword] if keyword else [])])
    body = "\n  ".join(lines or ["pass"])
    source = f"def make({', '.join(outside)}):\n def __init__({arguments}):\n  {body}\n return __init__"
    found: dict[str, Any] = {}
    exec(source, sys.modules[cls.__module__].__dict__, found)  # noqa: S102 - as dataclasses does it
    made = found["make"](**outside)
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__annotations__ = {spec.name: spec.type for spec in every if spec.init} | {"return": None}
    return made


def _repr_of(names: Iterable[str]) -> Any:
    @recursive_repr()
    def __repr__(self: Any) -> str:  # noqa: N807
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{self.__class__.__qualname__}({shown})"

    return __repr__


def _comparison(own: Mapping[str, Any], every: Iterable[_Field], *, frozen: bool) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if "__eq__" not in own:
        members["__eq__"] = _eq_of([spec.name for spec in every if spec.compare])
    # Python itself gives a class without a hash to who says only how it is compared.
    if "__hash__" in own and not (own["__hash__"] is None and "__eq__" in own):
        return members
    hashed = [spec.name for spec in every if (spec.compare if spec.hash is None else spec.hash)]
    members["__hash__"] = _hash_of(hashed) if frozen else None
    return members


def _key_of(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _eq_of(names: list[str]) -> Any:
    key = _key_of(names)

    def __eq__(self: Any, other: Any) -> Any:  # noqa: N807
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash_of(names: list[str]) -> Any:
    key = _key_of(names)

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(key(self))

    return __hash__


def _freezing(names: set[str]) -> dict[str, Any]:
    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        _refuse(self, names, "assign to", name)
        _set(self, name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        _refuse(self, names, "delete", name)
        object.__delattr__(self, name)

    return {"__setattr__": __setattr__, "__delattr__": __delattr__}


def _refuse(value: Any, names: set[str], what: str, name: str) -> None:
    """A class that is made from a frozen one, and is no dataclass itself, may have attributes of its own."""
    if name in names or "__value_fields__" in type(value).__dict__:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot {what} field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, spec.name) for spec in self.__value_fields__]


def _setstate(self: Any, state: list[Any]) -> None:
    for spec, value in zip(self.__value_fields__, state, strict=True):
        _set(self, spec.name, value)
