"""A daemon for a test run: which kinds there are, and which one is taken."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit.errors import BuildKitError, ConfigError
from pybuildkit.transport.docker_engine import Engine, find_engine

if TYPE_CHECKING:
    from pybuildkit.client import AsyncClient
    from pybuildkit.daemon.config import Mirrors
    from pybuildkit.daemon.toml import Table
    from pybuildkit.sync import Client
    from pybuildkit.testing.container import Privileges
    from pybuildkit.testing.registry import Registry

__all__ = ["BuildkitdOptions", "BuildkitdService", "Kind", "NoBuildkitd", "running_buildkitd"]

Kind: TypeAlias = Literal["environment", "container", "binary"]

_PING_SECONDS = 5.0

ORDER: tuple[Kind, ...] = ("environment", "container", "binary")

WHAT_TO_INSTALL = (
    "No buildkitd for the tests: set $BUILDKIT_HOST, or install a docker engine and pybuildkit[testing], or "
    "install buildkitd and runc and run as root"
)


class NoBuildkitd(BuildKitError):
    """There is no way to a daemon here; the text says what to install, and why each way failed."""


@dataclass(frozen=True, slots=True)
class BuildkitdOptions:
    """How the daemon of a test run is chosen and set up. ``$BUILDKIT_HOST`` names one that is set up already.

    Attributes:
        order: the kinds to try, first to last.
        mirrors: registry host to the hosts to ask first.
        entitlements: what builds may be granted.
        config: more configuration, a mapping or TOML text as in ``buildkitd.toml``.
        binary: the buildkitd to run, for the kind ``binary``.
        image: the image to run, for the kind ``container``; the default is ``BuildkitContainer``'s.
        privileges: what that container may do; everything by default.
        registry: a registry of the test run, handed on to the tests as ``buildkitd.registry``.
    """

    order: Sequence[Kind] = ORDER
    mirrors: Mirrors = field(default_factory=dict)
    entitlements: Sequence[str] = ()
    config: Table | str | None = None
    binary: Path | None = None
    image: str | None = None
    privileges: Privileges | None = None
    registry: Registry | None = None


@dataclass(frozen=True, slots=True)
class BuildkitdService:
    """The daemon of a test run.

    Attributes:
        address: what to give to a client, or as ``BUILDKIT_HOST``.
        kind: where it comes from.
        options: how it was set up.
        log: the tail of its log; empty for a daemon that is not ours.
    """

    address: str
    kind: Kind
    options: BuildkitdOptions
    log: Callable[[], str] = field(default=str, repr=False)

    @property
    def registry(self) -> Registry | None:
        """The registry of the test run, when its options name one."""
        return self.options.registry

    def client(self, **kwargs: Any) -> AsyncClient:
        """A new client, to be used in ``async with``; keyword arguments as ``AsyncClient`` has them."""
        from pybuildkit.client import AsyncClient

        return AsyncClient(self.address, **kwargs)

    def blocking_client(self, **kwargs: Any) -> Client:
        """A new blocking client, to be used in ``with``."""
        from pybuildkit.sync import Client

        return Client(self.address, **kwargs)


@contextmanager
def running_buildkitd(options: BuildkitdOptions) -> Generator[BuildkitdService]:
    """The first daemon of ``options.order`` that works here, while the context lasts.

    Raises:
        NoBuildkitd: none of them does.
        ConfigError: an option can not work.
    """
    reasons = []
    with ExitStack() as stack:
        for kind in options.order:
            if kind not in _WAYS:
                raise ConfigError(f"kind of daemon {kind!r} is not known; use {', '.join(_WAYS)}")
            try:
                service = stack.enter_context(_WAYS[kind](options))
            except _NotHere as reason:
                reasons.append(f"{kind}: {reason}")
            else:
                yield service
                return
    raise NoBuildkitd(f"{WHAT_TO_INSTALL} ({'; '.join(reasons)})")


class _NotHere(Exception):
    """Why a kind of daemon does not work here."""


@contextmanager
def _environment(options: BuildkitdOptions) -> Generator[BuildkitdService]:
    address = os.environ.get("BUILDKIT_HOST")
    if not address:
        raise _NotHere("$BUILDKIT_HOST is not set")
    yield BuildkitdService(address, "environment", options)


@contextmanager
def _container(options: BuildkitdOptions) -> Generator[BuildkitdService]:
    _check_docker()
    try:
        from pybuildkit.testing.container import DEFAULT_IMAGE, PRIVILEGED, BuildkitContainer
    except ImportError as exc:
        raise _NotHere(f"testcontainers is not installed ({exc})") from exc
    image = options.image or DEFAULT_IMAGE
    try:
        container = BuildkitContainer(
            image,
            mirrors=options.mirrors,
            entitlements=options.entitlements,
            config=options.config,
            privileges=options.privileges or PRIVILEGED,
        ).start()
    except ConfigError:
        raise
    except Exception as exc:  # docker's, requests' and testcontainers' errors have no common root
        raise _NotHere(f"the docker engine does not run {image}: {exc}") from exc
    try:
        yield BuildkitdService(container.address, "container", options, container.log)
    finally:
        container.stop()


def _check_docker() -> None:
    """See whether an engine answers, before testcontainers is imported.

    That takes half a second, and docker's client leaves a socket open when nobody answers.
    """
    if (Path.home() / ".testcontainers.properties").exists():
        return  # it may name another engine than the docker command's
    try:
        engine = find_engine()
        with closing(_connection(engine)) as connection:
            connection.request("GET", "/_ping")
            status = connection.getresponse().status
    except (OSError, HTTPException, ConfigError) as exc:
        raise _NotHere(f"no docker engine answers ({exc})") from exc
    if status != 200:
        raise _NotHere(f"the docker engine at {engine.text} refuses ({status})")


def _connection(engine: Engine) -> HTTPConnection:
    if engine.socket_path:
        connection = HTTPConnection("docker", timeout=_PING_SECONDS)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(engine.socket_path)
        except OSError:
            connection.close()
            raise
        return connection
    if engine.tls is not None:
        return HTTPSConnection(engine.host, engine.port, context=engine.tls, timeout=_PING_SECONDS)
    return HTTPConnection(engine.host, engine.port, timeout=_PING_SECONDS)


@contextmanager
def _binary(options: BuildkitdOptions) -> Generator[BuildkitdService]:
    from pybuildkit.daemon import Buildkitd, MissingRequirement

    daemon = Buildkitd(
        options.binary, mirrors=options.mirrors, entitlements=options.entitlements, config=options.config
    )
    try:
        daemon.start()
    except MissingRequirement as exc:
        raise _NotHere(str(exc)) from exc
    try:
        yield BuildkitdService(daemon.address, "binary", options, lambda: daemon.log)
    finally:
        daemon.stop()


_WAYS: Mapping[str, Callable[[BuildkitdOptions], AbstractContextManager[BuildkitdService]]] = {
    "environment": _environment,
    "container": _container,
    "binary": _binary,
}
