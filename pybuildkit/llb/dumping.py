"""Definitions for people: JSON as ``buildctl debug dump-llb`` prints it, and pictures (L92, X23)."""

from __future__ import annotations

from typing import Any

from pybuildkit._wire import ProtoDecodeError
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._encode import go_json
from pybuildkit.llb.definitions import Definition
from pybuildkit.llb.schema import decode, decode_op

__all__ = ["describe", "dump", "to_dot", "to_json"]

_SHAPES = {
    "source": "ellipse",
    "exec": "box",
    "build": "box3d",
    "merge": "invtriangle",
    "diff": "doublecircle",
}


def dump(data: bytes | Definition, *, dot: bool = False) -> str:
    """A definition for people.

    Args:
        data: the definition, or its bytes.
        dot: for Graphviz instead of as JSON.

    Raises:
        DefinitionError: it is none.
    """
    made = data if isinstance(data, Definition) else Definition.from_bytes(data)
    return to_dot(made) if dot else to_json(made)


def to_json(definition: Definition) -> str:
    """One op in a line: what it does, its digest, what is said of it, and, when known, where it comes from.

    Go's dump leaves out symlinks and places; otherwise the lines are the same.
    """
    lines = []
    for op, digest in zip(definition.ops, definition.digests, strict=True):
        entry: dict[str, Any] = {"Op": _decoded(op, digest), "Digest": digest}
        entry["OpMetadata"] = decode("OpMetadata", definition.encoded_metadata(digest))
        if places := _places(definition, digest):
            entry["Source"] = places
        lines.append(go_json(entry) + "\n")
    return "".join(lines)


def to_dot(definition: Definition) -> str:
    """The graph for Graphviz; below an op's text is what is said of it."""
    ops = [
        (digest, _decoded(op, digest)) for op, digest in zip(definition.ops, definition.digests, strict=True)
    ]
    lines = ["digraph {"]
    for digest, op in ops:
        kind = next(iter(op["Op"]), "")
        notes = _notes(definition, digest)
        label = describe(op) or digest
        shape = _SHAPES.get(kind, "note" if kind == "file" else "plaintext")
        lines.append(
            f"  {_quote(digest)} [label={_quote(chr(10).join([label, *notes]))} shape={_quote(shape)}];"
        )
    for digest, op in ops:
        mounts = op["Op"].get("exec", {}).get("mounts", ())
        for number, given in enumerate(op.get("inputs", ())):
            targets = [m["dest"] for m in mounts if m.get("input", 0) == number and m.get("dest") != "/"]
            label = _quote(targets[-1] if targets else "")
            lines.append(f"  {_quote(given['digest'])} -> {_quote(digest)} [label={label}];")
    return "\n".join([*lines, "}", ""])


def describe(op: dict[str, Any]) -> str:
    """What a decoded op does, in one line; empty for the last op of a definition."""
    what: dict[str, Any] = op["Op"]
    if "source" in what:
        return str(what["source"].get("identifier", ""))
    if "exec" in what:
        return " ".join(what["exec"].get("meta", {}).get("args", ()))
    if "file" in what:
        return ",".join(_describe_action(action["Action"]) for action in what["file"].get("actions", ()))
    if "passthrough" in what:
        return f"passthrough {what['passthrough'].get('id', '')}"
    return str(next(iter(what), ""))


def _describe_action(action: dict[str, Any]) -> str:
    for kind, (first, second) in {"copy": ("src", "dest"), "symlink": ("oldpath", "newpath")}.items():
        if kind in action:
            return f"{kind}{{{first}={action[kind].get(first, '')}, {second}={action[kind].get(second, '')}}}"
    return ", ".join(f"{kind}{{path={values.get('path', '')}}}" for kind, values in action.items())


def _notes(definition: Definition, digest: str) -> list[str]:
    metadata = definition.metadata.get(digest)
    if metadata is None:
        return []
    notes = [f"{key}: {value}" for key, value in sorted(metadata.description.items())]
    if metadata.ignore_cache:
        notes.append("ignore cache")
    if metadata.export_cache is not None:
        notes.append("export cache" if metadata.export_cache else "no export cache")
    if metadata.progress_group is not None:
        notes.append(f"group: {metadata.progress_group.name or metadata.progress_group.id}")
    if metadata.resources is not None:
        notes.append("limited resources")
    notes += [f"{place['filename']}:{place['start']}" for place in _places(definition, digest)]
    return notes


def _places(definition: Definition, digest: str) -> list[dict[str, Any]]:
    return [
        {"filename": location.source.filename, "start": r.start.line, "end": max(r.start.line, r.end.line)}
        for location in definition.locations(digest)
        for r in location.ranges
    ]


def _decoded(op: bytes, digest: str) -> dict[str, Any]:
    try:
        return decode_op(op)
    except (ProtoDecodeError, UnicodeDecodeError) as exc:
        raise DefinitionError(f"op {digest} can not be read: {exc}") from exc


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
