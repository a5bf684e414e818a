"""What a daemon says of itself and of its workers (C11, C12)."""

from __future__ import annotations

from collections.abc import Mapping

from pybuildkit._values import dataclass, field
from pybuildkit.platforms import Platform

__all__ = ["Device", "GCPolicy", "Info", "Worker"]


@dataclass(frozen=True, slots=True)
class Info:
    """A daemon's version (C12).

    Attributes:
        package: the Go module it was built from.
        version: as ``v0.32.2``.
        revision: the source commit.
        dockerfile_version: of its built-in Dockerfile frontend, empty when the daemon does not say.
    """

    package: str
    version: str
    revision: str
    dockerfile_version: str = ""


@dataclass(frozen=True, slots=True)
class GCPolicy:
    """One rule of a worker's garbage collection; sizes in bytes, ``keep_duration`` in seconds."""

    all: bool = False
    keep_duration: float = 0.0
    filters: tuple[str, ...] = ()
    reserved_space: int = 0
    max_used_space: int = 0
    min_free_space: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """A CDI device that a worker can give to a step."""

    name: str
    auto_allow: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker of a daemon (C11); the first platform is its own."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()
    gc_policy: tuple[GCPolicy, ...] = ()
    info: Info | None = None
    devices: tuple[Device, ...] = ()
