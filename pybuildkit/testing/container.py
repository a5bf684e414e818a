"""``BuildkitContainer``: a daemon in a docker container, on testcontainers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from testcontainers.core.config import ConnectionMode
from testcontainers.core.container import DockerContainer

from pybuildkit._values import dataclass, field
from pybuildkit.daemon.config import Mirrors, Settings, build_config
from pybuildkit.daemon.listen import free_port
from pybuildkit.daemon.probe import Probe, info
from pybuildkit.daemon.toml import Table, dumps
from pybuildkit.errors import ConnectError, DaemonError

if TYPE_CHECKING:
    from pybuildkit.client import AsyncClient
    from pybuildkit.sync import Client

__all__ = ["DEFAULT_IMAGE", "PRIVILEGED", "WITHOUT_SYS_RESOURCE", "BuildkitContainer", "Privileges"]

DEFAULT_IMAGE = "moby/buildkit:v0.32.2"
"""BuildKit's own image, of the version that this library is tested with."""

_PORT = 1234
_SOCKET = "unix:///run/buildkit/buildkitd.sock"
_CONFIG = "/etc/buildkit/buildkitd.toml"
_LOCALHOSTS = ("localhost", "127.0.0.1", "::1")
_TAIL = 100
_POLL_SECONDS = 0.05
_PROBE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Privileges:
    """What the container may do: running builds takes a lot.

    Attributes:
        privileged: everything, the usual way.
        cap_add: capabilities to give instead.
        cap_drop: capabilities to take away again.
        security_opt: what of docker's confinement to leave out.
        volumes: host folder to container folder, mounted writable.
    """

    privileged: bool = False
    cap_add: Sequence[str] = ()
    cap_drop: Sequence[str] = ()
    security_opt: Sequence[str] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)


PRIVILEGED = Privileges(privileged=True)

WITHOUT_SYS_RESOURCE = Privileges(
    cap_add=("ALL",),
    cap_drop=("SYS_RESOURCE",),
    security_opt=("seccomp=unconfined", "apparmor=unconfined"),
    volumes={"/sys/fs/cgroup": "/sys/fs/cgroup"},
)
"""For machines that are themselves denied the capability SYS_RESOURCE, where a privileged container can not start."""


class BuildkitContainer(DockerContainer):
    """A buildkitd in a container; it is ready when ``start`` returns.

    ::

        with BuildkitContainer(mirrors={"docker.io": ["https://mirror.example.org"]}) as container:
            with container.blocking_client() as buildkit:
                buildkit.build("app")

    A published port can be reached by everybody who reaches the host, and whoever reaches the daemon is root in
    the container; so the port is published on the loopback only, where testcontainers reaches the container through it.

    Args:
        image: any image whose entry point is buildkitd.
        mirrors: registry host to the hosts to ask first, as seen from the container.
        entitlements: what builds may be granted: ``network.host``, ``security.insecure``, ``device``.
        config: more configuration, a mapping or TOML text as in ``buildkitd.toml``.
        privileges: what the container may do.
        host_network: use the engine host's network instead of a published port.
        args: more command line arguments for buildkitd.
        start_timeout: seconds until it must answer, once its image is there.
        probe: how readiness is asked; a call of ``Control/Info`` by default.
        kwargs: as ``testcontainers.core.container.DockerContainer`` has them.

    Raises:
        ConfigError: an argument can not work.
    """

    def __init__(
        self,
        image: str = DEFAULT_IMAGE,
        *,
        mirrors: Mirrors | None = None,
        entitlements: Sequence[str] = (),
        config: Table | str | None = None,
        privileges: Privileges = PRIVILEGED,
        host_network: bool = False,
        args: Sequence[str] = (),
        start_timeout: float = 60.0,
        probe: Probe = info,
        **kwargs: Any,
    ) -> None:
        settings = Settings(mirrors=mirrors or {}, entitlements=entitlements)
        text = dumps(build_config(settings, config))
        super().__init__(image, **_privileged(privileges), **kwargs)
        self._host_network = host_network
        self._start_timeout = start_timeout
        self._probe = probe
        self._host_port = ""
        self._port = free_port("127.0.0.1") if host_network else _PORT
        # Inside its own network it has to listen for the engine's proxy; see _publish for who reaches that.
        listen = f"tcp://{'127.0.0.1' if host_network else '0.0.0.0'}:{self._port}"  # noqa: S104
        self.with_command(["--addr", _SOCKET, "--addr", listen, *args])
        self.with_copy_into_container(text.encode(), _CONFIG, 0o600)
        for host, inside in privileges.volumes.items():
            self.with_volume_mapping(host, inside, "rw")
        if host_network:
            self._kwargs["network_mode"] = "host"
        else:
            self._publish()

    @property
    def address(self) -> str:
        """Its ``tcp`` address.

        Raises:
            DaemonError: it is not running.
        """
        if not self._host_port:
            raise DaemonError("this container is not running; use it in a with block, or call start()")
        return f"tcp://{self._host_port}"

    @property
    def container_address(self) -> str:
        """Its ``docker-container`` address: through the engine's API, needing no port."""
        return f"docker-container://{self.get_container_id()}"

    def client(self, **kwargs: Any) -> AsyncClient:
        """A new client, to be used in ``async with``; keyword arguments as ``AsyncClient`` has them."""
        from pybuildkit.client import AsyncClient

        return AsyncClient(self.address, **kwargs)

    def blocking_client(self, **kwargs: Any) -> Client:
        """A new blocking client, to be used in ``with``."""
        from pybuildkit.sync import Client

        return Client(self.address, **kwargs)

    def log(self) -> str:
        """The tail of the daemon's log."""
        text: bytes = self.get_wrapped_container().logs(tail=_TAIL)
        return text.decode(errors="replace")

    def start(self) -> Self:
        """Start it, and wait until the daemon answers.

        Raises:
            DaemonError: it ended, or did not answer in time; with its log.
        """
        try:
            super().start()
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Stop and remove it, with what it has stored. Does nothing when that is done."""
        self._host_port = ""
        super().stop(force=force, delete_volume=delete_volume)
        self._container = None

    def _publish(self) -> None:
        """Publish the port: on the loopback where that is how it will be reached, else as testcontainers does.

        The other ways are a remote engine, and a test run that is itself in a container.
        """
        client = self.get_docker_client()
        nearby = client.get_connection_mode() == ConnectionMode.docker_host and client.host() in _LOCALHOSTS
        # testcontainers' own methods know no host address; docker's client takes the pair.
        self.ports[str(_PORT)] = ("127.0.0.1", None) if nearby else None  # type: ignore[assignment]

    def _wait(self) -> None:
        deadline = time.monotonic() + self._start_timeout
        while True:
            self.reload()
            if self.status not in ("created", "running"):
                raise DaemonError(f"buildkitd in the container ended ({self.status})", log=self.log())
            left = deadline - time.monotonic()
            if left <= 0:
                raise DaemonError(
                    f"buildkitd in the container did not answer within {self._start_timeout:g} s",
                    log=self.log(),
                )
            try:
                host_port = self._where()
                self._probe(f"dns:///{host_port}", min(_PROBE_SECONDS, left))
            except ConnectError:
                time.sleep(_POLL_SECONDS)
            else:
                self._host_port = host_port
                return

    def _where(self) -> str:
        if self._host_network:
            return f"127.0.0.1:{self._port}"
        return f"{self.get_container_host_ip()}:{self.get_exposed_port(self._port)}"


def _privileged(privileges: Privileges) -> dict[str, Any]:
    """The engine's arguments."""
    if privileges.privileged:
        return {"privileged": True}
    return {
        "cap_add": list(privileges.cap_add),
        "cap_drop": list(privileges.cap_drop),
        "security_opt": list(privileges.security_opt),
    }
