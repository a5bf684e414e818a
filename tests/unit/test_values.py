"""The package's own decorator against the standard one, for every class of the package and for some made up here."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Any, ClassVar

import pytest

import pybuildkit
from pybuildkit import _lazydataclass as lazy


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(pybuildkit.__path__, "pybuildkit."):
        if "._pb" not in found.name and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def classes() -> list[Any]:
    found = {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type)
        and "__value_fields__" in vars(value)
        and value.__module__ == module.__name__
    }
    return sorted(found, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


def twin_of(cls: Any) -> Any:
    """What the standard decorator makes of the same fields below the same bases' twins."""
    made = {
        "__value_fields__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__replace__",
        "__match_args__",
        "__dict__",
        "__weakref__",
        "__slots__",
    }
    module = lazy.__name__
    body = {
        name: value
        for name, value in vars(cls).items()
        if name not in made
        and getattr(value, "__module__", None) != module
        and not inspect.ismemberdescriptor(value)
    }
    params = {
        name: getattr(cls.__dataclass_params__, name)
        for name in ("init", "repr", "eq", "frozen", "kw_only", "slots")
        if hasattr(cls.__dataclass_params__, name)
    }
    if params["init"]:
        body.pop("__init__", None)
    own = vars(cls).get("__annotations__", {})
    for spec in cls.__value_fields__:
        if spec.name in own:
            body[spec.name] = spec.standard()
    body["__annotations__"] = {name: kind for name, kind in own.items() if kind != "KW_ONLY"}
    if body.get("__hash__", 1) is None:
        del body["__hash__"]
    bases = tuple(twin_of(base) if "__value_fields__" in vars(base) else base for base in cls.__bases__)
    slots = "__slots__" in vars(cls)
    twin = type(cls)(cls.__name__, bases, body)
    return dataclasses.dataclass(**{**params, "slots": slots})(twin)


EVERY = classes()


def test_there_are_many() -> None:
    assert len(EVERY) > 200


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_like_the_standard_one(cls: Any) -> None:
    twin = twin_of(cls)
    assert str(inspect.signature(cls)) == str(inspect.signature(twin))
    assert cls.__match_args__ == twin.__match_args__
    assert hasattr(cls, "__dataclass_fields__")  # is_dataclass, which would narrow the type
    ours, theirs = dataclasses.fields(cls), dataclasses.fields(twin)
    for name in ("name", "type", "init", "repr", "hash", "compare", "kw_only", "metadata", "default"):
        assert [getattr(f, name) for f in ours] == [getattr(f, name) for f in theirs], name
    assert vars(cls).get("__slots__") == vars(twin).get("__slots__")
    assert ("__dict__" in dir(cls)) == ("__dict__" in dir(twin))
    for name in ("__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__getstate__", "__init__"):
        assert (getattr(cls, name) is None) == (getattr(twin, name) is None), name
        assert (getattr(cls, name) is getattr(object, name)) == (
            getattr(twin, name) is getattr(object, name)
        ), name
    assert vars(cls)["__init__"].__qualname__ == f"{cls.__qualname__}.__init__"


def both(decorate: Any, field: Any) -> dict[str, Any]:
    """The same classes by either decorator."""

    @decorate(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list, hash=False)
        hidden: str = field(default="h", repr=False, compare=False)
        made: int = field(default=7, init=False)
        kind: ClassVar[str] = "point"

    @decorate(frozen=True, slots=True)
    class Deep(Point):
        _: KW_ONLY
        z: int = 3

        def __post_init__(self) -> None:
            if self.z < 0:
                raise ValueError("z")

    @decorate(slots=True)
    class Open:
        a: int
        b: Mapping[str, int] = field(default_factory=dict)

    @decorate(frozen=True, slots=True, eq=False, repr=False)
    class Bare:
        a: int

        def __repr__(self) -> str:
            return "bare"

    @decorate(slots=True, kw_only=True)
    class Named:
        a: int
        b: int = field(default=1, kw_only=False)

    @decorate
    class Plain:
        a: int = 1
        b: list[int] = field(default_factory=list)

    @decorate(frozen=True, slots=True)
    class Nothing:
        pass

    @decorate(frozen=True, slots=True)
    class Compared:
        a: int

        def __eq__(self, other: object) -> bool:
            return True

    @decorate(frozen=True, slots=True)
    class Recursive:
        a: list[Any]

    class Child(Point):
        __slots__ = ("own",)
        own: int

    found = [Point, Deep, Open, Bare, Named, Plain, Nothing, Compared, Recursive, Child]
    return {cls.__name__: cls for cls in found}


OURS = both(lazy.dataclass, lazy.field)
THEIRS = both(dataclasses.dataclass, dataclasses.field)


def outcome(act: Any) -> Any:
    try:
        return act()
    except Exception as exc:
        return type(exc), str(exc).replace("cannot be replaced", "can not be replaced")


@pytest.mark.parametrize(
    "code",
    [
        "repr(Point(1))",
        "repr(Point(1, tags=['a'])), repr(Deep(1, z=5)), repr(Open(1)), repr(Bare(2)), repr(Nothing())",
        "Point(1) == Point(1), Point(1) == Point(2), Point(1) == 1, Point(1) == Deep(1), Deep(1) == Deep(1)",
        "Point(1, hidden='a') == Point(1, hidden='b')",
        "hash(Point(1)) == hash(Point(1, tags=['x'])), hash(Point(1)) == hash(Point(1, 3))",
        "hash(Open(1))",
        "hash(Nothing()) == hash(Nothing())",
        "hash(Compared(1)) == hash(Compared(1)), Compared(1) == 7",
        "Bare(1) == Bare(1)",
        "Point()",
        "Point(1, 2, [], 'h', 7)",
        "Point(1, nothing=1)",
        "Point(1, made=1)",
        "Deep(1, 2, [], 'h', 4)",
        "Deep(1, z=-1)",
        "Named(1), repr(Named(a=1))",
        "repr(Named(3, a=1))",
        "setattr(Point(1), 'x', 2)",
        "delattr(Point(1), 'x')",
        "setattr(Open(1), 'new', 2)",
        "Plain().b is not Plain().b, Plain.a, hasattr(Plain, 'b'), repr(Plain())",
        "Point(1).made, Point.kind, Point(1).kind",
        "Point(1).__match_args__, Deep(1).__match_args__, Named(a=1).__match_args__",
        "repr(copy.copy(Point(1, 5))), copy.deepcopy(Point(1, tags=['x'])) == Point(1, tags=['x'])",
        "repr(dataclasses.replace(Deep(1, z=2), x=4)), dataclasses.asdict(Deep(1)), dataclasses.astuple(Open(1))",
        "dataclasses.replace(Point(1), made=3)",
        "hasattr(Point(1), '__dict__'), hasattr(Plain(), '__dict__')",
        "str(inspect.signature(Point)), str(inspect.signature(Deep)), str(inspect.signature(Child))",
        "Point.__init__.__annotations__",
        "Point.__doc__ is None or 'Point' in Point.__doc__",
        "(lambda r: (r.a.append(r), repr(r)))(Recursive([]))[1]",
    ],
)
def test_same_behaviour(code: str) -> None:
    tools = {"copy": copy, "dataclasses": dataclasses, "inspect": inspect}
    ours = outcome(lambda: eval(code, {**tools, **OURS}))
    theirs = outcome(lambda: eval(code, {**tools, **THEIRS}))
    assert ours == theirs


def test_attributes_that_are_no_fields() -> None:
    """The standard decorator raises a TypeError of its own here, as its ``super()`` means a class that is gone."""
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'new'"):
        OURS["Point"](1).new = 2
    child = OURS["Child"](1)
    child.own = 2
    assert child.own == 2
    del child.own
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        child.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del child.x


def test_replace_and_fields() -> None:
    deep = OURS["Deep"](1, z=2)
    assert lazy.replace(deep, x=4).x == 4
    assert [f.name for f in lazy.fields(deep)] == ["x", "y", "tags", "hidden", "made", "z"]
    with pytest.raises(ValueError, match="made"):
        lazy.replace(deep, made=1)


def test_pickle() -> None:
    from pybuildkit import Platform

    platform = Platform.parse("linux/arm64/v8")
    assert pickle.loads(pickle.dumps(platform)) == platform


def test_matching() -> None:
    from pybuildkit import Platform

    match Platform.parse("linux/arm64"):
        case Platform(os, arch):
            assert (os, arch) == ("linux", "arm64")
        case _:
            pytest.fail("no match")


def test_what_it_spares() -> None:
    """Making classes and using them imports neither dataclasses nor inspect."""
    code = (
        "import sys\n"
        "import pybuildkit.plan\n"
        "from pybuildkit.events import Vertex\n"
        "repr(Vertex(digest='', name=''))\n"
        "print([name for name in ('dataclasses', 'inspect') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_all_modules_take_it() -> None:
    """One that takes the standard decorator brings ``inspect`` into every program that imports it."""
    root = Path(pybuildkit.__file__).parent
    taking = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"^(from dataclasses import|import dataclasses)", path.read_text(), re.MULTILINE)
    }
    assert taking == set()
