"""``moby.sshforward.v1.SSH``: lets steps of a build use SSH agents of this side (S80 to S85)."""

from __future__ import annotations

from collections.abc import Mapping

from pybuildkit import _wire
from pybuildkit.errors import SessionError
from pybuildkit.session.calls import AsyncCall, AsyncHandler, Code, MachineFactory, StatusError
from pybuildkit.session.sshagents import Agent
from pybuildkit.ssh import DEFAULT_ID

__all__ = ["CHECK_AGENT", "FORWARD_AGENT", "SSHService"]

CHECK_AGENT = "/moby.sshforward.v1.SSH/CheckAgent"
FORWARD_AGENT = "/moby.sshforward.v1.SSH/ForwardAgent"

_ID = "buildkit.ssh.id"

_LOGGER = "pybuildkit.ssh"


class SSHService:
    """The agents of a session.

    Args:
        agents: by id.

    Attributes:
        failed: ids of agents that could not be reached, with the reason: all a step sees of it is a closed socket.
    """

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self._agents = agents
        self._missing: dict[str, None] = {}
        self.failed: dict[str, SessionError] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids that were asked for and are not among the agents, in the order of the first asking."""
        return tuple(self._missing)

    @property
    def machines(self) -> Mapping[str, MachineFactory]:
        """See ``Service.machines``."""
        return {}

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {CHECK_AGENT: self._check, FORWARD_AGENT: self._forward}

    async def _check(self, call: AsyncCall) -> None:
        try:
            name = _wire.first(await call.receive() or b"", 1).decode()
        except ValueError:
            raise StatusError(Code.INVALID_ARGUMENT, "not a CheckAgentRequest") from None
        self._agent(name)
        await call.send()

    async def _forward(self, call: AsyncCall) -> None:
        values = call.metadata.get(_ID, ())
        name = (values[0] if values else "") or DEFAULT_ID
        agent = self._agent(name)
        try:
            await agent.serve(call)
        except SessionError as exc:
            self.failed[name] = exc
            import logging  # a matter of start-up time

            logging.getLogger(_LOGGER).warning("%s", exc)
            raise StatusError(Code.UNAVAILABLE, str(exc)) from None

    def _agent(self, name: str) -> Agent:
        name = name or DEFAULT_ID
        agent = self._agents.get(name)
        if agent is None:
            self._missing[name] = None
            raise StatusError(Code.UNKNOWN, f"unset ssh forward key {name}")
        return agent
