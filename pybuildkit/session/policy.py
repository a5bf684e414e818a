"""``...sourcepolicy.policysession.PolicyVerifier``: is asked of each source of a build whether it may be used (S91)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from pybuildkit.errors import BuildKitError
from pybuildkit.session.calls import AsyncCall, AsyncHandler, Code, MachineFactory, StatusError

__all__ = ["CHECK_POLICY", "CheckPolicy", "PolicyService"]

CHECK_POLICY = "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy"

CheckPolicy: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""From an encoded ``CheckPolicyRequest`` to an encoded ``CheckPolicyResponse``; ``pybuildkit.sourcechecks`` makes one."""


class PolicyService:
    """The verifier.

    Args:
        check: decides. What it raises keeps the source from being used.

    Attributes:
        failed: what it raised, oldest first; the daemon is told no more than its text, if it is this library's.
    """

    def __init__(self, check: CheckPolicy) -> None:
        self._check = check
        self.failed: list[Exception] = []

    @property
    def machines(self) -> Mapping[str, MachineFactory]:
        """See ``Service.machines``."""
        return {}

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {CHECK_POLICY: self._answer}

    async def _answer(self, call: AsyncCall) -> None:
        request = await call.receive() or b""
        try:
            response = await self._check(request)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the build is told and goes wrong by it
            self.failed.append(exc)
            text = str(exc) if isinstance(exc, BuildKitError) else type(exc).__name__
            raise StatusError(Code.UNKNOWN, f"the function that checks sources failed: {text}") from None
        await call.send(response)
