"""What a build was asked for, as Dockerfile frontends are told (V52 to V57)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

from pybuildkit._values import dataclass, field
from pybuildkit.control.solve import CacheEntry
from pybuildkit.frontend import _options as read
from pybuildkit.platforms import Platform

if TYPE_CHECKING:
    from pybuildkit.llb import Mount, ProxyEnv, Resources, State
    from pybuildkit.llb.resolve import ResolveMode
    from pybuildkit.llb.values import Network, UlimitName
    from pybuildkit.workers import Worker

__all__ = ["Request", "RunOptions"]

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")


class RunOptions(TypedDict, total=False):
    """Options of ``state.run`` that a build can ask for."""

    resources: Resources
    proxy: ProxyEnv
    mounts: dict[str, Mount]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a build was asked for: the options of ``docker build``, in whichever way they came.

    Attributes:
        options: all of the frontend's options, as they came.
        target: what of the input is to be built, empty for its default.
        platforms: what to build for; the daemon's own platform when nothing was asked for.
        build_platform: the daemon's own platform: what tools of the build run on.
        multi_platform: whether the result is to be an index, even of one image.
        build_args: by name, the special ``BUILDKIT_*`` ones among them (V57).
        labels: of the image.
        no_cache: parts of the input whose steps run again: none (None), those with these names, or all (empty).
        resolve_mode: how images are looked up.
        network: of steps; empty when nothing was asked for.
        hostname: of steps.
        extra_hosts: host name and address, for steps.
        shm_size: bytes of /dev/shm, for steps; 0 for the daemon's default.
        ulimits: name, soft and hard limit, for steps.
        cgroup_parent: of steps.
        resources: limits of each step, None for no limits.
        cache_imports: caches to import.
        attestations: by type, as ``{"sbom": "generator=..."}``.
        sessions: sessions that have a local directory, by its name; the build's own has the others.
    """

    options: Mapping[str, str] = field(repr=False)
    target: str = ""
    platforms: tuple[Platform, ...]
    build_platform: Platform
    multi_platform: bool = False
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: tuple[str, ...] | None = None
    resolve_mode: ResolveMode = "default"
    network: Network | Literal[""] = ""
    hostname: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int = 0
    ulimits: tuple[tuple[UlimitName, int, int], ...] = ()
    cgroup_parent: str = ""
    resources: Resources | None = None
    cache_imports: tuple[CacheEntry, ...] = ()
    attestations: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, options: Mapping[str, str], workers: Sequence[Worker] = ()) -> Request:
        """Read a frontend's options.

        Args:
            options: the options, as ``gateway.options``.
            workers: the daemon's workers; the first one's platform is the default.

        Raises:
            ConfigError: an option has a value that can not be.
        """
        args = read.prefixed(options, "build-arg:")
        own = workers[0].platforms[0] if workers and workers[0].platforms else Platform.host()
        platforms = read.platforms(options)
        return cls(
            options=options,
            target=options.get("target", ""),
            platforms=platforms or (own,),
            build_platform=own,
            multi_platform=read.multi_platform(options, len(platforms)),
            build_args=args,
            labels=read.prefixed(options, "label:"),
            no_cache=read.no_cache(options),
            resolve_mode=read.resolve_mode(options),
            network=read.network(options),
            hostname=args.get("BUILDKIT_SANDBOX_HOSTNAME") or options.get("hostname", ""),
            extra_hosts=read.extra_hosts(options),
            shm_size=read.integer(options, "shm-size"),
            ulimits=read.ulimits(options),
            cgroup_parent=options.get("cgroup-parent", ""),
            resources=read.resources(options),
            cache_imports=read.cache_imports(options),
            attestations=read.attestations(options),
            sessions=read.prefixed(options, "local-sessionid:"),
        )

    def runs_again(self, name: str) -> bool:
        """Whether the steps of a part of the input must not come from the cache."""
        if self.no_cache is None:
            return False
        return not self.no_cache or name.lower() in (each.lower() for each in self.no_cache)

    @property
    def proxy(self) -> ProxyEnv | None:
        """The proxy of steps, out of the build arguments; in either case, and steps do not see it in their cache key."""
        from pybuildkit.llb import ProxyEnv

        found = {}
        for name in _PROXIES:
            value = self.build_args.get(name.upper()) or self.build_args.get(name)
            if value:
                found[name] = value
        return ProxyEnv(**found) if found else None

    def applied(self, state: State) -> State:
        """A state whose steps have the network, host names and limits that were asked for; see ``run_options`` too."""
        if self.network:
            state = state.network(self.network)
        if self.hostname:
            state = state.hostname(self.hostname)
        for host, address in self.extra_hosts:
            state = state.extra_host(host, address)
        for name, soft, hard in self.ulimits:
            state = state.ulimit(name, soft, hard)
        if self.cgroup_parent:
            state = state.cgroup_parent(self.cgroup_parent)
        return state

    @property
    def run_options(self) -> RunOptions:
        """What was asked for and is an option of ``state.run``: resources, the proxy, the size of /dev/shm.

        ::

            state.run("make", **request.run_options)
        """
        from pybuildkit.llb import tmpfs

        options: RunOptions = {}
        if self.resources is not None:
            options["resources"] = self.resources
        if (proxy := self.proxy) is not None:
            options["proxy"] = proxy
        if self.shm_size:
            options["mounts"] = {"/dev/shm": tmpfs(self.shm_size)}  # noqa: S108 - in the step's container
        return options
