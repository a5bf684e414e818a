"""How containers of a gateway are made, and processes in them started."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypedDict

if TYPE_CHECKING:
    from pybuildkit.llb.mounts import SecretMount
    from pybuildkit.llb.values import Network, Security
    from pybuildkit.platforms import PlatformLike

__all__ = ["ContainerOptions", "ProcessOptions", "SecretIds"]


class SecretIds(Protocol):
    """What is known of the secrets that processes can have."""

    @property
    def ids(self) -> Collection[str]:
        """All that there are."""
        ...

    def refusals(self, id: str) -> int:  # noqa: A002 - what it is called
        """How often the daemon asked for one and could not have it."""
        ...


class ContainerOptions(TypedDict, total=False):
    """How a container is made.

    Attributes:
        hostname: its host name.
        network: ``sandbox``, ``host`` (with the entitlement ``network.host``) or ``none``.
        extra_hosts: host name to address.
        platform: of its root; the daemon's own by default.
        constraints: filters on workers.
        env: variables of every process, over which a process can have its own.
        cwd: working directory of every process.
        user: user of every process.
        secret_env: variables of every process whose values are secrets, likewise.
        security: of every process that says nothing else, see ``ProcessOptions``.
    """

    hostname: str
    network: Network
    extra_hosts: Mapping[str, str]
    platform: PlatformLike
    constraints: Iterable[str]
    env: Mapping[str, str]
    cwd: str
    user: str
    secret_env: Mapping[str, str | SecretMount]
    security: Security


class ProcessOptions(TypedDict, total=False):
    """How a process is started.

    Attributes:
        env: variables; ``PATH`` has a default.
        cwd: the working directory, ``/`` by default.
        user: ``name``, ``uid``, ``name:group`` or ``uid:gid``.
        secret_env: variables whose values are secrets: the secret's id, or ``llb.secret``.
        security: ``sandbox``, or ``insecure`` with the entitlement ``security.insecure``.
    """

    env: Mapping[str, str]
    cwd: str
    user: str
    secret_env: Mapping[str, str | SecretMount]
    security: Security
