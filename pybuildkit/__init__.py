"""A pure-Python client for BuildKit: graphs, solves, sessions, caches and progress, straight to buildkitd.

Names are imported when they are first used: ``import pybuildkit`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybuildkit import llb as llb
    from pybuildkit._version import __version__ as __version__
    from pybuildkit.attestations import SBOM as SBOM
    from pybuildkit.attestations import Provenance as Provenance
    from pybuildkit.build import Build as Build
    from pybuildkit.caches import AzureBlobCache as AzureBlobCache
    from pybuildkit.caches import Cache as Cache
    from pybuildkit.caches import GHACache as GHACache
    from pybuildkit.caches import InlineCache as InlineCache
    from pybuildkit.caches import LocalCache as LocalCache
    from pybuildkit.caches import RegistryCache as RegistryCache
    from pybuildkit.caches import S3Cache as S3Cache
    from pybuildkit.client import AsyncClient as AsyncClient
    from pybuildkit.content.descriptor import Descriptor as Descriptor
    from pybuildkit.daemon import Buildkitd as Buildkitd
    from pybuildkit.errors import BuildCancelled as BuildCancelled
    from pybuildkit.errors import BuildError as BuildError
    from pybuildkit.errors import BuildKitError as BuildKitError
    from pybuildkit.errors import ConfigError as ConfigError
    from pybuildkit.errors import ConnectError as ConnectError
    from pybuildkit.errors import ConnectionLost as ConnectionLost
    from pybuildkit.errors import ConnectTimeout as ConnectTimeout
    from pybuildkit.errors import ContentError as ContentError
    from pybuildkit.errors import DaemonError as DaemonError
    from pybuildkit.errors import DefinitionError as DefinitionError
    from pybuildkit.errors import EntitlementError as EntitlementError
    from pybuildkit.errors import ExecError as ExecError
    from pybuildkit.errors import FrontendError as FrontendError
    from pybuildkit.errors import LocalNotFound as LocalNotFound
    from pybuildkit.errors import NotFound as NotFound
    from pybuildkit.errors import PermissionDenied as PermissionDenied
    from pybuildkit.errors import PolicyError as PolicyError
    from pybuildkit.errors import ProtocolError as ProtocolError
    from pybuildkit.errors import RegistryAuthError as RegistryAuthError
    from pybuildkit.errors import RPCError as RPCError
    from pybuildkit.errors import SecretNotFound as SecretNotFound
    from pybuildkit.errors import SessionError as SessionError
    from pybuildkit.errors import SSHNotFound as SSHNotFound
    from pybuildkit.errors import TransferError as TransferError
    from pybuildkit.errors import Unauthenticated as Unauthenticated
    from pybuildkit.errors import Unsupported as Unsupported
    from pybuildkit.events import Event as Event
    from pybuildkit.events import Log as Log
    from pybuildkit.events import Position as Position
    from pybuildkit.events import ProgressGroup as ProgressGroup
    from pybuildkit.events import Range as Range
    from pybuildkit.events import SolveStatus as SolveStatus
    from pybuildkit.events import SourceInfo as SourceInfo
    from pybuildkit.events import Transfer as Transfer
    from pybuildkit.events import Vertex as Vertex
    from pybuildkit.events import VertexCompleted as VertexCompleted
    from pybuildkit.events import VertexLog as VertexLog
    from pybuildkit.events import VertexStarted as VertexStarted
    from pybuildkit.events import VertexStatus as VertexStatus
    from pybuildkit.events import VertexWarned as VertexWarned
    from pybuildkit.events import VertexWarning as VertexWarning
    from pybuildkit.fsutil import Directory as Directory
    from pybuildkit.fsutil import MemoryTree as MemoryTree
    from pybuildkit.fsutil import TarTree as TarTree
    from pybuildkit.outputs import OCI as OCI
    from pybuildkit.outputs import CacheOnly as CacheOnly
    from pybuildkit.outputs import Docker as Docker
    from pybuildkit.outputs import Image as Image
    from pybuildkit.outputs import Local as Local
    from pybuildkit.outputs import Output as Output
    from pybuildkit.outputs import Registry as Registry
    from pybuildkit.outputs import Tar as Tar
    from pybuildkit.platforms import Platform as Platform
    from pybuildkit.references import Reference as Reference
    from pybuildkit.result import Result as Result
    from pybuildkit.secrets import Secret as Secret
    from pybuildkit.sourcepolicy import SourcePolicy as SourcePolicy
    from pybuildkit.ssh import SSHAgent as SSHAgent
    from pybuildkit.sync import Client as Client
    from pybuildkit.targets import STDOUT as STDOUT
    from pybuildkit.tls import TLS as TLS
    from pybuildkit.workers import Info as Info
    from pybuildkit.workers import Worker as Worker

_HOMES = {
    "AsyncClient": "client",
    "AzureBlobCache": "caches",
    "Build": "build",
    "BuildCancelled": "errors",
    "BuildError": "errors",
    "BuildKitError": "errors",
    "Buildkitd": "daemon",
    "Cache": "caches",
    "CacheOnly": "outputs",
    "Client": "sync",
    "ConfigError": "errors",
    "ConnectError": "errors",
    "ConnectTimeout": "errors",
    "ConnectionLost": "errors",
    "ContentError": "errors",
    "DaemonError": "errors",
    "DefinitionError": "errors",
    "Descriptor": "content.descriptor",
    "Directory": "fsutil",
    "Docker": "outputs",
    "EntitlementError": "errors",
    "Event": "events",
    "ExecError": "errors",
    "FrontendError": "errors",
    "GHACache": "caches",
    "Image": "outputs",
    "Info": "workers",
    "InlineCache": "caches",
    "Local": "outputs",
    "LocalCache": "caches",
    "LocalNotFound": "errors",
    "Log": "events",
    "MemoryTree": "fsutil",
    "NotFound": "errors",
    "OCI": "outputs",
    "Output": "outputs",
    "PermissionDenied": "errors",
    "Platform": "platforms",
    "PolicyError": "errors",
    "Position": "events",
    "ProgressGroup": "events",
    "ProtocolError": "errors",
    "Provenance": "attestations",
    "RPCError": "errors",
    "Range": "events",
    "Reference": "references",
    "Registry": "outputs",
    "RegistryAuthError": "errors",
    "RegistryCache": "caches",
    "Result": "result",
    "S3Cache": "caches",
    "SBOM": "attestations",
    "SSHAgent": "ssh",
    "SSHNotFound": "errors",
    "STDOUT": "targets",
    "Secret": "secrets",
    "SecretNotFound": "errors",
    "SessionError": "errors",
    "SolveStatus": "events",
    "SourceInfo": "events",
    "SourcePolicy": "sourcepolicy",
    "TLS": "tls",
    "Tar": "outputs",
    "TarTree": "fsutil",
    "Transfer": "events",
    "TransferError": "errors",
    "Unauthenticated": "errors",
    "Unsupported": "errors",
    "Vertex": "events",
    "VertexCompleted": "events",
    "VertexLog": "events",
    "VertexStarted": "events",
    "VertexStatus": "events",
    "VertexWarned": "events",
    "VertexWarning": "events",
    "Worker": "workers",
    "__version__": "_version",
}
"""Public name to the module that has it."""

__all__ = [
    "OCI",
    "SBOM",
    "STDOUT",
    "TLS",
    "AsyncClient",
    "AzureBlobCache",
    "Build",
    "BuildCancelled",
    "BuildError",
    "BuildKitError",
    "Buildkitd",
    "Cache",
    "CacheOnly",
    "Client",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "ContentError",
    "DaemonError",
    "DefinitionError",
    "Descriptor",
    "Directory",
    "Docker",
    "EntitlementError",
    "Event",
    "ExecError",
    "FrontendError",
    "GHACache",
    "Image",
    "Info",
    "InlineCache",
    "Local",
    "LocalCache",
    "LocalNotFound",
    "Log",
    "MemoryTree",
    "NotFound",
    "Output",
    "PermissionDenied",
    "Platform",
    "PolicyError",
    "Position",
    "ProgressGroup",
    "ProtocolError",
    "Provenance",
    "RPCError",
    "Range",
    "Reference",
    "Registry",
    "RegistryAuthError",
    "RegistryCache",
    "Result",
    "S3Cache",
    "SSHAgent",
    "SSHNotFound",
    "Secret",
    "SecretNotFound",
    "SessionError",
    "SolveStatus",
    "SourceInfo",
    "SourcePolicy",
    "Tar",
    "TarTree",
    "Transfer",
    "TransferError",
    "Unauthenticated",
    "Unsupported",
    "Vertex",
    "VertexCompleted",
    "VertexLog",
    "VertexStarted",
    "VertexStatus",
    "VertexWarned",
    "VertexWarning",
    "Worker",
    "__version__",
    "llb",
]


def __getattr__(name: str) -> object:
    if name == "llb":
        return importlib.import_module("pybuildkit.llb")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pybuildkit' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"pybuildkit.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
