"""``docs/caches.md``: its examples are Python, and it names what is read."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from pybuildkit import _aws, caches

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "caches.md").read_text()


def examples() -> dict[str, Any]:
    """All names that the page's block defines."""
    namespace: dict[str, Any] = {}
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/caches.md", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("name", [n for n in caches.__all__ if n != "CacheMode"])
def test_every_kind_is_explained(name: str) -> None:
    assert f"`{name}" in PAGE


def test_every_variable_is_named() -> None:
    read = re.findall(
        r'"(AWS_[A-Z0-9_]+|ACTIONS_[A-Z0-9_]+)"', inspect.getsource(_aws) + inspect.getsource(caches)
    )
    elsewhere = {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_DEFAULT_PROFILE"}
    for name in set(read) - elsewhere:
        assert f"`{name}`" in PAGE, name
    for key in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        assert f"`AWS_{key}`" in PAGE


def test_the_text_of_the_page_parses() -> None:
    (text,) = re.findall(r'cache_to="([^"]+)"', PAGE)
    assert caches.Cache.parse(text, export=True) == caches.RegistryCache("ghcr.io/acme/app:cache", mode="max")
    assert set(examples()) >= {"with_registry", "with_bucket", "with_several"}
