"""A frontend's build of which the daemon keeps no credentials (T20).

The daemon writes what ``Control.Solve`` tells it of a frontend into the build's history, the attributes of the caches to
import among it. What a *gateway* build tells a frontend later is not written down. So the solve is sent without its
frontend, as a build that decides as it goes, and the frontend is called from inside with all that it needs.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

import anyio

from pybuildkit._values import replace
from pybuildkit.control.solve import SOLVE, SolveRequest
from pybuildkit.errors import BuildCancelled, BuildKitError, ConnectionLost, NotFound, RPCError
from pybuildkit.gateway import _messages as messages
from pybuildkit.gateway import caps
from pybuildkit.gateway._status import encode_status
from pybuildkit.gateway.bridge import BUILD_ID_KEY, Bridge
from pybuildkit.rpc.channel import Channel

__all__ = ["solve_discreetly"]

OPEN_PATIENCE = 30.0
"""T14: seconds for which the daemon may get ready for calls from inside."""

RETURN_PATIENCE = 5.0
"""V21: seconds that the daemon has to end a build which it was told has failed."""


async def solve_discreetly(channel: Channel, request: SolveRequest, hidden: Collection[str]) -> bytes:
    """Solve a frontend's request; attributes that are hidden are told to the frontend only.

    Args:
        channel: to the daemon, which must be able to ask for the request's session already.
        request: the request as it would be sent otherwise.
        hidden: keys of frontend attributes.

    Returns:
        The encoded ``SolveResponse``.

    Raises:
        RPCError: the daemon refused, the build failed, or the daemon went away.
    """
    shown = {key: value for key, value in request.frontend_attrs.items() if key not in hidden}
    outside = replace(request, frontend="", frontend_attrs=shown, frontend_inputs={})
    inside = _Inside(channel, request)
    answer: bytes | None = None
    failure: BuildKitError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inside.run)
        try:
            with inside.solving:
                answer = await channel.unary(SOLVE, outside.encode())
        except BuildKitError as exc:
            failure = exc
        inside.solved.set()
        tasks.cancel_scope.cancel()
    if answer is not None:
        return answer
    # What failed inside knows best, unless it failed because the build was over.
    error = failure if failure is not None and _may_follow_from_end(inside.error) else inside.error or failure
    assert error is not None
    raise error


class _Inside:
    """The calls that a build is made of, beside its solve.

    Attributes:
        error: what failed, None while nothing has.
        solving: the scope of the solve.
        solved: set when the solve has ended.
    """

    def __init__(self, channel: Channel, request: SolveRequest) -> None:
        self._bridge = Bridge(channel, metadata=[(BUILD_ID_KEY, request.ref)])
        self._request = request
        self.error: BuildKitError | None = None
        self.solving = anyio.CancelScope()
        self.solved = anyio.Event()

    async def run(self) -> None:
        """Call the frontend, and hand on what it gives; see that the solve ends when that fails."""
        try:
            await self._bridge.connect(patience=OPEN_PATIENCE)
            await self._bridge.call("Return", await self._call_frontend())
        except BuildKitError as exc:
            self.error = exc
            await self._end_badly(exc)

    async def _call_frontend(self) -> bytes:
        request = self._request
        solve = messages.SolveRequest(
            frontend=request.frontend, attrs=request.frontend_attrs, inputs=request.frontend_inputs
        )
        response = await self._bridge.call("Solve", solve.encode(), caps.SOLVE, caps.RETURN)
        return messages.encode_return(messages.decode_result(response, self._bridge), b"", self._bridge)

    async def _end_badly(self, error: BuildKitError) -> None:
        returned = messages.encode_return(None, encode_status(error), self._bridge)
        with anyio.move_on_after(RETURN_PATIENCE):
            with suppress(RPCError):  # the daemon is gone, or ends the build by itself
                await self._bridge.send_return(returned)
            await self.solved.wait()
        self.solving.cancel()


def _may_follow_from_end(error: BuildKitError | None) -> bool:
    """Whether a call from inside failed as it does when the build is over, or the daemon."""
    return isinstance(error, BuildCancelled | ConnectionLost | NotFound) or (
        isinstance(error, RPCError) and error.code == "CANCELLED"
    )
