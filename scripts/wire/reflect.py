"""Read a daemon's descriptors through gRPC server reflection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

__all__ = ["Daemon", "ReflectionError", "describe", "version"]

INFO = "/moby.buildkit.v1.Control/Info"


class ReflectionError(Exception):
    """The daemon does not answer, or does not know a symbol."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the daemon says it is."""

    package: str
    version: str
    revision: str


def describe(address: str, symbols: tuple[str, ...]) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """The files that declare the symbols, and all they import, by name.

    Raises:
        ReflectionError: no answer, or a symbol is not known to the daemon.
    """
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    with grpc.insecure_channel(_target(address)) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=s) for s in symbols]
        try:
            # A file is sent once a stream: the answers together are the closure of all imports.
            for symbol, answer in zip(
                symbols, stub.ServerReflectionInfo(iter(requests), timeout=30), strict=True
            ):
                if answer.HasField("error_response"):
                    raise ReflectionError(
                        f"{address} knows no {symbol}: {answer.error_response.error_message}"
                    )
                for blob in answer.file_descriptor_response.file_descriptor_proto:
                    file = descriptor_pb2.FileDescriptorProto.FromString(blob)
                    files[file.name] = file
        except grpc.RpcError as exc:
            raise ReflectionError(f"{address} does not answer reflection: {_detail(exc)}") from exc
    return files


def version(address: str, files: dict[str, descriptor_pb2.FileDescriptorProto]) -> Daemon:
    """Ask ``Info``, decoding it with the descriptors that the daemon itself gave.

    Raises:
        ReflectionError: the daemon does not answer.
    """
    pool = descriptor_pool.DescriptorPool()
    for file in _in_order(files):
        pool.Add(file)
    answer_class = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("moby.buildkit.v1.InfoResponse")
    )
    with grpc.insecure_channel(_target(address)) as channel:
        call = channel.unary_unary(
            INFO, request_serializer=bytes, response_deserializer=answer_class.FromString
        )
        try:
            answer: Any = call(b"", timeout=30)
        except grpc.RpcError as exc:
            raise ReflectionError(f"{address} does not answer Info: {_detail(exc)}") from exc
    told = answer.buildkitVersion
    return Daemon(told.package, told.version, told.revision)


def _in_order(
    files: dict[str, descriptor_pb2.FileDescriptorProto],
) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """Files with what they import before them."""
    done: set[str] = set()

    def visit(name: str) -> Iterator[descriptor_pb2.FileDescriptorProto]:
        if name in done:
            return
        done.add(name)
        for dependency in files[name].dependency:
            yield from visit(dependency)
        yield files[name]

    for name in sorted(files):
        yield from visit(name)


def _target(address: str) -> str:
    """A buildkit address as grpc spells it."""
    return (
        "unix:" + address.removeprefix("unix://")
        if address.startswith("unix://")
        else address.removeprefix("tcp://")
    )


def _detail(exc: grpc.RpcError) -> str:
    return str(getattr(exc, "details", exc.__str__)())
