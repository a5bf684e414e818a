"""Checks of a definition, as the daemon would make them: a bad graph is found before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pybuildkit._wire import ProtoDecodeError
from pybuildkit.llb.caps import KNOWN_CAPABILITIES, CapSet
from pybuildkit.llb.dumping import describe
from pybuildkit.llb.schema import decode_op

if TYPE_CHECKING:
    from pybuildkit.llb.definitions import Definition

__all__ = ["problems"]

_SCHEMES = (
    "docker-image://", "docker-image+blob://", "oci-layout://", "oci-layout+blob://", "git://", "local://", "http://",
    "https://",
)  # fmt: skip


def problems(definition: Definition, caps: CapSet | None = None) -> list[str]:
    """What keeps a definition from being solved, one text for each; nothing is wrong with an empty one."""
    if not definition.ops:
        return []
    found: list[str] = []
    ops: dict[str, dict[str, Any]] = {}
    for data, digest in zip(definition.ops, definition.digests, strict=True):
        try:
            ops[digest] = decode_op(data)
        except (ProtoDecodeError, UnicodeDecodeError) as exc:
            found.append(f"op {digest} can not be read: {exc}")
    last = definition.digests[-1]
    if last in ops and (ops[last]["Op"] or len(ops[last].get("inputs", ())) != 1):
        found.append("the last op does not name the result, the definition may be cut off")
    for digest, op in ops.items():
        own = [*_op_problems(op, ops, terminal=digest == last), *_cap_problems(definition, digest, caps)]
        found.extend(f"{_name(definition, digest, op)}: {problem}" for problem in own)
    return found


def _name(definition: Definition, digest: str, op: dict[str, Any]) -> str:
    text = describe(op) or "the result"
    short = text if len(text) <= 60 else text[:57] + "..."
    for location in definition.locations(digest):
        for r in location.ranges:
            return f"{short} ({location.source.filename}:{r.start.line})"
    return f"{short} ({digest[:19]})"


def _op_problems(op: dict[str, Any], ops: dict[str, dict[str, Any]], *, terminal: bool) -> Iterator[str]:
    for given in op.get("inputs", ()):
        source = ops.get(given.get("digest", ""))
        index = given.get("index", 0)
        if source is None:
            yield f"needs {given.get('digest', '')!r}, which is not in the definition"
        elif not 0 <= index < max(1, _outputs(source)):
            yield f"needs output {index} of {describe(source)!r}, which has {_outputs(source)}"
    what = op["Op"]
    if not what and not terminal:
        yield "does nothing that this library knows"
    count = len(op.get("inputs", ()))
    for kind, check in _CHECKS.items():
        if kind in what:
            yield from check(what[kind], count)


def _outputs(op: dict[str, Any]) -> int:
    """How many outputs an op has."""
    what = op["Op"]
    if "exec" in what:
        return 1 + max((m.get("output", 0) for m in what["exec"].get("mounts", ())), default=-1)
    if "passthrough" in what:
        return len(what["passthrough"].get("outputs", ()))
    return 1


def _source(source: dict[str, Any], count: int) -> Iterator[str]:
    identifier = source.get("identifier", "")
    if not identifier.startswith(_SCHEMES):
        yield f"source {identifier!r} has no scheme that the daemon knows: {' '.join(_SCHEMES)}"
    if count:
        yield "is a source and has inputs"


def _exec(op: dict[str, Any], count: int) -> Iterator[str]:
    meta, mounts = op.get("meta", {}), op.get("mounts", [])
    if not meta.get("args"):
        yield "has no arguments"
    if not meta.get("cwd"):
        yield "has no working directory"
    targets = [mount.get("dest", "") for mount in mounts]
    if "/" not in targets:
        yield "has no root"
    for target in sorted({t for t in targets if targets.count(t) > 1}):
        yield f"mounts two things at {target!r}"
    for mount in mounts:
        yield from _range(mount, "input", count, f"the mount at {mount.get('dest', '')!r}")


def _file(op: dict[str, Any], count: int) -> Iterator[str]:
    actions = op.get("actions", [])
    if not actions:
        yield "has no actions"
    for number, action in enumerate(actions):
        for name in ("input", "secondaryInput"):
            yield from _range(action, name, count + number, f"action {number}")
        if not action["Action"]:
            yield f"action {number} does nothing that this library knows"
    if actions and all(action["output"] < 0 for action in actions):
        yield "has no output"


def _merge(op: dict[str, Any], count: int) -> Iterator[str]:
    inputs = op.get("inputs", [])
    if len(inputs) < 2:
        yield "merges less than two inputs"
    for given in inputs:
        yield from _range(given, "input", count, "the merge")


def _diff(op: dict[str, Any], count: int) -> Iterator[str]:
    for side in ("lower", "upper"):
        if side not in op:
            yield f"has no {side}"
        else:
            yield from _range(op[side], "input", count, f"the {side}")


def _passthrough(op: dict[str, Any], count: int) -> Iterator[str]:
    if not op.get("id"):
        yield "has no id"
    if not op.get("outputs"):
        yield "has no outputs"
    for number in op.get("outputs", ()):
        yield from _range({"input": number}, "input", count, "the pass-through", low=0)


_CHECKS = {
    "source": _source,
    "exec": _exec,
    "file": _file,
    "merge": _merge,
    "diff": _diff,
    "passthrough": _passthrough,
}


def _range(values: dict[str, Any], name: str, count: int, what: str, low: int = -1) -> Iterator[str]:
    number = values.get(name, 0)
    if not low <= number < count:
        yield f"{what} takes input {number}, there are {count}"


def _cap_problems(definition: Definition, digest: str, caps: CapSet | None) -> Iterator[str]:
    known = CapSet(KNOWN_CAPABILITIES) if caps is None else caps
    metadata = definition.metadata.get(digest)
    for cap in sorted(metadata.caps) if metadata is not None else ():
        if why := known.why_not(cap):
            yield why
