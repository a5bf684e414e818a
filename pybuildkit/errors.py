"""Every error this library raises, and nothing else.

::

    BuildKitError
    ├─ ConnectError(ConnectionError)          .address
    │  └─ ConnectTimeout(TimeoutError)
    ├─ DaemonError                            a private buildkitd did not start, or died
    ├─ RPCError                               .code .message .method .details
    │  ├─ NotFound · PermissionDenied · Unauthenticated · Unsupported(.capability)
    │  └─ ConnectionLost                      the daemon went away in the middle
    ├─ BuildError                             .ref .vertex .source .log .code .details
    │  ├─ ExecError                           .argv .exit_code
    │  ├─ FrontendError · BuildCancelled
    │  ├─ LocalNotFound(.name) · SecretNotFound(.id) · SSHNotFound(.id)
    │  ├─ RegistryAuthError(.host) · EntitlementError(.entitlement) · PolicyError(.messages)
    ├─ SessionError                           .method; something we serve to the daemon failed
    │  ├─ ProtocolError                       bytes that are not what the protocol allows
    │  └─ TransferError(.path)                a file could not be sent or received
    ├─ ContentError                           .reason; a content store on this machine refuses
    ├─ DefinitionError(ValueError)            a bad graph, found before anything is sent
    └─ ConfigError(ValueError)                a bad argument, address, output, cache or secret

No grpc or protobuf object is ever inside one. Texts end with what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from pybuildkit.details import Detail, SourceError

__all__ = [
    "BuildCancelled",
    "BuildError",
    "BuildKitError",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "ContentError",
    "DaemonError",
    "DefinitionError",
    "EntitlementError",
    "ExecError",
    "FrontendError",
    "LocalNotFound",
    "NotFound",
    "PermissionDenied",
    "PolicyError",
    "ProtocolError",
    "RPCError",
    "RegistryAuthError",
    "SSHNotFound",
    "SecretNotFound",
    "SessionError",
    "TransferError",
    "Unauthenticated",
    "Unsupported",
]


class BuildKitError(Exception):
    """The root of all errors of this library."""


class ConfigError(BuildKitError, ValueError):
    """An argument that can not work: a bad address, output, cache, secret, platform or attribute."""


class DefinitionError(BuildKitError, ValueError):
    """A graph that can not work, found before anything is sent."""


class DaemonError(BuildKitError):
    """A private buildkitd could not be started, or died.

    Attributes:
        log: the last lines of the daemon's own log, empty when it wrote none.
    """

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(f"{message}\n{log}".rstrip() if log else message)
        self.log = log


class ConnectError(BuildKitError, ConnectionError):
    """No daemon answers at the address.

    Attributes:
        address: the address that was tried, as the user gave it.
    """

    def __init__(self, message: str, *, address: str) -> None:
        super().__init__(message)
        self.address = address


class ConnectTimeout(ConnectError, TimeoutError):
    """No daemon answered at the address in time."""


class RPCError(BuildKitError):
    """The daemon refused a call.

    Attributes:
        code: the gRPC status code's name, as ``NOT_FOUND`` (T13: most refusals are ``UNKNOWN``).
        message: the daemon's text, without the code.
        method: the full method, as ``/moby.buildkit.v1.Control/Solve``.
        details: typed error details in the daemon's order, unknown ones kept (C61).
    """

    def __init__(self, message: str, *, code: str, method: str = "", details: Sequence[Detail] = ()) -> None:
        super().__init__(message if code == "UNKNOWN" else f"{code}: {message}")
        self.message = message
        self.code = code
        self.method = method
        self.details = tuple(details)


class NotFound(RPCError):
    """The daemon knows no such thing."""


class PermissionDenied(RPCError):
    """The daemon does not allow it."""


class Unauthenticated(RPCError):
    """The daemon does not know who asks."""


class Unsupported(RPCError):
    """This daemon is too old, or was built without it.

    Attributes:
        capability: the missing capability's id, empty when the daemon does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNIMPLEMENTED",
        method: str = "",
        details: Sequence[Detail] = (),
        capability: str = "",
    ) -> None:
        super().__init__(message, code=code, method=method, details=details)
        self.capability = capability


class ConnectionLost(RPCError, ConnectionError):
    """The daemon, or the way to it, went away in the middle of a call."""


class BuildError(BuildKitError):
    """A build failed.

    Attributes:
        message: what the daemon said and what to do about it, one text.
        remedy: what to do alone, the end of the message; empty when only the daemon's words say it.
        ref: the build's id: the key of its history record.
        vertex: the failed vertex' name, empty when no vertex is to blame.
        digest: the failed vertex' digest, empty likewise.
        source: where in the Dockerfile, or in the Python file, the failed vertex was written.
        log: the last lines that the failed vertex printed.
        code: the gRPC status code's name.
        details: typed error details, unknown ones kept (C61).
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        ref: str = "",
        vertex: str = "",
        digest: str = "",
        source: SourceError | None = None,
        log: str = "",
        code: str = "UNKNOWN",
        details: Sequence[Detail] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.ref = ref
        self.vertex = vertex
        self.digest = digest
        self.source = source
        self.log = log
        self.code = code
        self.details = tuple(details)

    def __str__(self) -> str:
        """The text with the log's tail and the source lines, ready to print."""
        parts = [self._headline()]
        if self.log:
            parts.append(f"------\n > {self.vertex}:\n{self.log.rstrip()}\n------")
        if self.source is not None:
            parts.append(self.source.render())
        return "\n".join(parts)

    def _headline(self) -> str:
        return self.message


class ExecError(BuildError):
    """A command of the build exited with a code that was not allowed.

    Attributes:
        argv: the command as the daemon ran it, empty when it is not known.
        exit_code: the process' exit code.
    """

    argv: tuple[str, ...] = ()
    exit_code: int = -1

    def _headline(self) -> str:
        # Not in the message: whoever has shown the log already prints that alone.
        return f"{self.message}; its last output follows" if self.log else self.message


class FrontendError(BuildError):
    """The frontend refused its input: a Dockerfile that does not parse, an unknown target."""


class BuildCancelled(BuildError):
    """The build was cancelled in the daemon, by another client or by its shutdown."""


class LocalNotFound(BuildError):
    """The build asked for a local directory that was not given.

    Attributes:
        name: the directory's name in the build.
    """

    name: str = ""


class SecretNotFound(BuildError):
    """The build asked for a secret that was not given.

    Attributes:
        id: the secret's id.
    """

    id: str = ""


class SSHNotFound(BuildError):
    """The build asked for an SSH agent that was not given.

    Attributes:
        id: the agent's id.
    """

    id: str = ""


class RegistryAuthError(BuildError):
    """A registry refused the credentials, or wants some.

    Attributes:
        host: the registry's host name, empty when the daemon does not say.
    """

    host: str = ""


class EntitlementError(BuildError):
    """The build wants an entitlement that it was not granted, or that the daemon does not allow.

    Attributes:
        entitlement: its name, as ``security.insecure``.
    """

    entitlement: str = ""


class PolicyError(BuildError):
    """A source policy denied a source.

    Attributes:
        messages: the reasons the policy gave.
    """

    messages: tuple[str, ...] = ()


class SessionError(BuildKitError):
    """Something that we serve to the daemon failed.

    Attributes:
        method: the session method, empty when the session as a whole failed.
    """

    def __init__(self, message: str, *, method: str = "") -> None:
        super().__init__(message)
        self.method = method


class ProtocolError(SessionError):
    """The daemon sent bytes that the protocol does not allow."""


class TransferError(SessionError):
    """A file could not be sent or received.

    Attributes:
        path: the file, as a path on this machine or inside the tree.
    """

    def __init__(self, message: str, *, path: str = "", method: str = "") -> None:
        super().__init__(message, method=method)
        self.path = path


ContentReason: TypeAlias = Literal[
    "not-found", "exists", "invalid", "mismatch", "range", "busy", "read-only", "unsupported", "corrupt"
]


class ContentError(BuildKitError):
    """A content store on this machine (a local cache, an OCI layout) can not do what was asked.

    Attributes:
        reason: what kind of refusal: ``not-found``, ``exists``, ``invalid`` (a bad digest, reference or filter),
            ``mismatch`` (size or digest are not the promised ones), ``range``, ``busy``, ``read-only``,
            ``unsupported`` or ``corrupt``.
    """

    def __init__(self, message: str, *, reason: ContentReason) -> None:
        super().__init__(message)
        self.reason: ContentReason = reason
