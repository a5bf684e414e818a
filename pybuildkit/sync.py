"""``Client``: the blocking twin of ``AsyncClient``. Same names, same arguments; a test compares them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from anyio.from_thread import BlockingPortal, start_blocking_portal

from pybuildkit._portal import borrow_texts, pull
from pybuildkit._portal import call_in as call_in
from pybuildkit.build import Build
from pybuildkit.client import CONNECT_TIMEOUT, AsyncClient, Transport
from pybuildkit.control.blocking import BlockingControl
from pybuildkit.errors import ConfigError
from pybuildkit.events import Event, SolveStatus
from pybuildkit.result import Result
from pybuildkit.subrequests.blocking import BlockingSubrequests

if TYPE_CHECKING:
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
    from pybuildkit.shared import SharedSession
    from pybuildkit.tls import TLS

__all__ = ["BlockingBuild", "Client"]


class Client(BlockingControl, BlockingSubrequests):
    """A client of one buildkitd that blocks; its event loop runs in a thread of its own.

    Works where an event loop runs already (notebooks, tests). Threads may share it::

        with Client() as buildkit:
            result = buildkit.build(".", outputs=Local("out"), progress="plain")

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
        self._stack: ExitStack | None = None
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        if self._stack is not None:
            raise ConfigError("this client is in use already; make another Client")
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(self._portal.wrap_async_context_manager(self._client))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect, and stop the private daemon if there is one."""
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()
        self._portal = None

    @property
    def address(self) -> str:
        """The daemon's address, once connected."""
        return self._client.address

    @property
    def _twin(self) -> AsyncClient:
        return self._client

    def _running(self) -> BlockingPortal:
        if self._portal is None:
            raise ConfigError("this client is not connected; use it inside `with Client() as buildkit:`")
        return self._portal

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a coroutine function in the loop's thread; Ctrl-C here cancels it there."""
        return call_in(self._running(), function, *args, **kwargs)

    def _pull(self, source: AsyncIterator[Any]) -> Iterator[Any]:
        return pull(self._running(), source)

    def solve(
        self,
        target: SolveTarget | None = None,
        *,
        frontend: str = "",
        attrs: Mapping[str, str] | None = None,
        inputs: Mapping[str, SolveTarget] | None = None,
        **options: Unpack[SolveOptions],
    ) -> Result:
        result: Result = self._call(
            self._client.solve, target, frontend=frontend, attrs=attrs, inputs=inputs, **options
        )
        return result

    def build(self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]) -> Result:
        result: Result = self._call(self._client.build, path, **options)
        return result

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
