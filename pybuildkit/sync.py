"""``Client``: the blocking twin of ``AsyncClient``. Same names, same arguments; a test compares them."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from pybuildkit._portal import borrow_texts, call_in, pull
from pybuildkit.client import CONNECT_TIMEOUT, AsyncClient, Transport
from pybuildkit.control.blocking import BlockingControl
from pybuildkit.errors import ConfigError
from pybuildkit.questions import BlockingSubrequests

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from pybuildkit.build import Build
    from pybuildkit.direct.builds import DirectBuilds
    from pybuildkit.events import Event, SolveStatus
    from pybuildkit.fsutil import FS
    from pybuildkit.gateway.blocking import BlockingGateway
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
    from pybuildkit.shared import SharedSession
    from pybuildkit.tls import TLS

__all__ = ["BlockingBuild", "Client"]


class Client(BlockingControl, BlockingSubrequests):
    """A client of one buildkitd that blocks.

    Works where an event loop runs already (notebooks, tests). Threads may share it::

        with Client() as buildkit:
            result = buildkit.build(".", outputs=Local("out"), progress="plain")

    ``solve()`` and ``build()`` are done by the thread that calls them, each on a connection that no other build uses, where
    nothing else is asked for (by ``tls``, ``own_session`` or ``transport``) and every connection to the address reaches the
    same daemon. All the rest, and the coroutines among what the daemon asks for, runs in an event loop, in a thread that is
    started when there is a need for it.

    The arguments are those of ``AsyncClient``.
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
        self._client = AsyncClient(
            address,
            tls=tls,
            timeout=timeout,
            wait=wait,
            own_session=own_session,
            auth=auth,
            transport=transport,
        )
        self._given_address = address
        self._timeout = timeout
        self._wait = wait
        self._plain = tls is None and own_session is None and transport is None
        self._lock = threading.RLock()
        self._stack: ExitStack | None = None
        self._builds: DirectBuilds | None = None
        self._portal: BlockingPortal | None = None
        self._portal_process = 0
        self._twin_connected = False

    def __enter__(self) -> Self:
        with self._lock:
            if self._stack is not None:
                raise ConfigError("this client is in use already; make another Client")
            self._stack = ExitStack()
        try:
            self._builds = self._open_builds()
            if self._builds is None:
                self._running()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect, and stop the private daemon if there is one. Builds under way end with an error."""
        with self._lock:
            stack, self._stack = self._stack, None
            builds, self._builds = self._builds, None
            self._portal = None
            self._twin_connected = False
        if builds is not None:
            builds.close()
        if stack is not None:
            stack.close()

    @property
    def address(self) -> str:
        """The daemon's address, once connected."""
        builds = self._builds
        return self._client.address if builds is None else builds.address

    @property
    def _twin(self) -> AsyncClient:
        return self._client

    def _open_builds(self) -> DirectBuilds | None:
        """What does builds without an event loop; None where that is not possible."""
        if not self._plain:
            return None
        from pybuildkit.transport import default_address, parse_address, translate

        address = self._given_address or default_address()
        endpoint = translate(parse_address(address), address) if address else None
        if address is None or endpoint is None or not endpoint.one_daemon:
            return None
        from pybuildkit.direct.builds import DirectBuilds

        builds = DirectBuilds(endpoint, timeout=self._timeout)
        builds.connect(wait=self._wait)
        # Whatever becomes of the environment and the usual sockets, both speak to the same daemon.
        self._client._given_address = address  # noqa: SLF001 - its twin
        return builds

    def _loop(self) -> BlockingPortal:
        """The event loop, started by the first who needs it."""
        with self._lock:
            if self._stack is None:
                raise ConfigError("this client is not connected; use it inside `with Client() as buildkit:`")
            if self._portal is not None and self._portal_process != os.getpid():
                raise ConfigError("this client's event loop did not survive the fork; make a new Client here")
            if self._portal is None:
                from anyio.from_thread import start_blocking_portal

                self._portal_process = os.getpid()
                self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
            return self._portal

    def _running(self) -> BlockingPortal:
        """The event loop, with the connected ``AsyncClient`` in it."""
        with self._lock:
            portal = self._loop()
            if not self._twin_connected:
                assert self._stack is not None
                self._stack.enter_context(portal.wrap_async_context_manager(self._client))
                self._twin_connected = True
            return portal

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a coroutine function in the loop's thread; Ctrl-C here cancels it there."""
        return call_in(self._running(), function, *args, **kwargs)

    def _pull(self, source: AsyncIterator[Any]) -> Iterator[Any]:
        return pull(self._running(), source)

    def _run(self, call: str, target: object, options: dict[str, Any]) -> Result:
        builds = self._builds
        if builds is not None:
            settings = self._client._with_auth(options)  # noqa: SLF001 - its twin
            found = builds.run(target, settings, call, portal=self._loop)
            if found is not None:
                return found
        result: Result = self._call(getattr(self._client, call), target, **options)
        return result

    def solve(
        self,
        target: SolveTarget | None = None,
        *,
        frontend: str = "",
        attrs: Mapping[str, str] | None = None,
        inputs: Mapping[str, SolveTarget] | None = None,
        **options: Unpack[SolveOptions],
    ) -> Result:
        return self._run("solve", target, {**options, "frontend": frontend, "attrs": attrs, "inputs": inputs})

    def build(self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]) -> Result:
        return self._run("build", path, dict(options))

    @contextmanager
    def stream(
        self,
        source: SolveTarget | str | os.PathLike[str] | FS | None = None,
        /,
        **options: Unpack[StreamOptions],
    ) -> Generator[BlockingBuild, None, None]:
        portal = self._running()
        with portal.wrap_async_context_manager(self._client.stream(source, **options)) as build:
            yield BlockingBuild(portal, build)

    @contextmanager
    def session(self, **options: Unpack[SessionOptions]) -> Generator[SharedSession, None, None]:
        with self._running().wrap_async_context_manager(self._client.session(**options)) as session:
            yield session

    @contextmanager
    def gateway(self, **options: Unpack[GatewayOptions]) -> Generator[BlockingGateway, None, None]:
        from pybuildkit.gateway.blocking import BlockingGateway

        portal = self._running()
        with portal.wrap_async_context_manager(self._client.gateway(**options)) as gateway:
            yield BlockingGateway(portal, gateway)


class BlockingBuild:
    """A build under way, for code that blocks; see ``Build``."""

    def __init__(self, portal: BlockingPortal, build: Build) -> None:
        self._portal = portal
        self._build = build

    @property
    def ref(self) -> str:
        """The build's id."""
        return self._build.ref

    @property
    def done(self) -> bool:
        """Whether the build has ended, well or badly."""
        return self._build.done

    def cancel(self) -> None:
        """Stop the build in the daemon; ``result()`` then raises BuildCancelled."""
        self._portal.call(self._build.cancel)

    def result(self) -> Result:
        """Wait for the end; raises what ``Build.result`` raises."""
        result: Result = call_in(self._portal, self._build.result)
        return result

    def status(self) -> Iterator[SolveStatus]:
        """The daemon's batches of progress as they come; ends with the build."""
        return pull(self._portal, self._build.status())

    def __iter__(self) -> Iterator[Event]:
        """Events as they come; ends with the build."""
        return pull(self._portal, self._build.__aiter__())


borrow_texts(Client, AsyncClient)
