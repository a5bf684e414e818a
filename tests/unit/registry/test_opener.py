"""The broker that is made when it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pybuildkit.errors import ConfigError
from pybuildkit.registry.opener import AuthOpener


def test_it_is_made_once() -> None:
    opener = AuthOpener({"a.test": ("me", "pw")})
    assert opener() is opener()
    assert not opener.nobody
    assert AuthOpener(False).nobody


def test_what_can_not_work_is_found_out_at_once() -> None:
    with pytest.raises(ConfigError, match="auth= can not be int"):
        AuthOpener(7)


def test_a_client_that_asks_no_registry_imports_little() -> None:
    code = """
import sys
from pybuildkit import AsyncClient
import pybuildkit.session.auth
AsyncClient()
print([name for name in sys.modules if name.startswith("pybuildkit.registry.")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['pybuildkit.registry.opener', 'pybuildkit.registry.tokens']"
