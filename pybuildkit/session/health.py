"""``grpc.health.v1.Health``: the daemon asks every five seconds, and drops a session that fails twice (T6, S9)."""

from __future__ import annotations

from collections.abc import Mapping

from pybuildkit import _wire
from pybuildkit.session.calls import AsyncHandler, Call, Code, MachineFactory, Status, StatusError

__all__ = ["HEALTH_METHODS", "Health"]

_SERVICE = "/grpc.health.v1.Health/"
HEALTH_METHODS = (f"{_SERVICE}Check", f"{_SERVICE}List", f"{_SERVICE}Watch")

_SERVING = _wire.field_varint(1, 1)
_SERVICE_UNKNOWN = _wire.field_varint(1, 3)
_LIST = _wire.field_bytes(1, _wire.field_bytes(1, b"") + _wire.field_bytes(2, _SERVING))


def _service(request: bytes) -> str:
    try:
        return _wire.first(request, 1).decode()
    except ValueError:
        raise StatusError(Code.INVALID_ARGUMENT, "not a HealthCheckRequest") from None


class _Answer:
    """The machine of one health call. The session as a whole, "", is all that has a health."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def message(self, data: bytes) -> None:
        name = _service(data)
        if self._call.method.endswith("/Watch"):
            # Stays open: the state would change only with the session's end.
            self._call.send(_SERVICE_UNKNOWN if name else _SERVING)
        elif self._call.method.endswith("/List"):
            self._call.send(_LIST)
            self._call.finish()
        elif name:
            self._call.finish(Status(Code.NOT_FOUND, "unknown service"))
        else:
            self._call.send(_SERVING)
            self._call.finish()

    def half_closed(self) -> None:
        pass

    def pull(self) -> bool:
        return False

    def closed(self) -> None:
        pass


class Health:
    """The service that every session has."""

    @property
    def machines(self) -> Mapping[str, MachineFactory]:
        """See ``Service.machines``."""
        return dict.fromkeys(HEALTH_METHODS, _Answer)

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {}
