"""``Gateway``: a build that decides as it goes, from inside (V63 to V69)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Protocol, Unpack

from pybuildkit._concurrent import run_all
from pybuildkit.control.solve import CacheEntry
from pybuildkit.errors import ConfigError
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway import caps
from pybuildkit.gateway._messages import SolveRequest, decode_result, encode_range, encode_source_info
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.caps import GatewayCaps
from pybuildkit.gateway.container import Container, ContainerOptions, open_container
from pybuildkit.gateway.containeroptions import SecretIds
from pybuildkit.gateway.mounts import (
    Mounted,
    MountLike,
    as_mount,
    check_targets,
    encode_mount,
    of_state,
)
from pybuildkit.gateway.results import GatewayResult
from pybuildkit.gateway.sources import (
    ImageMetadata,
    ResolveOptions,
    SourceLike,
    SourceMetadata,
    SourceQuery,
    decode_source,
    encode_policies,
    query_for,
)
from pybuildkit.llb.mounts import BindMount
from pybuildkit.references import Reference as ImageReference

if TYPE_CHECKING:
    from pybuildkit.errors import BuildError
    from pybuildkit.events import Range, SourceInfo
    from pybuildkit.gateway._types import AnyReference
    from pybuildkit.llb import Definition, State
    from pybuildkit.options import PolicySource, SolveTarget
    from pybuildkit.workers import Worker

__all__ = ["Gateway", "Trees"]


class Trees(Protocol):
    """Offers the daemon the local directories that a graph reads."""

    async def offer(self, definition: Definition) -> None:
        """Get ready to be asked for them.

        Raises:
            ConfigError, LocalNotFound: one can not be offered.
        """
        ...


class Gateway:
    """A build from inside: solve, look at what came out, decide, go on.

    A client gets one from ``client.gateway()``, a frontend in a container from its runner. Any number of calls may be
    under way at the same time.

    Args:
        bridge: to the daemon, connected.
        options: what the build was told: a frontend's attributes.
        session: the id of the session of whoever started the build.
        cache_imports: caches that every solve imports.
        trees: offers local directories; None where there are none, as in a container.
        secrets: what is known of the secrets; None where nothing is.
    """

    def __init__(
        self,
        bridge: Bridge,
        *,
        options: Mapping[str, str] | None = None,
        session: str = "",
        cache_imports: tuple[CacheEntry, ...] = (),
        trees: Trees | None = None,
        secrets: SecretIds | None = None,
    ) -> None:
        self._bridge = bridge
        self._cache_imports = cache_imports
        self._trees = trees
        self._secrets = secrets
        self.options: Mapping[str, str] = dict(options or {})
        self.session = session

    @property
    def caps(self) -> GatewayCaps:
        """What the daemon's gateway can do."""
        return self._bridge.caps

    @property
    def llb_caps(self) -> GatewayCaps:
        """What the daemon lets graphs use."""
        return self._bridge.llb_caps

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The daemon's workers."""
        return self._bridge.workers

    # ---- solving

    async def solve(
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
    ) -> GatewayResult:
        """Solve a graph, or let a frontend make one.

        Args:
            target: the graph. None with a frontend.
            frontend: ``dockerfile.v0``, or ``gateway.v0`` with ``attrs={"source": image}``.
            attrs: what the frontend is told (V52 to V57).
            inputs: graphs for it, by name.
            evaluate: run the graph now. Otherwise the daemon runs it when something of the result is needed.
            no_cache: run every step again.
            cache_imports: caches to import, on top of the build's own.
            source_policies: rules on sources, on top of the build's own.

        Raises:
            BuildError: it failed; the subclass says how.
            ConfigError, DefinitionError: an argument can not work; nothing was sent.
            Unsupported: the daemon lacks something that the graph or the call needs.
        """
        if frontend and target is not None:
            raise ConfigError("a graph does not go with frontend=; give it as inputs={...}")
        if not frontend and (target is None or attrs or inputs):
            raise ConfigError("give a graph, or frontend= with attrs= and inputs=")
        imports = (*self._cache_imports, *cache_imports)
        definition = None
        if target is not None:
            made = await self._prepared(target)
            definition = (made.without_cache() if no_cache else made).to_bytes()
            if imports:
                self._bridge.check("solve(cache_imports=)", caps.IMPORT_CACHES)
        if inputs:
            self._bridge.check("solve(inputs=)", caps.FRONTEND_INPUTS)
        request = SolveRequest(
            definition,
            frontend,
            self._frontend_attrs(attrs or {}, imports, no_cache=no_cache) if frontend else {},
            {name: (await self._prepared(graph)).to_bytes() for name, graph in (inputs or {}).items()},
            () if frontend else imports,
            evaluate and caps.SOLVE_EVALUATE in self.caps,
            await encode_policies(source_policies),
        )
        response = await self._bridge.call("Solve", request.encode(), caps.SOLVE, what="solve()")
        result = decode_result(response, self._bridge)
        if evaluate and not request.evaluate:
            await self._evaluate(result)
        return result

    @staticmethod
    def _frontend_attrs(
        attrs: Mapping[str, str], imports: tuple[CacheEntry, ...], *, no_cache: bool
    ) -> dict[str, str]:
        made = dict(attrs)
        if imports:  # V63: frontends get them as an attribute
            entries = [{"Type": entry.type, "Attrs": dict(entry.attrs)} for entry in imports]
            made.setdefault("cache-imports", json.dumps(entries, separators=(",", ":")))
        if no_cache:
            made.setdefault("no-cache", "")
        return made

    async def _evaluate(self, result: GatewayResult) -> None:
        await run_all(ref.evaluate for ref in result.references)

    async def _prepared(self, target: SolveTarget) -> Definition:
        """A graph's definition, checked, its local directories offered."""
        from pybuildkit.gateway.resolver import GatewayImages
        from pybuildkit.marshalling import to_definition

        definition = await to_definition(target, lambda: nullcontext(GatewayImages(self)))
        needed = {cap for metadata in definition.metadata.values() for cap in metadata.caps}
        for cap in sorted(needed):
            self.llb_caps.require(cap, "the graph")
        if self._trees is not None:
            await self._trees.offer(definition)
        elif own := [local.name for local in definition.locals.values() if local.source is not None]:
            raise ConfigError(
                f"a frontend has no directories to offer, {own[0]!r} must be the client's: llb.local(name=...)"
            )
        return definition

    async def inputs(self) -> dict[str, State]:
        """The graphs that the build was given, by name.

        Raises:
            Unsupported: the daemon has no inputs.
        """
        from pybuildkit import llb

        response = await self._bridge.call("Inputs", b"", caps.FRONTEND_INPUTS, what="inputs()")
        return {name: llb.definition(data) for name, data in response.blob_map(1).items()}

    # ---- sources

    async def resolve_image(self, ref: str, **options: Unpack[ResolveOptions]) -> ImageMetadata:
        """An image's digest and configuration.

        Args:
            ref: the image, as ``alpine:3``.
            **options: see ``ResolveOptions``.

        Raises:
            BuildError: the registry refused, or has no such image.
            ConfigError: it is no reference, or a policy made something else of the image.
        """
        name = str(ImageReference.parse(ref).with_default_tag())
        found = await self.resolve_source(f"docker-image://{name}", **options)
        if found.image is None:
            raise ConfigError(f"a source policy made of the image {ref} the source {found.identifier}")
        return found.image

    async def resolve_source(
        self,
        source: SourceLike,
        *,
        attrs: Mapping[str, str] | None = None,
        **options: Unpack[ResolveOptions],
    ) -> SourceMetadata:
        """What the daemon can say of a source without fetching it (L17).

        Args:
            source: its identifier, or a state of ``llb.image``, ``llb.git``, ``llb.http``, ``llb.oci_layout``.
            attrs: attributes of the source, over those of the state.
            **options: see ``ResolveOptions``.

        Raises:
            BuildError: whoever has the source refused.
            ConfigError: it is no source.
            Unsupported: the daemon is too old.
        """
        query = await query_for(source, attrs or {}, options)
        needs = [caps.SOURCE_META]
        if query.wants_attestations:
            needs.append(caps.SOURCE_ATTESTATIONS)
        if query.checksum is not None:
            needs.append(caps.SOURCE_HTTP_CHECKSUM)
        if caps.SOURCE_META not in self.caps and len(needs) == 1:
            return await self._resolve_as_image(query)
        response = await self._bridge.call(
            "ResolveSourceMeta", query.encode(), *needs, what="resolve_source()"
        )
        return decode_source(response)

    async def _resolve_as_image(self, query: SourceQuery) -> SourceMetadata:
        """For daemons before ``ResolveSourceMeta``: images only; of other sources nothing is said."""
        scheme, _, ref = query.identifier.partition("://")
        if scheme not in ("docker-image", "oci-layout"):
            return SourceMetadata(query.identifier, query.attrs)
        needs = [caps.RESOLVE_IMAGE]
        if query.resolve_mode != "default":
            needs.append(caps.RESOLVE_IMAGE_MODE)
        response = await self._bridge.call(
            "ResolveImageConfig", query.encode_image_config(ref), *needs, what="resolve_image()"
        )
        ref = response.text(3) or ref
        image = ImageMetadata(ref, response.text(1), response.blob(2))
        return SourceMetadata(f"{scheme}://{ref}", query.attrs, image)

    # ---- containers

    @asynccontextmanager
    async def container(
        self, mounts: MountLike | Mapping[str, MountLike], **options: Unpack[ContainerOptions]
    ) -> AsyncGenerator[Container, None]:
        """A container on what has been made so far; leaving the block releases it.

        Nothing that is written in it becomes part of a result: that is what ``run`` of a state is for.

        Args:
            mounts: what is mounted where, with the root at ``/``; or the root alone.
            **options: see ``ContainerOptions``.

        Raises:
            BuildError: a step failed, of a state or of a reference that had not been run yet.
            ConfigError, DefinitionError: an argument can not work.
            Unsupported: the daemon has no containers for gateways.
        """
        listed = mounts if isinstance(mounts, Mapping) else {"/": mounts}
        mounted = await self._mounted(listed)
        async with open_container(self._bridge, mounted, options, self._secrets) as container:
            yield container

    @asynccontextmanager
    async def container_for(
        self,
        error: BuildError,
        of: AnyReference | GatewayResult[AnyReference] | None = None,
        *,
        before: bool = False,
        **options: Unpack[ContainerOptions],
    ) -> AsyncGenerator[Container, None]:
        """A container in which a step failed: its mounts as the step left them, its environment, directory and user.

        ::

            result = await gateway.solve(graph)
            try:
                await result.ref.evaluate()
            except ExecError as exc:
                async with gateway.container_for(exc, result) as container:
                    print((await container.run(["cat", "config.log"])).stdout)

        Args:
            error: from a solve, an evaluation or a look at a file in this build.
            of: what was being run: needed for steps that run no command, as a copy. Its root is then the directory that is
                copied into, and what is copied is at ``/mnt/source``.
            before: the mounts as they were before the step ran.
            **options: see ``ContainerOptions``; they come over the step's own.

        Raises:
            ConfigError: no step is to blame, or there is nothing that could be mounted.
            Unsupported: the daemon has no containers for gateways.
        """
        from pybuildkit.gateway.failed import FailedStep, graph_of

        step = FailedStep.of(error, graph_of(of, error), before=before)
        made: ContainerOptions = {**step.options, **options}
        async with self.container(step.mounts, **made) as container:
            yield container

    async def _mounted(self, mounts: Mapping[str, MountLike]) -> list[Mounted]:
        """Mounts as the daemon gets them; states are solved."""
        check_targets(mounts)
        made = {target: as_mount(target, value) for target, value in mounts.items()}

        async def solve(target: str, mount: BindMount) -> None:
            empty = mount.source.output is None
            solved = GatewayResult() if empty else await self.solve(mount.source)
            made[target] = of_state(mount, solved.single)

        states = [(target, mount) for target, mount in made.items() if isinstance(mount, BindMount)]
        await run_all(partial(solve, target, mount) for target, mount in states)
        return [encode_mount(target, mount) for target, mount in made.items()]

    # ---- telling the user

    async def warn(
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
        """Show a warning in the build's progress.

        Args:
            message: one line.
            vertex: the digest of the vertex that it is about, of ``Definition.head`` for one.
            level: 1 is the usual one.
            detail: more lines.
            url: where more is written.
            source: the file that it is about.
            ranges: the lines in that file.

        Raises:
            Unsupported: the daemon knows no warnings.
        """
        parts = [p.text(1, vertex), p.number(2, level), p.blob(3, message.encode())]
        parts += [p.message(4, line.encode()) for line in detail]
        parts.append(p.text(5, url))
        if source is not None:
            parts.append(p.message(6, encode_source_info(source)))
        parts += [p.message(7, encode_range(r)) for r in ranges]
        await self._bridge.call("Warn", b"".join(parts), caps.WARNINGS, what="warn()")
