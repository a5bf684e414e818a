"""``FailedStep``: a step that failed, as it was when it did, to be gone into (C57, X31)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from pybuildkit._json import Malformed, items, number, string, strings, struct
from pybuildkit._values import dataclass, field
from pybuildkit.details import FailedVertex, Solve
from pybuildkit.errors import ConfigError
from pybuildkit.gateway.mounts import FilledCache, MountLike, ResultMount
from pybuildkit.llb.mounts import CacheMount, SecretMount, SSHMount, TmpfsMount

if TYPE_CHECKING:
    from pybuildkit.errors import BuildError
    from pybuildkit.gateway.container import ContainerOptions
    from pybuildkit.llb import Definition
    from pybuildkit.llb.values import Network, Security

__all__ = ["SOURCE", "FailedStep", "graph_of"]

SOURCE = "/mnt/source"
"""Where a container for a failed copy has what was to be copied."""

_NETWORKS: dict[str, Network] = {"": "sandbox", "UNSET": "sandbox", "HOST": "host", "NONE": "none"}
_SHARINGS = {"": "shared", "SHARED": "shared", "PRIVATE": "private", "LOCKED": "locked"}
_SHELLS = ("sh", "bash", "ash", "dash", "zsh")


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A step that failed.

    Attributes:
        name: what progress calls it.
        args: its command, empty when it runs none.
        mounts: what was mounted where, with the root at ``/``.
        env: the variables of its command.
        cwd: the directory of its command.
        user: the user of its command.
        network: how its command reached the network.
        security: what its command may do.
        hostname: the host name that its command saw.
        extra_hosts: host name to address.
        secret_env: variables whose values are secrets.
    """

    name: str
    args: tuple[str, ...] = ()
    mounts: Mapping[str, MountLike] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: str = ""
    network: Network = "sandbox"
    security: Security = "sandbox"
    hostname: str = ""
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, SecretMount] = field(default_factory=dict)

    @classmethod
    def of(cls, error: BuildError, graph: Definition | None = None, *, before: bool = False) -> FailedStep:
        """The step that an error is about. Its mounts live as long as the gateway that the error came from.

        Args:
            error: from a solve, an evaluation or a look at a file in a gateway build.
            graph: what was being run. Needed for steps that run no command, of whose inputs the daemon does not tell all.
            before: its mounts as they were before it ran, not as it left them.

        Raises:
            ConfigError: no step is to blame, or there is nothing that could be mounted.
        """
        solve = next((d for d in error.details if isinstance(d, Solve) and d.op), None)
        if solve is None:
            raise ConfigError(
                "the error names no step that failed, so there is nothing to look into; it must come from a build of "
                "this gateway: gateway.solve(..., evaluate=True)"
            )
        try:
            if "exec" in solve.op:
                return _command(solve, before)
            if "file" in solve.op:
                digest = next((d.digest for d in error.details if isinstance(d, FailedVertex)), "")
                return _file_action(solve, digest, graph, before)
        except (Malformed, KeyError, IndexError) as exc:
            raise ConfigError(f"what the daemon says of the failed step can not be read: {exc}") from exc
        raise ConfigError(
            f"the step {_name(solve)!r} runs no command and writes no files: there is nothing in it"
        )

    @property
    def shell(self) -> tuple[str, ...]:
        """The shell that ran its command, ``/bin/sh`` where none did."""
        if len(self.args) > 1 and self.args[0].rpartition("/")[2] in _SHELLS:
            return (self.args[0],)
        return ("/bin/sh",)

    @property
    def options(self) -> ContainerOptions:
        """How a container is made like it."""
        return {
            "env": self.env,
            "cwd": self.cwd,
            "user": self.user,
            "network": self.network,
            "security": self.security,
            "hostname": self.hostname,
            "extra_hosts": self.extra_hosts,
            "secret_env": self.secret_env,
        }


def graph_of(of: Any, error: BuildError) -> Definition | None:
    """The graph in which a step failed: that of a reference, or of whichever of a result's has the step."""
    from pybuildkit.gateway.results import GatewayResult

    references = of.references if isinstance(of, GatewayResult) else [] if of is None else [of]
    digests = {detail.digest for detail in error.details if isinstance(detail, FailedVertex)}
    found = None
    for reference in references:
        graph: Definition = reference.definition
        if found is None or digests & set(graph.digests):
            found = graph
    return found


def _name(solve: Solve) -> str:
    return solve.description.get("llb.customname") or " ".join(solve.argv) or "the failed step"


def _command(solve: Solve, before: bool) -> FailedStep:
    op = struct(solve.op, "exec")
    mounts = items(op, "mounts")
    ids = solve.input_ids if before else solve.mount_ids
    if len(ids) < len(mounts):
        raise ConfigError(
            f"{_name(solve)!r} failed before it ran: there is nothing to look into, only what it was to be made from"
        )
    meta = struct(op, "meta")
    pairs = (item.partition("=") for item in strings(meta, "env"))
    proxy = {_upper(key): value for key, value in struct(meta, "proxyEnv").items() if isinstance(value, str)}
    return FailedStep(
        name=_name(solve),
        args=strings(meta, "args"),
        mounts={string(m, "dest"): _mount(m, id_) for m, id_ in zip(mounts, ids, strict=False)},
        env={**proxy, **{name: value for name, _, value in pairs}},
        cwd=string(meta, "cwd") or "/",
        user=string(meta, "user"),
        network=_NETWORKS[string(op, "network")],
        security="insecure" if string(op, "security") == "INSECURE" else "sandbox",
        hostname=string(meta, "hostname"),
        extra_hosts={string(h, "Host"): string(h, "IP") for h in items(meta, "extraHosts")},
        secret_env={
            string(s, "name"): SecretMount(string(s, "ID"), optional=s.get("optional") is True)
            for s in items(op, "secretenv")
        },
    )


def _upper(key: str) -> str:
    """``httpProxy`` is ``HTTP_PROXY``."""
    return f"{key.removesuffix('Proxy').upper()}_PROXY"


def _mount(mount: Mapping[str, Any], id_: str) -> MountLike:
    """A mount of the step, as one of a container; the daemon does not limit memory there."""
    kind = string(mount, "mountType")
    if kind == "CACHE":
        option = struct(mount, "cacheOpt")
        sharing = cast("Literal['shared', 'private', 'locked']", _SHARINGS[string(option, "sharing")])
        cache = CacheMount(
            string(option, "ID"),
            sharing=sharing,
            selector=string(mount, "selector"),
            readonly=mount.get("readonly") is True,
        )
        return FilledCache(cache, id_) if id_ else cache
    if kind == "TMPFS":
        return TmpfsMount()
    if kind in ("SECRET", "SSH"):
        option = struct(mount, "secretOpt" if kind == "SECRET" else "SSHOpt")
        made = SecretMount if kind == "SECRET" else SSHMount
        return made(
            string(option, "ID"),
            uid=number(option, "uid"),
            gid=number(option, "gid"),
            mode=number(option, "mode"),
            optional=option.get("optional") is True,
        )
    if kind:
        raise Malformed(f"mountType {kind}")
    return ResultMount(id_, mount.get("readonly") is True, string(mount, "selector"))


def _file_action(solve: Solve, digest: str, graph: Definition | None, before: bool) -> FailedStep:
    """A step that copies or writes: into its root, with what it copies beside."""
    actions = items(struct(solve.op, "file"), "actions")
    count = len(items(solve.op, "inputs"))
    index = solve.file_index
    if index is None:
        wanted = solve.cache_index
        index = next((i for i, a in enumerate(actions) if _input(a, "secondaryInput") == wanted), 0)
    made = "" if before or index >= len(solve.mount_ids) else solve.mount_ids[index]
    root = _root(actions, index, count)
    source = _input(actions[index], "secondaryInput")
    mounts: dict[str, MountLike] = {
        "/": ResultMount(made) if made else _input_mount(solve, root, digest, graph)
    }
    if 0 <= source < count:
        mounts[SOURCE] = _input_mount(solve, source, digest, graph)
    return FailedStep(name=_name(solve), mounts=mounts)


def _input(action: Mapping[str, Any], key: str) -> int:
    return -1 if action.get(key) is None and key != "input" else number(action, key)


def _root(actions: list[Mapping[str, Any]], index: int, count: int) -> int:
    """Which input of the step an action goes on from: actions can follow each other."""
    at = _input(actions[index], "input")
    while at >= count:
        at = _input(actions[at - count], "input")
    return at


def _input_mount(solve: Solve, index: int, digest: str, graph: Definition | None) -> MountLike:
    """One of the step's inputs: as the daemon names it, else out of the graph."""
    from pybuildkit import llb

    inputs = items(solve.op, "inputs")
    if index < 0:
        return ResultMount("")
    if len(solve.input_ids) == len(inputs):
        return ResultMount(solve.input_ids[index])
    if graph is None:
        raise ConfigError(
            f"{_name(solve)!r} runs no command, and the daemon does not tell of its inputs; give the graph too: "
            "container_for(error, result.ref)"
        )
    if digest not in graph.digests:
        raise ConfigError(f"{_name(solve)!r} is not in the graph that was given")
    wanted = inputs[index]
    part = graph.part(string(wanted, "digest"), number(wanted, "index"))
    return llb.definition(part).mount()
