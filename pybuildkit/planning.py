"""From the options that users write to the ingredients of a plan. Looks at files: run it in a thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack, cast

from pybuildkit.entitlements import resolve_entitlements
from pybuildkit.errors import ConfigError
from pybuildkit.fsutil.coerce import as_tree
from pybuildkit.marshalling import SMALL, OpenImages, to_definition, to_definitions, without_images
from pybuildkit.plan import Ingredients, SolvePlan
from pybuildkit.services import read_offers

if TYPE_CHECKING:
    from pathlib import Path

    from pybuildkit.fsutil import FS
    from pybuildkit.llb import Definition
    from pybuildkit.options import Context
    from pybuildkit.outputs import Output
    from pybuildkit.plan import Caches
    from pybuildkit.secrets import Secret

__all__ = [
    "DOCKERFILE_KEYS",
    "FRONTEND_KEYS",
    "frontend_build",
    "gateway_build",
    "gateway_plan",
    "graph_build",
    "graph_locals",
    "is_graph",
    "is_quick",
    "plan_for",
    "plan_now",
    "session_ingredients",
]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def plan_for(
    target: object,
    options: dict[str, Any],
    call: str = "stream",
    *,
    images: OpenImages = without_images,
) -> SolvePlan:
    """The plan of a build, whatever its target is.

    Args:
        target: a graph, a directory or tree with a Dockerfile, or None with a frontend.
        options: keyword options as users write them.
        call: the method that was called: ``build`` takes no graph, ``solve`` no directory, ``stream`` both.
        images: looks up images that a graph must know, and is not opened when there are none.

    Raises:
        ConfigError, DefinitionError: an argument can not work.
        BuildError: an image could not be looked up.
    """
    options = _given(options)
    inputs: Mapping[str, Definition] = {}
    at_once = False
    if is_graph(target) and call != "build":
        _check_graph(options)
        target = definition = await to_definition(target, images)
        # A thread costs more than this does.
        at_once = options.keys() <= _IN_MEMORY and len(definition.ops) <= SMALL and not definition.locals
    elif target is None and call != "build":
        inputs = await to_definitions(options.get("inputs"), images)
    if at_once:
        return _planned(target, options, inputs, call)
    return await _in_thread(_planned, target, options, inputs, call)


def plan_now(target: object, options: dict[str, Any], call: str = "stream") -> SolvePlan:
    """The plan of a build for which no image need be looked up. Blocks on the disk.

    Args:
        target: a definition, a directory or tree with a Dockerfile, or None with a frontend.
        options: keyword options as users write them; no inputs and no shared session.
        call: see ``plan_for``.

    Raises:
        ConfigError, DefinitionError: an argument can not work.
    """
    return _planned(target, _given(options), {}, call)


def _planned(
    target: object, options: dict[str, Any], inputs: Mapping[str, Definition], call: str
) -> SolvePlan:
    return _finished(_ingredients(target, options, inputs, call), options)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None and value != ""}


def is_quick(target: object, options: Mapping[str, Any], call: str) -> bool:
    """Whether a build is planned, as far as its options tell, without a look at the disk, and moves no files."""
    return call != "build" and is_graph(target) and _given(dict(options)).keys() <= _IN_MEMORY


async def _in_thread(function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    from anyio import to_thread

    return await to_thread.run_sync(function, *args)


def _check_graph(options: Mapping[str, Any]) -> None:
    if options.get("frontend"):
        raise ConfigError(
            "a graph does not go with frontend=; give the graph as inputs={...}, or leave the frontend out"
        )


def _ingredients(
    target: object, options: dict[str, Any], inputs: Mapping[str, Definition], call: str
) -> Ingredients:
    if is_graph(target) and call != "build":
        _check_graph(options)
        return graph_build(cast("Definition", target), options)
    if target is None and call != "build":
        if not options.get("frontend"):
            raise ConfigError("there is nothing to build: give a graph, or frontend=")
        return frontend_build(options, inputs)
    if call == "solve":
        raise ConfigError(
            f"solve() can not take {type(target).__name__}: give a graph; build() takes directories"
        )
    return dockerfile_build(cast("Context", target), options)


def _finished(made: Ingredients, options: Mapping[str, Any]) -> SolvePlan:
    session = options.get("session")
    if session is not None:
        session.claim(made)
    return SolvePlan(made)


async def gateway_plan(options: dict[str, Any], *, images: OpenImages = without_images) -> SolvePlan:
    """The plan of a build that decides as it goes: what it solves is not known yet.

    Args:
        options: keyword options as users write them.
        images: see ``plan_for``.

    Raises:
        ConfigError, DefinitionError: an argument can not work.
        BuildError: an image could not be looked up.
    """
    options = _given(options)
    inputs = await to_definitions(options.get("inputs"), images)
    return await _in_thread(lambda: _finished(gateway_build(options, inputs), options))


_IN_MEMORY = frozenset(["auth", "ref", "no_cache", "entitlements"])
"""Options that are read without a look at the disk."""

COMMON_KEYS = frozenset(
    [
        "locals",
        "secrets",
        "ssh",
        "auth",
        "session",
        "uploads",
        "outputs",
        "late_outputs",
        "on_exported",
        "cache_from",
        "cache_to",
        "oci_layouts",
        "entitlements",
        "source_policy",
        "no_cache",
        "progress",
        "ref",
        "internal",
        "proxy_network",
        "compatibility_version",
    ]
)
SESSION_KEYS = frozenset(("locals", "secrets", "ssh", "auth"))
GATEWAY_KEYS = frozenset(("attrs", "inputs"))
FRONTEND_KEYS = frozenset(("frontend", "attrs", "inputs"))
DOCKERFILE_KEYS = frozenset(
    [
        "file",
        "target",
        "build_args",
        "labels",
        "platforms",
        "tags",
        "contexts",
        "pull",
        "add_hosts",
        "network",
        "hostname",
        "shm_size",
        "ulimits",
        "cgroup_parent",
        "sbom",
        "provenance",
        "syntax",
    ]
)


def is_graph(target: object) -> bool:
    """Whether a target is a graph, and not a directory or a tree."""
    if isinstance(target, bytes):
        return True
    if target is None or isinstance(target, str | os.PathLike):
        return False
    from pybuildkit.llb import Definition, State

    return isinstance(target, State | Definition)


def check_names(options: Mapping[str, Any], allowed: frozenset[str], what: str) -> None:
    """Refuse options that the call does not know: a typing error must not be ignored.

    Raises:
        TypeError: as Python does for unknown keyword arguments.
    """
    unknown = sorted(key for key in options if key not in COMMON_KEYS | allowed)
    if unknown:
        raise TypeError(
            f"{what} has no option {unknown[0]!r}; it takes {', '.join(sorted(COMMON_KEYS | allowed))}"
        )


def listed(value: T | Iterable[T] | None, kinds: type | tuple[type, ...]) -> list[T]:
    """One value or several, as a list."""
    if value is None:
        return []
    if isinstance(value, kinds):
        return [value]  # type: ignore[list-item]
    return list(value)  # type: ignore[arg-type]


def _home(path: str | os.PathLike[str]) -> Path:
    from pathlib import Path  # a matter of start-up time

    return Path(path).expanduser()


def common(options: Mapping[str, Any], names: Iterable[str] = ()) -> Ingredients:
    """The options that all builds share, as values; ``names`` are for images that have none."""
    made = Ingredients(
        ref=_ref(options.get("ref")),
        locals={n: as_tree(value, f"local {n!r}") for n, value in (options.get("locals") or {}).items()},
        secrets=_secrets(options.get("secrets")),
        outputs=_outputs(options.get("outputs"), tuple(names)),
        late_outputs=_function("late_outputs", options.get("late_outputs")),
        on_exported=_function("on_exported", options.get("on_exported")),
        names=tuple(names),
        cache_from=_imports(options.get("cache_from")),
        cache_to=_exports(options.get("cache_to")),
        entitlements=resolve_entitlements(options.get("entitlements")),
        source_policy=_policy(options.get("source_policy")),
        oci_layouts={name: _home(path) for name, path in (options.get("oci_layouts") or {}).items()},
        internal=bool(options.get("internal")),
        proxy_network=bool(options.get("proxy_network")),
        compatibility_version=options.get("compatibility_version") or 0,
        offers=read_offers(options),
    )
    for name, secret in made.secrets.items():
        secret.check(name)
    if options.get("session") is not None:
        from pybuildkit.shared import shared_session

        shared_session(options["session"]).lend(made)
    return made


# A module is imported by the first build that has a use for it: most builds have for few of them.


def _secrets(value: Any) -> Mapping[str, Secret]:
    if not value:
        return {}
    from pybuildkit.secrets import coerce_secrets

    return coerce_secrets(value)


def _outputs(value: Any, names: tuple[str, ...]) -> tuple[Output, ...]:
    if not value and not names:
        return ()
    from pybuildkit._output_text import resolve_outputs

    return resolve_outputs(value, names=names)


def _imports(value: Any) -> Caches:
    if not value:
        return ()
    from pybuildkit._cache_text import resolve_imports

    return resolve_imports(value)


def _exports(value: Any) -> Caches:
    if not value:
        return ()
    from pybuildkit._cache_text import resolve_exports

    return resolve_exports(value)


def _ref(value: str | None) -> str:
    if value is not None and (not value or not value.isascii() or not value.isprintable()):
        raise ConfigError(
            f"ref={value!r} can not be a build's id; give printable ASCII, or nothing for a new one"
        )
    return value or ""


def _policy(value: Any) -> bytes | None:
    if value is None or callable(value):
        return None
    from pybuildkit.sourcepolicy import load_source_policy

    found = load_source_policy(value)
    return found.encode() if found is not None else None


def _function(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise ConfigError(f"{name}= can not be {type(value).__name__}: give a function")
    return value


def session_ingredients(options: Mapping[str, Any]) -> Ingredients:
    """What a session for several builds is made of.

    Raises:
        ConfigError: an argument can not work.
    """
    options = {key: value for key, value in options.items() if value is not None}
    unknown = sorted(set(options) - SESSION_KEYS)
    if unknown:
        raise TypeError(f"session() has no option {unknown[0]!r}; it takes {', '.join(sorted(SESSION_KEYS))}")
    made = common(options)
    if "auth" not in options:
        made.offers.auth = None
    return made


def gateway_build(options: Mapping[str, Any], inputs: Mapping[str, Definition]) -> Ingredients:
    """A build whose graphs come while it runs."""
    check_names(options, GATEWAY_KEYS, "gateway()")
    if options.get("no_cache"):
        raise ConfigError(
            "no_cache= belongs to each solve of a gateway build: gateway.solve(..., no_cache=True)"
        )
    made = common(options)
    made.attrs = _attrs(options.get("attrs") or {})
    _take_credentials(made)
    _add_inputs(made, inputs)
    made.growing = True
    return made


def frontend_build(options: Mapping[str, Any], inputs: Mapping[str, Definition]) -> Ingredients:
    """A build by a frontend's name and attributes."""
    check_names(options, FRONTEND_KEYS, "solve() with a frontend")
    made = common(options)
    made.frontend = options["frontend"]
    made.attrs = _attrs(options.get("attrs") or {})
    _take_credentials(made)
    _add_inputs(made, inputs)
    no_cache = options.get("no_cache")
    if no_cache:  # B24: everything, or the stages that are named
        made.attrs["no-cache"] = "" if no_cache is True else ",".join(listed(no_cache, str))
    return made


def dockerfile_build(context: Context, options: Mapping[str, Any]) -> Ingredients:
    """A build of a Dockerfile directory."""
    from pybuildkit.dockerfile import dockerfile_request

    check_names(options, DOCKERFILE_KEYS, "build()")
    given = {key: options[key] for key in DOCKERFILE_KEYS | {"no_cache"} if key in options}
    request = dockerfile_request(context, **given)
    if request.wants_ssh and "ssh" not in options and "session" not in options:
        options = {**options, "ssh": True}
    made = common(options, request.names)
    made.frontend = request.frontend
    made.attrs = dict(request.attrs)
    _take_credentials(made)
    made.locals |= request.locals
    made.oci_layouts |= request.oci_layouts
    made.entitlements = tuple(dict.fromkeys((*made.entitlements, *request.entitlements)))
    if request.inline_cache:
        from pybuildkit.caches import InlineCache

        made.cache_to = _exports([*(cache for cache, _ in made.cache_to), InlineCache()])
    return made


def _take_credentials(made: Ingredients) -> None:
    """See that those in the URLs of contexts are not recorded (T20)."""
    if any("@" in value for value in made.attrs.values()):
        from pybuildkit.dockerfile.urlcredentials import take_credentials

        made.secrets = take_credentials(made.attrs, made.secrets)


def _add_inputs(made: Ingredients, inputs: Mapping[str, Definition]) -> None:
    for name, definition in inputs.items():
        made.inputs[name] = definition.to_bytes()
        made.locals |= graph_locals(definition, made.locals)


def graph_build(definition: Definition, options: Mapping[str, Any]) -> Ingredients:
    """A build of a graph."""
    for key in ("attrs", "inputs"):
        if options.get(key):
            raise ConfigError(f"{key}= is for a frontend; a graph takes none")
    check_names(options, FRONTEND_KEYS, "solve() of a graph")
    if not definition:
        raise ConfigError("the graph is empty (scratch): there is nothing to solve")
    no_cache = options.get("no_cache")
    if no_cache:
        if no_cache is not True:
            raise ConfigError("no_cache= of a graph is True or False; its stages have no names")
        definition = definition.without_cache()
    made = common(options)
    made.definition = definition.to_bytes()
    made.locals |= graph_locals(definition, made.locals)
    return made


def graph_locals(definition: Definition, given: Mapping[str, FS]) -> dict[str, FS]:
    """The trees that a graph reads and that are not given yet.

    S27: the daemon may ask only for what the graph names; what is missing is found out here.

    Raises:
        LocalNotFound: the graph has only the name of one.
        ConfigError: one can not be used.
    """
    found: dict[str, FS] = {}
    for name, source in definition.locals.items():
        if name in given:
            continue
        if source.source is None:
            from pybuildkit.errors import LocalNotFound

            error = LocalNotFound(
                f"the graph reads the local directory {name!r}; give it with locals={{{name!r}: ...}}"
            )
            error.name = name
            raise error
        found[name] = as_tree(source.source, f"local {name!r}")
    return found


def _attrs(attrs: Mapping[str, str]) -> dict[str, str]:
    for key, value in attrs.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigError(f"the frontend attribute {key!r}={value!r} must be a string")
    return dict(attrs)
