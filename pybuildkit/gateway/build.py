"""A client's gateway build: a solve that names nothing to solve (T12), and the calls that say what it does (T15)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from pybuildkit.build import Build, run_build
from pybuildkit.details import FailedVertex
from pybuildkit.errors import BuildCancelled, BuildKitError, ConfigError, ConnectionLost, RPCError
from pybuildkit.events import SolveStatus
from pybuildkit.gateway import caps
from pybuildkit.gateway._messages import encode_return
from pybuildkit.gateway._status import encode_status
from pybuildkit.gateway._types import AnyReference
from pybuildkit.gateway.bridge import BUILD_ID_KEY, BUILDING, Bridge
from pybuildkit.gateway.gateway import Gateway
from pybuildkit.gateway.resolver import GatewayImages
from pybuildkit.gateway.results import GatewayResult
from pybuildkit.gateway.trees import ClientTrees
from pybuildkit.plan import SolvePlan
from pybuildkit.progress import Progress
from pybuildkit.result import Result
from pybuildkit.rpc.channel import Channel
from pybuildkit.session.carrier import CarrierFactory

if TYPE_CHECKING:
    from pybuildkit.options import ProgressMode
    from pybuildkit.ui.display import Display

__all__ = ["GatewayBuild", "ProgressLike", "open_images", "run_gateway"]

ProgressLike: TypeAlias = "ProgressMode | Callable[[SolveStatus], object] | None"

OPEN_PATIENCE = 30.0
"""T14: seconds for which the daemon may get ready; it waits three for a build's id, ten for a session."""

RETURN_PATIENCE = 5.0
"""Seconds that the daemon has to end a build which it was told has failed."""

END_PATIENCE = 0.25
"""Seconds to wait for the build's own end when a call inside failed in a way that the end would explain."""


class GatewayBuild(Gateway):
    """A gateway build of this client; see ``AsyncClient.gateway`` and ``Gateway``."""

    def __init__(self, bridge: Bridge, build: Build, plan: SolvePlan) -> None:
        super().__init__(
            bridge,
            options=plan.request.frontend_attrs,
            session=plan.session.id,
            cache_imports=plan.request.cache_imports,
            trees=ClientTrees(plan.trees),
            secrets=plan.secrets,
        )
        self._build = build
        self._plan = plan
        self._returned = False
        self._cancelled = False

    @property
    def ref(self) -> str:
        """The build's id: the key of its history record, and of its progress for other clients."""
        return self._build.ref

    @property
    def progress(self) -> Progress:
        """What is known of the vertices so far."""
        return self._build.progress

    @property
    def returned(self) -> bool:
        """Whether the daemon has been told how the build ends."""
        return self._returned

    def cancel(self) -> None:
        """Stop the build in the daemon; the block of ``gateway()`` then ends with BuildCancelled."""
        self._cancelled = not self._build.done
        self._build.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled from here."""
        return self._cancelled

    def _abort(self, error: BuildKitError) -> None:
        """The build has ended by itself: no call waits any longer."""
        self._bridge.abort(error)

    async def finish(self, result: GatewayResult[AnyReference] | AnyReference | None = None) -> Result:
        """Give a result to the exporters, and wait for them. Nothing can be asked of the gateway afterwards.

        Args:
            result: what a solve gave, or one made of references; None for a result without files.

        Raises:
            ConfigError: the build is finished already, or the result can not work; nothing was sent.
            BuildError: a step failed that had not been run yet, or an exporter failed.
            RPCError, SessionError: the daemon went away, or the session with it broke.
        """
        if not isinstance(result, GatewayResult):
            result = GatewayResult(result)
        self._bridge.check("finish()", caps.RETURN)
        if len(result.refs) > 1:
            self._bridge.check("finish() with several platforms", caps.RETURN_MAP)
        if result.attestations:
            self._bridge.check("finish() with attestations", caps.ATTESTATIONS)
        request = encode_return(result, b"", self._bridge)
        self._returned = True
        await self._bridge.call("Return", request, what="finish()")
        self._bridge.close("the build is finished; start another one with client.gateway()")
        await self._build.ended()
        return await self._build.result()

    async def _fail(self, error: BaseException) -> None:
        """Tell the daemon that the build has failed; does nothing when it knows how the build ends."""
        if self._returned or self._build.done or caps.RETURN not in self.caps:
            return
        self._returned = True
        self._bridge.close("the build has failed")
        with anyio.move_on_after(RETURN_PATIENCE):
            try:
                await self._bridge.send_return(
                    encode_return(None, encode_status(_first_of(error)), self._bridge)
                )
            except BuildKitError:
                return  # the daemon is gone, or ended the build by itself
            await self._build.ended()


class _Run:
    """The tasks around the block of a gateway build."""

    def __init__(self, channel: Channel, plan: SolvePlan, build: Build) -> None:
        self._channel = channel
        self._plan = plan
        self._build = build
        self._show_error: Exception | None = None
        self._ended_first = False
        self._over = False
        self._gateway: GatewayBuild | None = None
        self.body = anyio.CancelScope()

    async def open(self) -> GatewayBuild:
        """Wait until the daemon is ready for calls."""
        bridge = Bridge(self._channel, metadata=[(BUILD_ID_KEY, self._build.ref)], explain=self._explain)
        await bridge.connect(patience=OPEN_PATIENCE)
        self._gateway = GatewayBuild(bridge, self._build, self._plan)
        return self._gateway

    async def watch(self) -> None:
        """When the build ends by itself, so does the block."""
        await self._build.ended()
        gateway = self._gateway
        if self._over or (gateway is not None and gateway.returned):
            return
        self._ended_first = True
        try:
            await self._build.result()
        except BuildKitError as exc:
            if gateway is not None:
                gateway._abort(exc)  # noqa: SLF001 - one module
        self.body.cancel()

    async def show(self, to: Display | Callable[[SolveStatus], object]) -> None:
        """Show progress; whoever shows it may fail, and then so does the build."""
        try:
            if callable(to):
                async for batch in self._build.status():
                    to(batch)
            else:
                from pybuildkit.ui.feed import show

                await show(self._build, to)
        except Exception as exc:  # noqa: BLE001 - raised by the block
            self._show_error = exc
            self.body.cancel()

    async def left(self) -> None:
        """The block has ended well."""
        gateway = self._gateway
        assert gateway is not None
        if gateway.returned:
            return
        request = self._plan.request
        if request.exporters or request.cache_exports or request.enable_session_exporter:
            raise ConfigError(
                "the block of gateway() ended without finish(), so that there is nothing to export: "
                "await gateway.finish(result)"
            )
        await gateway.finish()

    def stop(self) -> None:
        """The block is over: what is left of the build is stopped."""
        self._over = True
        self._build.cancel()

    async def failed(self, error: Exception) -> None:
        """The block has failed: the daemon is told why, unless the build had ended before."""
        if self._may_follow_from_end(error):
            with anyio.move_on_after(END_PATIENCE):
                await self._build.ended()
        if self._gateway is not None:
            await self._gateway._fail(error)  # noqa: SLF001 - one module

    async def cause(self, failure: Exception | None) -> BaseException | None:
        """What the block ends with."""
        if self._show_error is not None:
            return self._show_error
        if self._ended_first and (failure is None or self._may_follow_from_end(failure)):
            try:
                await self._build.result()
            except BuildKitError as exc:
                if exc is not failure:
                    exc.__cause__ = failure
                return exc
        return failure

    def _may_follow_from_end(self, error: Exception) -> bool:
        """Whether a call inside failed as it does when the build is over, or the daemon."""
        if self._gateway is not None and self._gateway.cancelled:
            return isinstance(error, BuildKitError)
        return isinstance(error, BuildCancelled | RPCError)

    async def _explain(self, error: RPCError) -> BuildKitError:
        """What the daemon said of a failed step, with what is known on this side."""
        if isinstance(error, ConnectionLost):
            return error
        failed = next((d.digest for d in error.details if isinstance(d, FailedVertex)), "")
        if failed:
            await self._build.heard_of(failed)
            return self._plan.explain(error, self._build.progress)
        return self._plan.explain(error, Progress()) if error.method in BUILDING else error


def _first_of(error: BaseException) -> BaseException:
    """The error itself, or the first in a group that a task group of the user's made."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def run_gateway(
    channel: Channel,
    plan: SolvePlan,
    *,
    progress: ProgressLike = None,
    carrier: CarrierFactory | None = None,
) -> AsyncGenerator[GatewayBuild, None]:
    """Run a gateway build; see ``AsyncClient.gateway``.

    Args:
        channel: to the daemon.
        plan: the build's, made by ``gateway_plan``.
        progress: how progress is shown, None not at all.
        carrier: what carries the session; the channel when None.
    """
    failure: Exception | None = None
    if isinstance(progress, str):
        from pybuildkit.ui import open_display

        shown: Display | Callable[[SolveStatus], object] | None = open_display(progress)
    else:
        shown = progress
    async with run_build(channel, plan, watched=shown is not None, carrier=carrier) as build:
        run = _Run(channel, plan, build)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.watch)
            if shown is not None:
                tasks.start_soon(run.show, shown)
            try:
                with run.body:
                    yield await run.open()
                    await run.left()
            except Exception as exc:  # noqa: BLE001 - raised again below, out of the group's wrapping
                failure = exc
                with anyio.CancelScope(shield=True):
                    await run.failed(exc)
            finally:
                run.stop()
        cause = await run.cause(failure)
        if cause is not None:
            raise cause


@asynccontextmanager
async def open_images(
    channel: Channel, options: Mapping[str, Any], *, carrier: CarrierFactory | None = None
) -> AsyncGenerator[GatewayImages, None]:
    """Looks up images for a graph that is about to be solved, in a build of its own that leaves no history."""
    from pybuildkit.planning import gateway_plan

    plan = await gateway_plan({**options, "internal": True})
    async with run_gateway(channel, plan, carrier=carrier) as gateway:
        yield GatewayImages(gateway)
