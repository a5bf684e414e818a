"""The keyword options of builds, written once for all methods that take them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from pybuildkit.attestations import SBOM, Provenance
    from pybuildkit.caches import Cache
    from pybuildkit.dockerfile.resources import Hosts, Resources, Ulimits
    from pybuildkit.events import SolveStatus
    from pybuildkit.fsutil import FS
    from pybuildkit.lateoutputs import ChooseOutputs, OnExported
    from pybuildkit.llb import Definition, State
    from pybuildkit.outputs import Output
    from pybuildkit.platforms import Platform
    from pybuildkit.registry import AuthLike
    from pybuildkit.secrets import SecretLike
    from pybuildkit.shared import SharedSession
    from pybuildkit.sourcechecks import SourceChecker
    from pybuildkit.sourcepolicy import SourcePolicy
    from pybuildkit.ssh import SSHAgents
    from pybuildkit.uploads import Uploads

__all__ = [
    "BuildOptions",
    "Context",
    "DockerfileOptions",
    "FrontendOptions",
    "GatewayOptions",
    "PolicySource",
    "ProgressMode",
    "SessionOptions",
    "SolveOptions",
    "SolveTarget",
    "StreamOptions",
]

SolveTarget: TypeAlias = "State | Definition | bytes"
"""A graph: a state, a definition, or an encoded definition."""

Context: TypeAlias = "str | os.PathLike[str] | FS"
"""A directory, or a tree in memory."""

PolicySource: TypeAlias = "SourcePolicy | str | os.PathLike[str]"
"""Rules on sources, or the JSON file that they are in."""

ProgressMode: TypeAlias = Literal["auto", "plain", "tty", "quiet", "rawjson", "none"]


class SessionOptions(TypedDict, total=False):
    """What builds can share.

    Attributes:
        locals: directories or trees that the builds may read, by name; each is sent once.
        secrets: secrets by id.
        ssh: agents, as of a build; keys are read, and passphrases asked for, once.
        auth: opens registries; what the client has by default.
    """

    locals: Mapping[str, Context]
    secrets: Mapping[str, SecretLike] | Iterable[str]
    ssh: SSHAgents
    auth: AuthLike


class SolveOptions(TypedDict, total=False):
    """What every build takes.

    Attributes:
        locals: directories or trees that the build may read, by name.
        secrets: secrets by id: bytes, a path, a ``Secret``, or a callable; or buildctl strings in a list.
        ssh: True for the agent at ``$SSH_AUTH_SOCK``, an ``SSHAgent``, a buildctl string, or these by id.
        auth: opens registries, instead of what the client has: see ``AsyncClient``.
        session: a session that several builds share, from ``client.session()``.
        uploads: streams that the build may read by their URLs.
        outputs: where results go: values of ``pybuildkit.outputs`` or buildctl strings; none keeps them in the cache.
        late_outputs: a function that is given the result, and gives more outputs.
        on_exported: a function that is given the result's metadata when everything is exported; what it raises fails the build.
        cache_from: caches to import, values of ``pybuildkit.caches`` or buildctl strings.
        cache_to: caches to export to, likewise.
        oci_layouts: directories with OCI layouts that sources may name, by store id.
        entitlements: what the build may do beyond the sandbox: ``network.host``, ``security.insecure``, devices.
        source_policy: rules on sources, or a function that is asked of each; see ``pybuildkit.sourcechecks``.
        no_cache: run every step again; for a Dockerfile also the stages to run again.
        progress: show progress on stderr in one of these ways, or hand each batch to a callable. None shows nothing.
        ref: the build's id; random by default. No other build may have it that is under way, or ended within the last ten seconds.
        internal: leave the build out of the history.
        proxy_network: send the network of steps through the daemon's proxy.
        compatibility_version: 0 for the daemon's current behaviour, or 10, 20, 30 for an older one (C27).
    """

    locals: Mapping[str, Context]
    secrets: Mapping[str, SecretLike] | Iterable[str]
    ssh: SSHAgents
    auth: AuthLike
    session: SharedSession
    uploads: Uploads
    outputs: Output | str | Iterable[Output | str]
    late_outputs: ChooseOutputs
    on_exported: OnExported
    cache_from: Cache | str | Iterable[Cache | str]
    cache_to: Cache | str | Iterable[Cache | str]
    oci_layouts: Mapping[str, str | os.PathLike[str]]
    entitlements: Iterable[str]
    source_policy: PolicySource | SourceChecker
    no_cache: bool | Iterable[str]
    progress: ProgressMode | Callable[[SolveStatus], object] | None
    ref: str
    internal: bool
    proxy_network: bool
    compatibility_version: int


class FrontendOptions(TypedDict, total=False):
    """What a frontend is told.

    Attributes:
        frontend: ``dockerfile.v0``, or ``gateway.v0`` with ``attrs={"source": image}``.
        attrs: its attributes (V52 to V57).
        inputs: graphs for it, by name.
    """

    frontend: str
    attrs: Mapping[str, str]
    inputs: Mapping[str, SolveTarget]


class DockerfileOptions(TypedDict, total=False):
    """What a Dockerfile build takes beside.

    Attributes:
        file: the Dockerfile, relative to the working directory like the path; or its text as bytes.
        target: the stage to build.
        build_args: values of ARG; None takes the variable from the environment.
        labels: labels of the image.
        platforms: as ``linux/arm64``; several make an index.
        tags: names of the image, for outputs that have none.
        contexts: named contexts: a directory, ``docker-image://``, ``oci-layout://``, a git or http URL.
        pull: resolve images anew even when the daemon has them.
        add_hosts: host name to address, for steps.
        network: of steps: ``default``, ``none``, ``host``.
        hostname: of steps.
        shm_size: of /dev/shm in bytes, for steps.
        ulimits: as ``nofile=1024:2048``, for steps.
        cgroup_parent: for steps.
        sbom: attach a software bill of materials.
        provenance: attach provenance.
        syntax: the frontend image, over the Dockerfile's own ``# syntax=`` line.
        resources: limits of each step.
    """

    file: str | os.PathLike[str] | bytes
    target: str
    build_args: Mapping[str, str | None]
    labels: Mapping[str, str]
    platforms: str | Platform | Iterable[str | Platform]
    tags: str | Iterable[str]
    contexts: Mapping[str, Context]
    pull: bool
    add_hosts: Hosts
    network: str
    hostname: str
    shm_size: int | str
    ulimits: Ulimits
    cgroup_parent: str
    sbom: bool | str | SBOM
    provenance: bool | str | Provenance
    syntax: str
    resources: Resources


class BuildOptions(SolveOptions, DockerfileOptions, total=False):
    """All options of a Dockerfile build."""


class GatewayOptions(SolveOptions, total=False):
    """What a gateway build takes.

    Attributes:
        attrs: what the build can read as ``gateway.options``.
        inputs: graphs that it can read with ``gateway.inputs()``, by name.
    """

    attrs: Mapping[str, str]
    inputs: Mapping[str, SolveTarget]


class StreamOptions(BuildOptions, FrontendOptions, total=False):
    """All options there are."""
