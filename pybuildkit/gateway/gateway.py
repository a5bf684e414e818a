"""``Gateway``: a build that decides as it goes, from inside (V63 to V69)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack

from anyio import to_thread

from pybuildkit._concurrent import run_all
from pybuildkit.control.solve import CacheEntry
from pybuildkit.errors import ConfigError
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway import caps
from pybuildkit.gateway._messages import SolveRequest, decode_result
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.caps import GatewayCaps
from pybuildkit.gateway.results import GatewayResult
from pybuildkit.gateway.sources import (
    ChecksumAlgorithm,
    ImageMetadata,
    SourceLike,
    SourceMetadata,
    SourceQuery,
    decode_source,
    source_parts,
)
from pybuildkit.platforms import Platform, PlatformLike
from pybuildkit.references import Reference as ImageReference

if TYPE_CHECKING:
    from pybuildkit.events import Range, SourceInfo
    from pybuildkit.llb import Definition, State
    from pybuildkit.llb.resolve import ResolveMode
    from pybuildkit.options import PolicySource, SolveTarget
    from pybuildkit.workers import Worker

__all__ = ["Gateway", "ResolveOptions", "Trees"]


class Trees(Protocol):
    """Offers the daemon the local directories that a graph reads."""

    async def offer(self, definition: Definition) -> None:
        """Get ready to be asked for them.

        Raises:
            ConfigError, LocalNotFound: one can not be offered.
        """
        ...


class ResolveOptions(TypedDict, total=False):
    """What can be asked of a source.

    Attributes:
        platform: of an image; the daemon's own by default.
        resolve_mode: ``pull`` asks the registry even when the daemon has the image, ``local`` prefers the daemon's (X20).
        config: whether an image's configuration is wanted; it is by default.
        attestation_chain: whether an image's attestation chain is wanted.
        attestations: predicate types of attestations whose content is wanted.
        git_objects: whether a commit's and a tag's objects are wanted.
        checksum: another digest of a file that is wanted: the algorithm, and what is hashed behind its content.
        log_name: what progress shows.
        source_policies: on top of the build's own.
    """

    platform: PlatformLike | None
    resolve_mode: ResolveMode
    config: bool
    attestation_chain: bool
    attestations: Iterable[str]
    git_objects: bool
    checksum: tuple[ChecksumAlgorithm, bytes] | None
    log_name: str
    source_policies: PolicySource | Iterable[PolicySource]


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
    """

    def __init__(
        self,
        bridge: Bridge,
        *,
        options: Mapping[str, str] | None = None,
        session: str = "",
        cache_imports: tuple[CacheEntry, ...] = (),
        trees: Trees | None = None,
    ) -> None:
        self._bridge = bridge
        self._cache_imports = cache_imports
        self._trees = trees
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
            await _policies(source_policies),
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
        query = await _query(source, attrs or {}, options)
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
            parts.append(p.message(6, _encode_source_info(source)))
        parts += [p.message(7, _encode_range(r)) for r in ranges]
        await self._bridge.call("Warn", b"".join(parts), caps.WARNINGS, what="warn()")


async def _policies(policies: PolicySource | Iterable[PolicySource]) -> tuple[bytes, ...]:
    from pybuildkit.sourcepolicy import SourcePolicy, load_source_policy

    listed = [policies] if isinstance(policies, SourcePolicy | str | os.PathLike) else policies
    made = [await to_thread.run_sync(load_source_policy, policy) for policy in listed]
    return tuple(policy.encode() for policy in made if policy is not None)


async def _query(source: SourceLike, attrs: Mapping[str, str], options: ResolveOptions) -> SourceQuery:
    identifier, own, found = source_parts(source)
    platform = options.get("platform")
    if isinstance(platform, str):
        platform = Platform.parse(platform)
    attestations = options.get("attestations", ())
    return SourceQuery(
        identifier=identifier,
        attrs={**own, **attrs},
        platform=platform or found,
        log_name=options.get("log_name", ""),
        resolve_mode=options.get("resolve_mode", "default"),
        config=options.get("config", True),
        attestation_chain=options.get("attestation_chain", False),
        attestations=(attestations,) if isinstance(attestations, str) else tuple(attestations),
        git_objects=options.get("git_objects", False),
        checksum=options.get("checksum"),
        source_policies=await _policies(options.get("source_policies", ())),
    )


def _encode_source_info(info: SourceInfo) -> bytes:
    definition = p.message(3, info.definition) if info.definition else b""
    return p.text(1, info.filename) + p.blob(2, info.data) + definition + p.text(4, info.language)


def _encode_range(r: Range) -> bytes:
    start = p.number(1, r.start.line) + p.number(2, r.start.character)
    end = p.number(1, r.end.line) + p.number(2, r.end.character)
    return p.message(1, start) + p.message(2, end)
