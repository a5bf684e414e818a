"""``AsyncClient``: a connection to one daemon, and everything that can be asked of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, Unpack

from pybuildkit._shielding import shield
from pybuildkit.control.calls import INFO, ControlCalls
from pybuildkit.errors import ConfigError, ConnectError, ConnectTimeout, Unsupported
from pybuildkit.questions import SubrequestCalls
from pybuildkit.registry.opener import AuthOpener

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pybuildkit.build import Build
    from pybuildkit.direct.inthreads import BuildsInThreads
    from pybuildkit.fsutil import FS
    from pybuildkit.gateway import GatewayBuild
    from pybuildkit.llb import AsyncImageResolver
    from pybuildkit.marshalling import OpenImages
    from pybuildkit.options import (
        BuildOptions,
        GatewayOptions,
        SessionOptions,
        SolveOptions,
        SolveTarget,
        StreamOptions,
    )
    from pybuildkit.registry import AuthLike
    from pybuildkit.result import Result
    from pybuildkit.rpc.channel import Channel
    from pybuildkit.session.carrier import CarrierFactory
    from pybuildkit.shared import SharedSession
    from pybuildkit.tls import TLS
    from pybuildkit.transport import Endpoint

__all__ = ["AsyncClient", "Transport"]

Transport: TypeAlias = Literal["http2", "grpc"]
"""What speaks to the daemon."""

CONNECT_TIMEOUT = 20.0


class AsyncClient(ControlCalls, SubrequestCalls):
    """A client of one buildkitd, on asyncio or uvloop.

    Use it as an async context manager; one client serves any number of builds at the same time::

        async with AsyncClient() as buildkit:
            result = await buildkit.build(".", outputs=Local("out"))

    Args:
        address: ``unix:///path``, ``tcp://host:port`` or ``docker-container://name``. Without one it is
            ``$BUILDKIT_HOST``, else the usual sockets, else a private daemon that is stopped with the client
            (which needs a ``buildkitd`` binary and root).
        tls: certificates for a ``tcp`` address; plain text without.
        timeout: seconds to wait for the first answer.
        wait: keep trying for ``timeout`` seconds while nobody listens at the address, for a daemon that is just
            starting. Otherwise a dead address is an error at once.
        own_session: carry each build's session on a connection of its own, which is faster; not possible with TLS, nor
            where an address may stand for several daemons. By default that is done for unix sockets.
        auth: opens registries for builds: credentials by host, as ``{"ghcr.io": (user, token)}``, a function of the
            host, a ``DockerConfig``, several of these in a list, or a ``RegistryAuth``. By default it is docker's own
            configuration; False opens none.
        transport: what speaks to the daemon: ``http2``, which is part of this library, quicker to start and without
            TLS, or ``grpc``, the grpc package. By default the first where there is no TLS.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        tls: TLS | None = None,
        timeout: float = CONNECT_TIMEOUT,
        wait: bool = False,
        own_session: bool | None = None,
        auth: AuthLike | None = None,
        transport: Transport | None = None,
    ) -> None:
        if timeout <= 0:
            raise ConfigError(f"timeout={timeout!r} must be more than 0 seconds")
        if transport not in (None, "http2", "grpc"):
            raise ConfigError(f"transport={transport!r} is not known; give http2 or grpc, or leave it out")
        if transport == "http2" and tls is not None:
            raise ConfigError("transport='http2' does not go with tls=; leave it out")
        self._given_address = address
        self._tls = tls
        self._timeout = timeout
        self._wait = wait
        self._own_session = own_session
        self._auth = AuthOpener(auth)
        self._transport = transport
        self._stack: AsyncExitStack | None = None
        self._channel: Channel | None = None
        self._endpoint: Endpoint | None = None
        self._carrier: CarrierFactory | None = None
        self._threads: BuildsInThreads | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            ConfigError: the address can not be read, or TLS does not fit it.
            ConnectError: nobody answers, or TLS is not agreed on.
            ConnectTimeout: nobody answered in time.
            DaemonError: no address was given or found, and no private daemon can be started.
        """
        if self._stack is not None:
            raise ConfigError("this client is in use already; make another AsyncClient")
        import asyncio  # a matter of start-up time: ``Client`` needs it for few of its calls

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigError(
                "pybuildkit runs on asyncio (or uvloop) only; run this with asyncio.run()"
            ) from None
        async with AsyncExitStack() as stack:
            self._channel = await self._open(stack)
            await self._first_contact(self._channel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect, and stop the private daemon if there is one."""
        await self.aclose()

    async def aclose(self) -> None:
        """Disconnect. Builds under way end with an error; a closed client can be entered again."""
        stack, self._stack, self._channel, self._endpoint = self._stack, None, None, None
        self._threads = None
        if stack is not None:
            with shield():
                await stack.aclose()

    @property
    def address(self) -> str:
        """The daemon's address, once connected."""
        return self._connected().address

    def _connected(self) -> Channel:
        if self._channel is None:
            raise ConfigError(
                "this client is not connected; use it inside `async with AsyncClient() as buildkit:`"
            )
        return self._channel

    async def _open(self, stack: AsyncExitStack) -> Channel:
        import asyncio

        from pybuildkit.transport import default_address, dial

        address = self._given_address or await asyncio.to_thread(default_address)
        if address is None:
            from pybuildkit.daemon import Buildkitd

            daemon = await stack.enter_async_context(Buildkitd())
            address = daemon.address
        endpoint = await stack.enter_async_context(dial(address))
        if self._tls is not None and not endpoint.tls_allowed:
            raise ConfigError(f"tls= does not go with {address}; it is for tcp:// addresses")
        self._endpoint = endpoint
        self._carrier = self._choose_carrier(endpoint, address)
        from pybuildkit.rpc.traced import TracedChannel

        channel = TracedChannel(self._make_channel(endpoint, address))
        stack.push_async_callback(channel.aclose)
        if self._carrier is not None and self._own_session is None and self._transport is None:
            from pybuildkit.direct.inthreads import BuildsInThreads

            self._threads = BuildsInThreads(endpoint, timeout=self._timeout)
            stack.callback(self._threads.close)
        return channel

    def _make_channel(self, endpoint: Endpoint, address: str) -> Channel:
        if self._tls is None and self._transport != "grpc":
            from pybuildkit.rpc.h2 import H2Channel

            return H2Channel(endpoint)
        from pybuildkit.rpc.aio import AioChannel

        return AioChannel(endpoint.target, address=address, authority=endpoint.authority, tls=self._tls)

    def _choose_carrier(self, endpoint: Endpoint, address: str) -> CarrierFactory | None:
        """What carries sessions; None for the channel itself."""
        own = self._own_session
        if own is None:
            # A process that is dialled would be started a second time for it.
            own = address.startswith("unix://")
        elif own and (self._tls is not None or not endpoint.one_daemon):
            raise ConfigError(f"own_session=True does not go with {address}; leave it out")
        if not own:
            return None
        from pybuildkit.rpc.traced import traced_carrier
        from pybuildkit.session.socketcarrier import on_endpoint

        return traced_carrier(on_endpoint(endpoint))

    async def _first_contact(self, channel: Channel) -> None:
        """Ask who is there, so that a wrong address fails here and not in the middle of something."""
        import asyncio

        last: ConnectError | None = None
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                while True:
                    try:
                        await channel.unary(INFO)
                    except Unsupported:  # C44: a daemon before 0.11 is a daemon too
                        return
                    except ConnectError as exc:
                        last = self._explained(exc)
                        if not self._wait:
                            raise last from None
                        await asyncio.sleep(0.1)
                    else:
                        return
        except TimeoutError:
            if not limit.expired():
                raise
        reason = f": {last}" if last else ""
        raise ConnectTimeout(
            f"buildkitd at {channel.address} did not answer within {self._timeout:g} s{reason}",
            address=channel.address,
        )

    def _explained(self, error: ConnectError) -> ConnectError:
        trouble = self._endpoint.trouble() if self._endpoint is not None else ""
        return ConnectError(f"{error}\n{trouble}", address=error.address) if trouble else error

    async def solve(
        self,
        target: SolveTarget | None = None,
        *,
        frontend: str = "",
        attrs: Mapping[str, str] | None = None,
        inputs: Mapping[str, SolveTarget] | None = None,
        **options: Unpack[SolveOptions],
    ) -> Result:
        """Run a graph, or a frontend, and wait for its results.

        Args:
            target: the graph: a state, a definition, or an encoded definition. None with a frontend.
            frontend: ``dockerfile.v0``, or ``gateway.v0`` with ``attrs={"source": image}``.
            attrs: what the frontend is told (V52 to V57).
            inputs: graphs for the frontend, by name.
            **options: see ``SolveOptions``.

        Raises:
            BuildError: the build failed; the subclass says how.
            ConfigError, DefinitionError: an argument can not work; nothing was sent.
            RPCError, SessionError: the daemon went away, or the session with it broke.
        """
        settings: dict[str, Any] = {**options, "frontend": frontend, "attrs": attrs, "inputs": inputs}
        return await self._run(target, settings, "solve")

    async def build(self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]) -> Result:
        """Build a Dockerfile directory and wait for its results.

        Args:
            path: the directory, a tree in memory, or the URL of a git repository or tar archive.
            **options: see ``BuildOptions``.

        Raises:
            BuildError: the build failed; the subclass says how.
            ConfigError: an argument can not work; nothing was sent.
            RPCError, SessionError: the daemon went away, or the session with it broke.
        """
        return await self._run(path, dict(options), "build")

    @asynccontextmanager
    async def stream(
        self,
        source: SolveTarget | str | os.PathLike[str] | FS | None = None,
        /,
        **options: Unpack[StreamOptions],
    ) -> AsyncGenerator[Build, None]:
        """Run a build and watch it: iterate over the ``Build`` for events, then await its ``result()``.

        Leaving the block before the build has ended cancels it in the daemon::

            async with buildkit.stream(".", outputs=Local("out")) as build:
                async for event in build:
                    print(event)
                result = await build.result()

        Args:
            source: what ``build`` takes, or what ``solve`` takes; None with ``frontend=``.
            **options: all options of both.

        Raises:
            ConfigError, DefinitionError: an argument can not work; nothing was sent.
        """
        if options.get("progress") is not None:
            raise ConfigError("progress= does not go with stream(): whoever iterates over the build shows it")
        from pybuildkit.build import run_build
        from pybuildkit.planning import plan_for

        channel = self._connected()
        settings = self._with_auth(options)
        plan = await plan_for(source, settings, images=self._images(settings))
        async with run_build(channel, plan, watched=True, carrier=self._carrier) as build:
            yield build

    @asynccontextmanager
    async def gateway(self, **options: Unpack[GatewayOptions]) -> AsyncGenerator[GatewayBuild, None]:
        """Run a build that decides as it goes: solve, look at what came out, and go on from there.

        ::

            async with buildkit.gateway(outputs=Image("app:1", push=True)) as gateway:
                base = await gateway.solve(llb.image("alpine"))
                release = await base.ref.read_file("/etc/alpine-release")
                app = await gateway.solve(build_for(release.decode()))
                result = await gateway.finish(app)

        Everything of one gateway is one build for the daemon: one session, one progress, one history record. Leaving the
        block ends it; an error in the block is told to the daemon, and comes out as it is.

        Args:
            **options: see ``GatewayOptions``.

        Raises:
            ConfigError: an argument can not work; nothing was sent. Or the block ended without ``finish()`` although
                there are outputs.
            BuildError: the daemon ended the build.
            RPCError, SessionError: the daemon went away, or the session with it broke.
        """
        from pybuildkit.gateway.build import run_gateway
        from pybuildkit.planning import gateway_plan

        channel = self._connected()
        settings = self._with_auth(options)
        progress = settings.pop("progress", None)
        plan = await gateway_plan(settings, images=self._images(settings))
        async with run_gateway(channel, plan, progress=progress, carrier=self._carrier) as gateway:
            yield gateway

    def _images(self, options: Mapping[str, Any]) -> OpenImages:
        """Looks up the images of a graph where it needs it; nothing is asked of the daemon before."""
        channel, carrier = self._connected(), self._carrier

        def opened() -> AbstractAsyncContextManager[AsyncImageResolver]:
            from pybuildkit.gateway.build import open_images

            kept = ("auth", "session", "source_policy")
            return open_images(channel, {key: options.get(key) for key in kept}, carrier=carrier)

        return opened

    @asynccontextmanager
    async def session(self, **options: Unpack[SessionOptions]) -> AsyncGenerator[SharedSession, None]:
        """Open a session for several builds, so that they share directories, secrets, agents and credentials.

        ::

            async with buildkit.session(locals={"context": "."}, ssh=True) as session, anyio.create_task_group() as tasks:
                for target in ("api", "worker"):
                    tasks.start_soon(partial(buildkit.build, ".", target=target, session=session))

        A directory is sent once, although several builds read it; it is what it was when the first one did. For a
        Dockerfile build it must be the same under the same name: the context's is ``context``. A graph names the session:
        ``llb.local("src", session=session.id)``.

        Args:
            **options: see ``SessionOptions``.

        Raises:
            ConfigError: an argument can not work; nothing was sent.
            SessionError, ConnectionLost: the session broke.
        """
        from pybuildkit.shared import open_shared

        async with open_shared(self._connected(), options, carrier=self._carrier) as session:
            yield session

    def _with_auth(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with what opens registries: the build's own, the shared session's, the client's."""
        settings = dict(options)
        if settings.get("auth") is None:
            shared: object = getattr(settings.get("session"), "auth", None)
            settings["auth"] = shared or self._auth
        return settings

    async def _run(self, target: object, options: dict[str, Any], call: str) -> Result:
        """Plan, run, and show progress meanwhile."""
        channel = self._connected()
        options = self._with_auth(options)
        progress: Any = options.pop("progress", None)
        if progress is None and self._threads is not None:
            found = await self._threads.run(target, options, call)
            if found is not None:
                return found
        from pybuildkit.build import run_alone, run_build
        from pybuildkit.planning import plan_for

        display = listener = None
        if isinstance(progress, str):
            from pybuildkit.ui import open_display

            display = open_display(progress)
        elif callable(progress):
            listener = progress
        elif progress is not None:
            raise ConfigError(f"progress={progress!r} is neither a mode, as 'plain', nor a function")
        plan = await plan_for(target, options, call, images=self._images(options))
        if progress is None:
            return await run_alone(channel, plan, carrier=self._carrier)
        async with run_build(channel, plan, watched=True, carrier=self._carrier) as build:
            if display is not None:
                from pybuildkit.ui.feed import show

                await show(build, display)
            elif listener is not None:
                async for batch in build.status():
                    listener(batch)
            return await build.result()
