"""``Inputs``: what a build reads, as Dockerfile frontends find it."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import anyio

from pybuildkit import llb
from pybuildkit._concurrent import run_all
from pybuildkit.errors import FrontendError, NotFound
from pybuildkit.frontend.context import Place, find_place, internal, local_tree
from pybuildkit.frontend.namedcontext import IGNORE_FILE, BaseImage, load_image, load_named, read_patterns
from pybuildkit.frontend.request import Request
from pybuildkit.frontend.sourcefile import SourceFile
from pybuildkit.gateway.results import GatewayResult, ImageConfigLike
from pybuildkit.platforms import Platform, PlatformLike

if TYPE_CHECKING:
    from pybuildkit.gateway.gateway import Gateway
    from pybuildkit.gateway.reference import Reference

__all__ = ["Inputs", "PlatformBuild"]

_DOCKERFILE = "Dockerfile"

Part: TypeAlias = "tuple[llb.State | Reference | None, ImageConfigLike]"
PlatformBuild: TypeAlias = "Callable[[Platform], Awaitable[GatewayResult | Part]]"
"""Builds for one platform: gives a result, or files and an image's configuration."""


class Inputs:
    """What a build reads, in all the ways in which ``docker build`` and ``buildctl`` give it.

    ::

        inputs = Inputs(gateway)
        service = parse(await inputs.main_file("service.yaml", language="YAML"))
        context = await inputs.context()

    Args:
        gateway: the build's.

    Attributes:
        gateway: the build's.
        request: what was asked for.

    Raises:
        ConfigError: an option has a value that can not be.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.request = Request.parse(gateway.options, gateway.workers)
        self._lock = anyio.Lock()
        self._place: Place | None = None
        self._ignored: tuple[str, ...] | None = None

    # ---- files

    async def main_file(self, filename: str = _DOCKERFILE, *, language: str = "") -> SourceFile:
        """The file that says what to build.

        Args:
            filename: its name when the build gives none, as ``service.yaml``.
            language: as GitHub calls it, for those who show lines of it.

        Raises:
            FrontendError: there is no such file.
            BuildError: it can not be fetched.
        """
        place = await self._where()
        name = place.filename or filename
        names = [name, f"{name}{IGNORE_FILE}"]
        if posixpath.basename(name) == _DOCKERFILE:
            names.append(posixpath.join(posixpath.dirname(name), _DOCKERFILE.lower()))
        source = place.main or local_tree(
            self.request,
            self.gateway,
            place.main_local,
            f"[internal] load build definition from {name}",
            hint=place.main_local,
            only=tuple(names),
        )
        files = (await self.gateway.solve(source)).ref
        for candidate in (name, *names[2:]):
            try:
                data = await files.read_file(candidate)
            except NotFound:
                continue
            self._ignored = await read_patterns(files, names[1])
            return SourceFile.make(self.gateway, candidate, data, language, files.definition)
        raise FrontendError(
            f"failed to read {name}: there is no such file; name it with --opt filename= (file= of build())"
        )

    async def context(self, *, only: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> llb.State:
        """The main context, without what its ignore file leaves out.

        Args:
            only: patterns; of a client's directory only what matches one is sent. All of it by default.
            exclude: patterns of what is left out, on top of those of the ignore file.

        Raises:
            BuildError: it can not be fetched.
            ConfigError: the ignore file can not be read.
        """
        place = await self._where()
        if place.context is not None:
            return place.context
        name = place.context_local
        return llb.local(
            name=name,
            session=self.request.sessions.get(name, self.gateway.session),
            include=only,
            exclude=(*await self.ignored(), *exclude),
            shared_key_hint=name,
            description=internal("load build context"),
        )

    async def ignored(self) -> tuple[str, ...]:
        """The patterns of the ignore file: ``FILENAME.dockerignore`` beside the main file, else that of the context.

        They are applied already to what ``context`` gives. A context that is not a client's directory has none. Read
        the main file first: only then it is known whether it has one of its own.

        Raises:
            BuildError: the directory can not be read.
            ConfigError: the file can not be read.
        """
        place = await self._where()
        if place.context is not None:
            return ()
        async with self._lock:
            if self._ignored is None:
                name = place.context_local
                tree = local_tree(
                    self.request,
                    self.gateway,
                    name,
                    f"[internal] load {IGNORE_FILE}",
                    hint=f"{name}-{IGNORE_FILE}",
                    only=(IGNORE_FILE,),
                )
                files = (await self.gateway.solve(tree)).ref
                self._ignored = await read_patterns(files, IGNORE_FILE) or ()
            return self._ignored

    async def _where(self) -> Place:
        async with self._lock:
            if self._place is None:
                self._place = await find_place(self.gateway, self.request)
            return self._place

    # ---- images and named contexts

    async def named_context(self, name: str, platform: PlatformLike | None = None) -> BaseImage | None:
        """What the build gives in place of a name; None when it gives nothing.

        Args:
            name: the name, as of an image or a stage.
            platform: for which platform; the first that is built for by default.

        Raises:
            BuildError: it can not be fetched.
            ConfigError: the name is none, or the context can not be.
        """
        return await load_named(self.gateway, self.request, name, self._platform(platform))

    async def image(self, ref: str, platform: PlatformLike | None = None) -> BaseImage:
        """Something to build on, as ``FROM`` finds it: a named context, nothing for ``scratch``, else an image.

        Args:
            ref: the reference, as ``python:3-slim``.
            platform: for which platform; the first that is built for by default.

        Raises:
            BuildError: the registry refused, or has no such image.
            ConfigError: it is no reference.
        """
        wanted = self._platform(platform)
        if ref == "scratch":
            return BaseImage(llb.scratch())
        named = await load_named(self.gateway, self.request, ref, wanted)
        return named or await load_image(self.gateway, self.request, ref, wanted)

    def _platform(self, platform: PlatformLike | None) -> Platform:
        if platform is None:
            return self.request.platforms[0]
        return (Platform.parse(platform) if isinstance(platform, str) else platform).normalized()

    # ---- results

    async def each_platform(self, build: PlatformBuild) -> GatewayResult:
        """Build for all platforms at the same time, and make one result of it: an image, or an index of several.

        Args:
            build: builds for one platform.

        Raises:
            BuildError: it failed for a platform; the others are cancelled.
        """
        made: dict[Platform, GatewayResult] = {}

        async def one(platform: Platform) -> None:
            made[platform] = await self._as_result(await build(platform))

        platforms = self.request.platforms
        await run_all(partial(one, platform) for platform in platforms)
        if not self.request.multi_platform and len(platforms) == 1:
            return made[platforms[0]]
        return GatewayResult.index({str(platform): made[platform] for platform in platforms})

    async def _as_result(self, built: GatewayResult | Part) -> GatewayResult:
        if isinstance(built, GatewayResult):
            return built
        files, config = built
        if isinstance(files, llb.State):
            solved = GatewayResult() if files.output is None else await self.gateway.solve(files)
            files = solved.single
        return GatewayResult.image(files, config)
