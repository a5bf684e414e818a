"""Registries: whose credentials open them, and how their tokens are had.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybuildkit.registry.auth import AuthLike as AuthLike
    from pybuildkit.registry.auth import RegistryAuth as RegistryAuth
    from pybuildkit.registry.credentials import Credentials as Credentials
    from pybuildkit.registry.credentials import CredentialSource as CredentialSource
    from pybuildkit.registry.dockerconfig import DockerConfig as DockerConfig
    from pybuildkit.registrytls import RegistryTLS as RegistryTLS

_HOMES = {
    "AuthLike": "registry.auth",
    "CredentialSource": "registry.credentials",
    "Credentials": "registry.credentials",
    "DockerConfig": "registry.dockerconfig",
    "RegistryAuth": "registry.auth",
    "RegistryTLS": "registrytls",
}

__all__ = [
    "AuthLike",
    "CredentialSource",
    "Credentials",
    "DockerConfig",
    "RegistryAuth",
    "RegistryTLS",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pybuildkit.registry' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"pybuildkit.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
