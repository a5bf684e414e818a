"""The gateway for code that blocks: same names, same arguments; a test compares them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Unpack

from anyio.from_thread import BlockingPortal

from pybuildkit._portal import call_in
from pybuildkit.control.solve import CacheEntry
from pybuildkit.fsutil.stat import Stat
from pybuildkit.gateway._types import AnyReference
from pybuildkit.gateway.attestations import Attestation
from pybuildkit.gateway.blockingcontainer import BlockingContainer
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.build import GatewayBuild
from pybuildkit.gateway.caps import GatewayCaps
from pybuildkit.gateway.container import ContainerOptions
from pybuildkit.gateway.mounts import MountLike, ResultMount
from pybuildkit.gateway.reference import Reference
from pybuildkit.gateway.results import GatewayResult
from pybuildkit.gateway.sources import ImageMetadata, ResolveOptions, SourceLike, SourceMetadata
from pybuildkit.result import Result

if TYPE_CHECKING:
    from pybuildkit.errors import BuildError
    from pybuildkit.events import Range, SourceInfo
    from pybuildkit.llb import Definition, State
    from pybuildkit.options import PolicySource, SolveTarget
    from pybuildkit.progress import Progress
    from pybuildkit.workers import Worker

__all__ = ["BlockingGateway", "BlockingReference"]


class BlockingReference:
    """The files that a solve gave, for code that blocks; see ``Reference``."""

    __slots__ = ("_portal", "_reference")

    def __init__(self, portal: BlockingPortal, reference: Reference) -> None:
        self._portal = portal
        self._reference = reference

    @property
    def id(self) -> str:
        """What the daemon calls it, within this build."""
        return self._reference.id

    @property
    def definition(self) -> Definition:
        """See ``Reference.definition``."""
        return self._reference.definition

    def to_state(self) -> State:
        """See ``Reference.to_state``."""
        return self._reference.to_state()

    def evaluate(self) -> None:
        """See ``Reference.evaluate``."""
        self._call(self._reference.evaluate)

    def read_file(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``Reference.read_file``."""
        data: bytes = self._call(self._reference.read_file, path, offset, length)
        return data

    def read_dir(self, path: str = "/", include: str = "") -> tuple[Stat, ...]:
        """See ``Reference.read_dir``."""
        entries: tuple[Stat, ...] = self._call(self._reference.read_dir, path, include)
        return entries

    def stat(self, path: str) -> Stat:
        """See ``Reference.stat``."""
        found: Stat = self._call(self._reference.stat, path)
        return found

    def mount(self, *, readonly: bool = False, selector: str = "") -> ResultMount:
        """See ``Reference.mount``."""
        return self._reference.mount(readonly=readonly, selector=selector)

    def encode(self, bridge: Bridge) -> bytes:
        """See ``Reference.encode``."""
        return self._reference.encode(bridge)

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        return call_in(self._portal, function, *args)

    def __repr__(self) -> str:
        return f"<BlockingReference {self.id}>"


class BlockingGateway:
    """A gateway build, for code that blocks; see ``GatewayBuild`` and ``Gateway``. Threads may share it."""

    def __init__(self, portal: BlockingPortal, gateway: GatewayBuild) -> None:
        self._portal = portal
        self._gateway = gateway

    @property
    def ref(self) -> str:
        """The build's id."""
        return self._gateway.ref

    @property
    def session(self) -> str:
        """The id of the build's session."""
        return self._gateway.session

    @property
    def options(self) -> Mapping[str, str]:
        """What the build was told."""
        return self._gateway.options

    @property
    def progress(self) -> Progress:
        """What is known of the vertices so far."""
        return self._gateway.progress

    @property
    def returned(self) -> bool:
        """Whether the daemon has been told how the build ends."""
        return self._gateway.returned

    @property
    def caps(self) -> GatewayCaps:
        """What the daemon's gateway can do."""
        return self._gateway.caps

    @property
    def llb_caps(self) -> GatewayCaps:
        """What the daemon lets graphs use."""
        return self._gateway.llb_caps

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The daemon's workers."""
        return self._gateway.workers

    def cancel(self) -> None:
        """Stop the build in the daemon."""
        self._portal.call(self._gateway.cancel)

    def solve(
        self,
        target: SolveTarget | None = None,
        *,
        frontend: str = "",
        attrs: Mapping[str, str] | None = None,
        inputs: Mapping[str, SolveTarget] | None = None,
        evaluate: bool = False,
        no_cache: bool = False,
        cache_imports: Iterable[CacheEntry] = (),
        source_policies: PolicySource | Iterable[PolicySource] = (),
    ) -> GatewayResult[BlockingReference]:
        """See ``Gateway.solve``."""
        found: GatewayResult = self._call(
            self._gateway.solve,
            target,
            frontend=frontend,
            attrs=attrs,
            inputs=inputs,
            evaluate=evaluate,
            no_cache=no_cache,
            cache_imports=cache_imports,
            source_policies=source_policies,
        )
        return self._blocking(found)

    def inputs(self) -> dict[str, State]:
        """See ``Gateway.inputs``."""
        found: dict[str, State] = self._call(self._gateway.inputs)
        return found

    def resolve_image(self, ref: str, **options: Unpack[ResolveOptions]) -> ImageMetadata:
        """See ``Gateway.resolve_image``."""
        found: ImageMetadata = self._call(self._gateway.resolve_image, ref, **options)
        return found

    def resolve_source(
        self,
        source: SourceLike,
        *,
        attrs: Mapping[str, str] | None = None,
        **options: Unpack[ResolveOptions],
    ) -> SourceMetadata:
        """See ``Gateway.resolve_source``."""
        found: SourceMetadata = self._call(self._gateway.resolve_source, source, attrs=attrs, **options)
        return found

    @contextmanager
    def container(
        self, mounts: MountLike | Mapping[str, MountLike], **options: Unpack[ContainerOptions]
    ) -> Generator[BlockingContainer, None, None]:
        """See ``Gateway.container``."""
        opened = self._gateway.container(mounts, **options)
        with self._portal.wrap_async_context_manager(opened) as container:
            yield BlockingContainer(self._portal, container)

    @contextmanager
    def container_for(
        self,
        error: BuildError,
        of: AnyReference | GatewayResult[AnyReference] | None = None,
        *,
        before: bool = False,
        **options: Unpack[ContainerOptions],
    ) -> Generator[BlockingContainer, None, None]:
        """See ``Gateway.container_for``."""
        opened = self._gateway.container_for(error, of, before=before, **options)
        with self._portal.wrap_async_context_manager(opened) as container:
            yield BlockingContainer(self._portal, container)

    def warn(
        self,
        message: str,
        *,
        vertex: str = "",
        level: int = 1,
        detail: Iterable[str] = (),
        url: str = "",
        source: SourceInfo | None = None,
        ranges: Iterable[Range] = (),
    ) -> None:
        """See ``Gateway.warn``."""
        self._call(
            self._gateway.warn,
            message,
            vertex=vertex,
            level=level,
            detail=detail,
            url=url,
            source=source,
            ranges=ranges,
        )

    def finish(self, result: GatewayResult[AnyReference] | AnyReference | None = None) -> Result:
        """See ``GatewayBuild.finish``."""
        done: Result = self._call(self._gateway.finish, result)
        return done

    def _blocking(self, result: GatewayResult) -> GatewayResult[BlockingReference]:
        """The same result with references that block."""
        attestations = {
            key: tuple(
                Attestation(self._reference(a.ref), a.path, a.predicate_type, a.kind, a.subjects, a.metadata)
                for a in listed
            )
            for key, listed in result.attestations.items()
        }
        return GatewayResult(
            self._reference(result.single),
            {key: self._reference(ref) for key, ref in result.refs.items()},
            result.metadata,
            attestations,
        )

    def _reference(self, ref: Reference | None) -> BlockingReference | None:
        return None if ref is None else BlockingReference(self._portal, ref)

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return call_in(self._portal, function, *args, **kwargs)
