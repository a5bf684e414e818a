"""The public surface: what is there, that both clients agree, and what importing costs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import pybuildkit
from pybuildkit import AsyncClient, Client

HEAVY = ("grpc", "google.protobuf", "hpack", "cryptography", "pytest", "asyncio", "anyio")


def public_methods(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_") and callable(member)
    }


def test_the_public_names_are_sorted_and_there() -> None:
    assert pybuildkit.__all__ == sorted(pybuildkit.__all__)
    for name in pybuildkit.__all__:
        assert getattr(pybuildkit, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pybuildkit.no_such_name


def test_both_clients_have_the_same_methods() -> None:
    """``aclose`` is ``close`` in the blocking world; nothing else differs in name or argument."""
    awaited, blocking = public_methods(AsyncClient), public_methods(Client)
    awaited["close"] = awaited.pop("aclose")
    assert set(awaited) == set(blocking)
    for name, signature in awaited.items():
        parameters, twins = signature.parameters, blocking[name].parameters
        assert list(parameters) == list(twins), name
        for key, parameter in parameters.items():
            twin = twins[key]
            assert (parameter.kind, parameter.default) == (twin.kind, twin.default), f"{name}({key})"
            assert parameter.annotation == twin.annotation, f"{name}({key})"


def test_every_method_of_the_blocking_client_has_a_text() -> None:
    for name in public_methods(Client):
        assert getattr(Client, name).__doc__, name


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
