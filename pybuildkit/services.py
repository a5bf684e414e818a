"""What a session offers beside files, secrets and content: registries, SSH agents, uploads, checks of sources.

A service is offered only where it can be of use, and its module imported only then: what is not offered the daemon does
not ask for (S3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from pybuildkit._values import dataclass, field
from pybuildkit.errors import BuildKitError

if TYPE_CHECKING:
    from pybuildkit.registry.opener import AuthOpener
    from pybuildkit.session.auth import AuthService
    from pybuildkit.session.calls import Service
    from pybuildkit.session.ssh import SSHService
    from pybuildkit.session.sshagents import Agent
    from pybuildkit.session.upload import Uploads
    from pybuildkit.sourcechecks import SourceChecker

__all__ = ["Offers", "SideServices", "read_offers"]


@dataclass(slots=True)
class Offers:
    """What is offered, options already turned into values.

    Attributes:
        auth: opens registries, None for docker's own configuration.
        agents: SSH agents by id.
        uploads: streams behind URLs.
        check: decides on sources.
    """

    auth: AuthOpener | None = None
    agents: Mapping[str, Agent] = field(default_factory=dict)
    uploads: Uploads | None = None
    check: SourceChecker | None = None


def read_offers(options: Mapping[str, Any]) -> Offers:
    """The offers among a build's options. Reads SSH keys; blocks, also on functions for their passphrases.

    Raises:
        ConfigError: one can not work.
    """
    offers = Offers(auth=_opener(options.get("auth")))
    ssh = options.get("ssh")
    if ssh:
        from pybuildkit.session.sshagents import open_agents
        from pybuildkit.ssh import coerce_ssh

        offers.agents = open_agents(coerce_ssh(ssh))
    uploads = options.get("uploads")
    if uploads is not None:
        from pybuildkit.errors import ConfigError
        from pybuildkit.session.upload import Uploads

        if not isinstance(uploads, Uploads):
            raise ConfigError(f"uploads= can not be {type(uploads).__name__}: give an Uploads")
        offers.uploads = uploads
    policy = options.get("source_policy")
    offers.check = cast("SourceChecker", policy) if callable(policy) else None
    return offers


def _opener(auth: object) -> AuthOpener:
    from pybuildkit.registry.opener import AuthOpener

    return auth if isinstance(auth, AuthOpener) else AuthOpener(auth)


class SideServices:
    """The services of one session for what is offered.

    Args:
        offers: what is offered.
        tell: told what is done for the daemon, a line each (S79).
    """

    def __init__(self, offers: Offers, tell: Callable[[str], object]) -> None:
        self._offers = offers
        self._auth: AuthService | None = None
        self._ssh: SSHService | None = None
        if offers.auth is not None and not offers.auth.nobody:
            from pybuildkit.session.auth import AuthService

            self._auth = AuthService(offers.auth, notice=tell)
        if offers.agents:
            from pybuildkit.session.ssh import SSHService

            self._ssh = SSHService(offers.agents)

    def __iter__(self) -> Iterator[Service]:
        """The services."""
        if self._auth is not None:
            yield self._auth
        if self._ssh is not None:
            yield self._ssh
        if self._offers.uploads is not None:
            yield self._offers.uploads
        if self._offers.check is not None:
            from pybuildkit.session.policy import PolicyService
            from pybuildkit.sourcechecks import verifier

            yield PolicyService(verifier(self._offers.check))

    @property
    def missing_ssh(self) -> tuple[str, ...]:
        """Ids of agents that were asked for and not there."""
        return self._ssh.missing if self._ssh is not None else ()

    def registry_refused(self) -> None:
        """A registry did not take what it was given."""
        if self._offers.auth is not None:
            self._offers.auth.forget()

    def failed_registry(self, message: str) -> tuple[str, BuildKitError] | None:
        """The registry whose credentials could not be had, and why, if a message of the daemon says so."""
        failed = self._auth.failed if self._auth is not None else {}
        return next(((host, why) for host, why in failed.items() if str(why) in message), None)
