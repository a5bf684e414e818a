"""Descriptors as readable ``.proto`` text.

Only what BuildKit's files use is known: proto3 messages, enums, services. Anything else is an error
and not a silent loss. Declarations keep their order, but within a message enums and messages stand
before the fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf import descriptor_pb2 as pb
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

__all__ = ["RenderError", "render"]

_Field = pb.FieldDescriptorProto

SCALARS = {
    _Field.TYPE_DOUBLE: "double",
    _Field.TYPE_FLOAT: "float",
    _Field.TYPE_INT64: "int64",
    _Field.TYPE_UINT64: "uint64",
    _Field.TYPE_INT32: "int32",
    _Field.TYPE_FIXED64: "fixed64",
    _Field.TYPE_FIXED32: "fixed32",
    _Field.TYPE_BOOL: "bool",
    _Field.TYPE_STRING: "string",
    _Field.TYPE_BYTES: "bytes",
    _Field.TYPE_UINT32: "uint32",
    _Field.TYPE_SFIXED32: "sfixed32",
    _Field.TYPE_SFIXED64: "sfixed64",
    _Field.TYPE_SINT32: "sint32",
    _Field.TYPE_SINT64: "sint64",
}
INDENT = "  "


class RenderError(Exception):
    """A descriptor holds something this renderer does not write."""


def render(file: pb.FileDescriptorProto, comment: str = "") -> str:
    """One file as text; ``comment`` goes on top, each line behind ``//``.

    Raises:
        RenderError: the file is not proto3, or uses a construct that is not known here.
    """
    if file.syntax != "proto3":
        raise RenderError(f"{file.name}: syntax {file.syntax or 'proto2'!r}, only proto3 is known")
    if file.extension or file.public_dependency or file.weak_dependency or file.HasField("options"):
        raise RenderError(f"{file.name}: extensions, public or weak imports and file options are not known")
    head = [f"// {line}".rstrip() for line in comment.splitlines()]
    head += [*([""] if head else []), 'syntax = "proto3";', "", f"package {file.package};"]
    blocks = ["\n".join(head)]
    if file.dependency:
        blocks.append("\n".join(f'import "{name}";' for name in sorted(file.dependency)))
    scope = f".{file.package}."
    blocks += ["\n".join(_service(service, scope)) for service in file.service]
    blocks += ["\n".join(_enum(enum)) for enum in file.enum_type]
    blocks += ["\n".join(_message(message, scope)) for message in file.message_type]
    return "\n\n".join(blocks) + "\n"


def _message(message: pb.DescriptorProto, scope: str) -> Iterator[str]:
    if message.extension or message.extension_range:
        raise RenderError(f"{message.name}: extensions are not known")
    entries = {n.name: n for n in message.nested_type if n.options.map_entry}
    body: list[str] = [f"option {o};" for o in _options(message.name, message.options, {"deprecated"})]
    for enum in message.enum_type:
        body += [*_enum(enum), ""]
    for nested in message.nested_type:
        if nested.name not in entries:
            body += [*_message(nested, scope), ""]
    body += _reserved([(r.start, r.end - 1) for r in message.reserved_range], message.reserved_name)
    body += _fields(message, entries, scope)
    yield from _block(f"message {message.name}", body)


def _fields(message: pb.DescriptorProto, entries: dict[str, pb.DescriptorProto], scope: str) -> Iterator[str]:
    started: set[int] = set()
    for field in message.field:
        if not field.HasField("oneof_index") or field.proto3_optional:
            yield _field(field, entries, scope)
        elif field.oneof_index not in started:
            started.add(field.oneof_index)
            members = [
                f for f in message.field if f.HasField("oneof_index") and f.oneof_index == field.oneof_index
            ]
            oneof = message.oneof_decl[field.oneof_index]
            body = [f"option {o};" for o in _options(oneof.name, oneof.options, set())]
            body += [_field(member, entries, scope) for member in members]
            yield from _block(f"oneof {oneof.name}", body)


def _field(field: _Field, entries: dict[str, pb.DescriptorProto], scope: str) -> str:
    if field.default_value or field.label == _Field.LABEL_REQUIRED or field.extendee:
        raise RenderError(f"{field.name}: defaults, required fields and extensions are not proto3")
    entry = entries.get(field.type_name.rpartition(".")[2]) if field.label == _Field.LABEL_REPEATED else None
    if entry is not None and field.type == _Field.TYPE_MESSAGE:
        key, value = entry.field
        label, kind = "", f"map<{_type(key, scope)}, {_type(value, scope)}>"
    else:
        repeated = field.label == _Field.LABEL_REPEATED
        label = "repeated " if repeated else "optional " if field.proto3_optional else ""
        kind = _type(field, scope)
    options = _options(field.name, field.options, {"deprecated", "packed"})
    if field.json_name and field.json_name != _json_name(field.name):
        options.append(f'json_name = "{field.json_name}"')
    suffix = f" [{', '.join(options)}]" if options else ""
    return f"{label}{kind} {field.name} = {field.number}{suffix};"


def _type(field: _Field, scope: str) -> str:
    if field.type in (_Field.TYPE_MESSAGE, _Field.TYPE_ENUM):
        return _reference(field.type_name, scope)
    if field.type not in SCALARS:
        raise RenderError(f"{field.name}: groups are not proto3")
    return SCALARS[field.type]


def _reference(name: str, scope: str) -> str:
    """A type as seen from the package: relative inside it, without the leading dot outside."""
    return name[len(scope) :] if name.startswith(scope) else name.removeprefix(".")


def _enum(enum: pb.EnumDescriptorProto) -> Iterator[str]:
    body = [f"option {o};" for o in _options(enum.name, enum.options, {"allow_alias", "deprecated"})]
    body += _reserved([(r.start, r.end) for r in enum.reserved_range], enum.reserved_name)
    for value in enum.value:
        options = _options(value.name, value.options, {"deprecated"})
        suffix = f" [{', '.join(options)}]" if options else ""
        body.append(f"{value.name} = {value.number}{suffix};")
    yield from _block(f"enum {enum.name}", body)


def _service(service: pb.ServiceDescriptorProto, scope: str) -> Iterator[str]:
    body = [f"option {o};" for o in _options(service.name, service.options, {"deprecated"})]
    for method in service.method:
        sent = "stream " * method.client_streaming + _reference(method.input_type, scope)
        got = "stream " * method.server_streaming + _reference(method.output_type, scope)
        line = f"rpc {method.name}({sent}) returns ({got})"
        options = _options(method.name, method.options, {"deprecated"})
        body += _block(line, [f"option {o};" for o in options]) if options else [line + ";"]
    yield from _block(f"service {service.name}", body)


def _reserved(ranges: list[tuple[int, int]], names: Iterable[str]) -> Iterator[str]:
    if ranges:
        spans = (str(first) if first == last else f"{first} to {last}" for first, last in ranges)
        yield f"reserved {', '.join(spans)};"
    quoted = [f'"{name}"' for name in names]
    if quoted:
        yield f"reserved {', '.join(quoted)};"


def _block(head: str, body: list[str]) -> Iterator[str]:
    while body and not body[-1]:
        body = body[:-1]
    if not body:
        yield head + " {}"
        return
    yield head + " {"
    yield from (INDENT + line if line else "" for line in body)
    yield "}"


def _options(owner: str, options: Message, known: set[str]) -> list[str]:
    """Options as ``name = value``; the known ones are all booleans."""
    found: list[str] = []
    for descriptor, value in options.ListFields():
        if descriptor.name not in known or descriptor.type != FieldDescriptor.TYPE_BOOL:
            raise RenderError(f"{owner}: the option {descriptor.name} is not known")
        found.append(f"{descriptor.name} = {'true' if value else 'false'}")
    return found


def _json_name(name: str) -> str:
    """What protoc gives a field that sets none."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)
