"""The public surface: what is there, that both clients agree, and what importing costs."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import pybuildkit
from pybuildkit import AsyncClient, Client
from pybuildkit.control.blockingrecords import BlockingContent, BlockingHistory
from pybuildkit.control.content import Content
from pybuildkit.control.records import History
from pybuildkit.gateway import Container, GatewayBuild, Process, Reference
from pybuildkit.gateway.blocking import BlockingGateway, BlockingReference
from pybuildkit.gateway.blockingcontainer import BlockingContainer, BlockingProcess

HEAVY = ("grpc", "google.protobuf", "cryptography", "pytest", "asyncio", "anyio")


def public_methods(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_") and callable(member)
    }


def test_the_public_names_are_there() -> None:
    for name in pybuildkit.__all__:
        assert getattr(pybuildkit, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pybuildkit.no_such_name


TWINS = [
    (AsyncClient, Client),
    (History, BlockingHistory),
    (Content, BlockingContent),
    (GatewayBuild, BlockingGateway),
    (Reference, BlockingReference),
    (Container, BlockingContainer),
    (Process, BlockingProcess),
]


@pytest.mark.parametrize(("kind", "twin"), TWINS, ids=lambda kind: kind.__name__)
def test_both_clients_have_the_same_methods(kind: type, twin: type) -> None:
    """``aclose`` is ``close`` in the blocking world; nothing else differs in name or argument."""
    awaited, blocking = public_methods(kind), public_methods(twin)
    if "aclose" in awaited:
        awaited["close"] = awaited.pop("aclose")
    assert set(awaited) == set(blocking)
    for name, signature in awaited.items():
        parameters, twins = signature.parameters, blocking[name].parameters
        assert list(parameters) == list(twins), name
        for key, parameter in parameters.items():
            twin_parameter = twins[key]
            assert (parameter.kind, parameter.default) == (twin_parameter.kind, twin_parameter.default), (
                f"{name}({key})"
            )
            assert parameter.annotation == twin_parameter.annotation, f"{name}({key})"


@pytest.mark.parametrize(("kind", "twin"), TWINS, ids=lambda kind: kind.__name__)
def test_every_method_of_the_blocking_client_has_a_text(kind: type, twin: type) -> None:
    for name in public_methods(twin):
        assert getattr(twin, name).__doc__, name
        assert getattr(kind, name if name != "close" else "aclose").__doc__, name


@pytest.mark.parametrize(
    "code",
    [
        "import pybuildkit",
        """
import contextlib, io
from pybuildkit.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(['--help'])
""",
    ],
    ids=["import", "help"],
)
def test_heavy_modules_are_not_imported_before_they_are_needed(code: str) -> None:
    report = f"{code}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout


@pytest.mark.parametrize("name", ["pybuildkit", "pybuildkit.fsutil", "pybuildkit.registry"])
def test_lazy_names_are_all_listed(name: str) -> None:
    """``__all__`` is written out, for type checkers; it must say what is really there."""
    module = importlib.import_module(name)
    assert set(module.__all__) == set(module._HOMES) | ({"llb"} if name == "pybuildkit" else set())
    for entry in module.__all__:
        getattr(module, entry)
