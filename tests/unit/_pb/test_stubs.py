from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pybuildkit._pb
from scripts.wire import lock

ROOT = Path(__file__).parents[3]
MODULES = sorted(module.name for module in pkgutil.iter_modules(pybuildkit._pb.__path__))

# One stub class, the paths of its calls as the daemon spells them.
SESSION = {
    ("auth", "Auth"): {  # T11: the file is auth's, the package is filesync's
        "/moby.filesync.v1.Auth/Credentials",
        "/moby.filesync.v1.Auth/FetchToken",
        "/moby.filesync.v1.Auth/GetTokenAuthority",
        "/moby.filesync.v1.Auth/VerifyTokenAuthority",
    },
    ("filesync", "FileSync"): {"/moby.filesync.v1.FileSync/DiffCopy", "/moby.filesync.v1.FileSync/TarStream"},
    ("filesync", "FileSend"): {"/moby.filesync.v1.FileSend/DiffCopy"},  # T10
    ("secrets", "Secrets"): {"/moby.buildkit.secrets.v1.Secrets/GetSecret"},  # S86
    ("ssh", "SSH"): {"/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"},
    ("upload", "Upload"): {"/moby.upload.v1.Upload/Pull"},  # S89
    ("exporter", "Exporter"): {  # S90
        "/moby.exporter.v1.Exporter/FindExporters",
        "/moby.exporter.v1.Exporter/FinalizeExport",
    },
    ("policysession", "PolicyVerifier"): {  # S91
        "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy"
    },
    ("health", "Health"): {  # S2
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
    },
    ("content", "Content"): {  # S92
        f"/containerd.services.content.v1.Content/{name}"
        for name in (
            "Abort", "Delete", "Info", "List", "ListStatuses", "Read", "Status", "Update", "Write"
        )
    },
}  # fmt: skip
DAEMON = {
    ("control", "Control"): "/moby.buildkit.v1.Control/",
    ("gateway", "LLBBridge"): "/moby.buildkit.v1.frontend.LLBBridge/",
    ("trace_service", "TraceService"): "/opentelemetry.proto.collector.trace.v1.TraceService/",
}


class Recorder:
    """A channel that only notes which calls a stub makes of it."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def note(self, path: str, **_: object) -> None:
        self.paths.add(path)

    unary_unary = unary_stream = stream_unary = stream_stream = note


def paths(module: str, service: str) -> set[str]:
    recorder = Recorder()
    getattr(importlib.import_module(f"pybuildkit._pb.{module}_pb2_grpc"), f"{service}Stub")(recorder)
    return recorder.paths


@pytest.mark.parametrize(("module", "service"), SESSION)
def test_the_session_services_have_the_daemons_names(module: str, service: str) -> None:
    assert paths(module, service) == SESSION[module, service]


@pytest.mark.parametrize(("module", "service"), DAEMON)
def test_the_daemons_services_have_its_names(module: str, service: str) -> None:
    found = paths(module, service)
    assert found
    assert all(path.startswith(DAEMON[module, service]) for path in found)


@pytest.mark.parametrize("name", MODULES)
def test_each_module_is_imported_and_typed(name: str) -> None:
    importlib.import_module(f"pybuildkit._pb.{name}")
    assert (ROOT / "pybuildkit" / "_pb" / f"{name}.pyi").exists()


def test_each_proto_has_its_stubs_and_no_others() -> None:
    protos = {f"{name.removesuffix('.proto')}_pb2" for name in lock.Lock.read(ROOT / "protos").files}
    assert {m for m in MODULES if m.endswith("_pb2")} == protos


def test_a_program_may_have_packages_of_the_same_names() -> None:
    """``pb.Platform`` of somebody else's, and ours, in one process."""
    program = """
from google.protobuf import descriptor_pb2, descriptor_pool
for package, message in (
    ("pb", "Platform"), ("errdefs", "Solve"), ("stack", "Stack"), ("fsutil.types", "Stat"),
    ("grpc.health.v1", "HealthCheckRequest"), ("opentelemetry.proto.trace.v1", "Span"),
):
    descriptor_pool.Default().AddSerializedFile(descriptor_pb2.FileDescriptorProto(
        name=f"theirs/{package}.proto", package=package,
        message_type=[descriptor_pb2.DescriptorProto(name=message)],
    ).SerializeToString())
from pybuildkit._pb import control_pb2, errdefs_pb2, gateway_pb2, health_pb2, stack_pb2, trace_service_pb2
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=ROOT)


def test_the_pure_python_runtime_imports_them_too() -> None:
    program = f"""
import importlib
for name in {MODULES!r}:
    importlib.import_module("pybuildkit._pb." + name)
from google.protobuf.internal import api_implementation
assert api_implementation.Type() == "python"
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=True,
        cwd=ROOT,
        env={"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python", "PATH": "/usr/bin:/bin"},
    )
