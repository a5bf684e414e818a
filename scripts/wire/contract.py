"""What is asked of the daemon, and how its descriptors are fitted for Python.

A Go program may register types called ``pb.Op`` or ``errdefs.Solve``; in a Python process all
libraries share one descriptor pool, and a second ``pb.Platform`` in it is a crash at import. The same
goes for the standard packages that a user may well have from elsewhere (``grpc.health.v1`` from
grpcio-health-checking, ``opentelemetry.proto`` from the OTLP exporter). So whatever is not already
under ``moby.`` is put under ``moby.buildkit.``: package names do not travel, except in the paths of
calls, which ``generate`` sets right (see [packages] in the lock).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from google.protobuf import descriptor_pb2 as pb
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

__all__ = ["PYTHON_PACKAGE", "SYMBOLS", "Contract", "ContractError", "fit", "require_same"]

SYMBOLS = (
    # Served by the daemon.
    "moby.buildkit.v1.Control",
    "moby.buildkit.v1.frontend.LLBBridge",
    "containerd.services.content.v1.Content",
    "opentelemetry.proto.collector.trace.v1.TraceService",
    "grpc.health.v1.Health",
    # Called by the daemon in a session.
    "moby.filesync.v1.FileSync",
    "moby.filesync.v1.Auth",
    "moby.buildkit.secrets.v1.Secrets",
    "moby.sshforward.v1.SSH",
    "moby.upload.v1.Upload",
    "moby.exporter.v1.Exporter",
    "moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier",
    # Carried inside other messages: graphs, policies, capabilities, trees, details of errors.
    "pb.Op",
    "moby.buildkit.v1.sourcepolicy.Policy",
    "moby.buildkit.v1.apicaps.APICap",
    "moby.buildkit.v1.types.WorkerRecord",
    "fsutil.types.Packet",
    "errdefs.Solve",
    "stack.Stack",
)
"""One symbol of each file that is wanted; what those import comes along."""

PYTHON_PACKAGE = "pybuildkit/_pb"
"""Where the files are for protoc, and thus for Python's imports."""

NAMESPACE = "moby.buildkit."
OWN = "moby."
VENDORED = "google/"
"""The runtime and googleapis-common-protos bring these."""
DROPPED = frozenset({"github.com/planetscale/vtprotobuf/vtproto/ext.proto"})
"""Hints for a Go code generator, nothing on the wire."""
DROPPED_OPTIONS = range(64101, 64111)
"""The field numbers of those hints among a message's or field's options."""


class ContractError(Exception):
    """The daemon's descriptors hold something these scripts do not know how to keep."""


@dataclass(frozen=True, slots=True)
class Contract:
    """The descriptors of one daemon, fitted, by file name without folders."""

    files: dict[str, pb.FileDescriptorProto]
    wire_packages: dict[str, str] = field(default_factory=dict)
    """For each package that was renamed: its name here, and on the wire."""


def fit(described: Iterable[pb.FileDescriptorProto]) -> Contract:
    """Flatten the files into one folder, rename generic packages, drop what is for other languages.

    Raises:
        ContractError: two files would get the same name, or an unknown option would be lost.
    """
    originals = [f for f in described if f.name not in DROPPED and not f.name.startswith(VENDORED)]
    names = {f.name: _import_name(f.name) for f in originals}
    if len(set(names.values())) != len(names):
        raise ContractError(f"two files have the same name: {sorted(names)}")
    types = {
        "." + old: "." + _package(f.package) + old[len(f.package) :]
        for f in originals
        for old in _declared(f)
    }
    files: dict[str, pb.FileDescriptorProto] = {}
    wire_packages: dict[str, str] = {}
    for original in sorted(originals, key=lambda f: names[f.name]):
        fitted = _fit_file(original, names, types)
        files[PurePosixPath(original.name).name] = fitted
        if fitted.package != original.package:
            wire_packages[fitted.package] = original.package
    return Contract(files, dict(sorted(wire_packages.items())))


def _import_name(name: str) -> str:
    return f"{PYTHON_PACKAGE}/{PurePosixPath(name).name}"


def _package(name: str) -> str:
    return name if name.startswith(OWN) else NAMESPACE + name


def _declared(file: pb.FileDescriptorProto) -> Iterator[str]:
    """The full names of all messages and enums of a file."""
    pending = [(file.package, list(file.message_type), list(file.enum_type))]
    while pending:
        scope, messages, enums = pending.pop()
        yield from (f"{scope}.{e.name}" for e in enums)
        for message in messages:
            full = f"{scope}.{message.name}"
            yield full
            pending.append((full, list(message.nested_type), list(message.enum_type)))


def _fit_file(
    original: pb.FileDescriptorProto, names: dict[str, str], types: dict[str, str]
) -> pb.FileDescriptorProto:
    file = pb.FileDescriptorProto()
    file.CopyFrom(original)
    file.name = names[original.name]
    file.package = _package(original.package)
    file.ClearField("options")  # names for Go, Java, C# and Objective-C
    file.ClearField("source_code_info")
    del file.dependency[:]
    file.dependency.extend(names.get(d, d) for d in original.dependency if d not in DROPPED)

    def renamed(name: str) -> str:
        return types.get(name, name)

    for message in file.message_type:
        _fit_message(message, renamed)
    for enum in file.enum_type:
        _fit_enum(enum)
    for service in file.service:
        _fit_options(service)
        for method in service.method:
            method.input_type, method.output_type = renamed(method.input_type), renamed(method.output_type)
            _fit_options(method)
    return file


def _fit_message(message: pb.DescriptorProto, renamed: Callable[[str], str]) -> None:
    _fit_options(message)
    for declared in message.field:
        if declared.type_name:
            declared.type_name = renamed(declared.type_name)
        _fit_options(declared)
    for oneof in message.oneof_decl:
        _fit_options(oneof)
    for enum in message.enum_type:
        _fit_enum(enum)
    for nested in message.nested_type:
        _fit_message(nested, renamed)


def _fit_enum(enum: pb.EnumDescriptorProto) -> None:
    _fit_options(enum)
    for value in enum.value:
        _fit_options(value)


_Described = (
    pb.DescriptorProto
    | pb.FieldDescriptorProto
    | pb.OneofDescriptorProto
    | pb.EnumDescriptorProto
    | pb.EnumValueDescriptorProto
    | pb.ServiceDescriptorProto
    | pb.MethodDescriptorProto
)


def _fit_options(described: _Described) -> None:
    """Leave out the Go generator's hints; an empty options message goes altogether."""
    if not described.HasField("options"):
        return
    options: Message = described.options
    unknown = UnknownFieldSet(options)
    numbers = {unknown[index].field_number for index in range(len(unknown))}
    strange = sorted(n for n in numbers if n not in DROPPED_OPTIONS)
    if strange:
        raise ContractError(f"{described.name} has options that are not known here: {strange}")
    options.DiscardUnknownFields()
    if not options.ListFields():
        described.ClearField("options")


def require_same(
    rendered: dict[str, pb.FileDescriptorProto], parsed: dict[str, pb.FileDescriptorProto]
) -> None:
    """Prove that the rendered text, parsed again, is what was rendered.

    Raises:
        ContractError: a file came back different.
    """
    for name, file in rendered.items():
        if _sorted(file) != _sorted(parsed[name]):
            raise ContractError(f"{name} was not rendered faithfully: a construct is missing in render.py")


def _sorted(file: pb.FileDescriptorProto) -> pb.FileDescriptorProto:
    """The file with imports and nested types in the order of names: text has its own order for these."""
    copy = pb.FileDescriptorProto()
    copy.CopyFrom(file)
    dependencies = sorted(copy.dependency)
    del copy.dependency[:]
    copy.dependency.extend(dependencies)
    pending = list(copy.message_type)
    while pending:
        message = pending.pop()
        nested = sorted(message.nested_type, key=lambda m: m.name)
        del message.nested_type[:]
        message.nested_type.extend(nested)
        pending.extend(message.nested_type)
    return copy
