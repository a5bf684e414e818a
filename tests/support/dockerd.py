"""A docker engine of the tests' own: private socket, data, containerd and bridge; gone at the end."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybuildkit.daemon.guarded import DaemonLog, Guarded
from pybuildkit.testing.images import OCIImage, busybox_layer, file, image, layer

__all__ = ["Dockerd", "NoDockerd", "buildkit_image", "running_dockerd"]

IMAGE = "pybuildkit-test/buildkit:local"

_START_SECONDS = 40.0
_STOP_SECONDS = 20.0
# RFC 2544's range for tests, which no network uses; nothing is routed out of it.
_BRIDGE_ADDRESS = "198.19.{}.1/24"


class NoDockerd(Exception):
    """What is missing."""


@dataclass(frozen=True)
class Dockerd:
    """A running engine."""

    socket: Path
    log: DaemonLog

    @property
    def host(self) -> str:
        """As ``DOCKER_HOST`` has it."""
        return f"unix://{self.socket}"

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        connection = http.client.HTTPConnection("docker", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.socket))
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        assert response.status < 300, f"{method} {path}: {response.status} {answer!r}"
        return answer

    def load(self, image: OCIImage, name: str) -> None:
        """Give the engine an image."""
        answer = self.request(
            "POST", "/images/load?quiet=1", image.docker_archive(name), {"Content-Type": "application/x-tar"}
        )
        assert b"Loaded image" in answer, answer


@contextmanager
def running_dockerd() -> Generator[Dockerd]:
    """An engine while the context lasts; it and all its containers run in namespaces that end with it."""
    binary = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin")
    if binary is None:
        raise NoDockerd("dockerd is not there; install the package 'docker.io'")
    if os.geteuid() != 0:
        raise NoDockerd("dockerd needs root")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pybuildkit-dockerd-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        log = DaemonLog(None)
        stack.callback(log.close)
        bridge = stack.enter_context(_bridge())
        (folder / "daemon.json").write_text("{}")
        options = {
            "config-file": folder / "daemon.json",
            "host": f"unix://{folder}/docker.sock",
            "data-root": folder / "data",
            "exec-root": folder / "exec",
            "pidfile": folder / "pid",
            "group": "root",
            "cgroup-parent": f"/{folder.name}",
            "bridge": bridge,
            "ip": "127.0.0.1",
            # Ports are published by its proxy process, so it need not touch the machine's packet filter.
            "iptables": "false",
            "ip-masq": "false",
            "ip-forward": "false",
        }
        guarded = Guarded(
            # With a /run of its own it does not find a containerd of the machine's, and leaves nothing there.
            ["/bin/sh", "-c", 'mount -t tmpfs run /run && exec "$@"', "sh", binary]
            + [f"--{key}={value}" for key, value in options.items()],
            environ={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            log=log,
            cgroup=folder.name,
            remove=[folder],
            grace=_STOP_SECONDS,
        )
        stack.callback(guarded.stop)
        dockerd = Dockerd(folder / "docker.sock", log)
        _wait(dockerd, guarded)
        yield dockerd


def _wait(dockerd: Dockerd, guarded: Guarded) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            dockerd.request("GET", "/_ping")
        except OSError:
            assert guarded.alive, f"dockerd ended with code {guarded.code}\n{dockerd.log.tail()}"
            assert time.monotonic() < deadline, f"dockerd did not answer\n{dockerd.log.tail()}"
            time.sleep(0.05)
        else:
            return


@contextmanager
def _bridge() -> Generator[str]:
    """A bridge for the engine's containers; docker's own, ``docker0``, would be left behind."""
    number = os.getpid() % 256
    name = f"pbk{os.getpid()}"
    _ip("link", "add", name, "type", "bridge")
    try:
        _ip("addr", "add", _BRIDGE_ADDRESS.format(number), "dev", name)
        _ip("link", "set", name, "up")
        yield name
    finally:
        _ip("link", "del", name)


def _ip(*words: str) -> None:
    try:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
    except FileNotFoundError as exc:
        raise NoDockerd("ip is not there; install the package 'iproute2'") from exc


def buildkit_image(buildkitd: Path, buildctl: Path, **config: Any) -> OCIImage:
    """An image like BuildKit's own, of the binaries that are here."""
    runc = shutil.which("runc", path=f"{os.environ['PATH']}:/usr/sbin")
    if runc is None:
        raise NoDockerd("runc is not there; install the package 'runc'")
    programs = {"buildkitd": buildkitd, "buildctl": buildctl, "runc": Path(runc)}
    entries = [file(f"bin/{name}", path.read_bytes(), 0o755) for name, path in programs.items()]
    entries += [file(path.strip("/"), Path(path).read_bytes(), 0o755) for path in _libraries(Path(runc))]
    return image([busybox_layer(), layer(entries, "none")], entrypoint=["/bin/buildkitd"], **config)


def _libraries(program: Path) -> list[str]:
    """The shared libraries of a program, none when it is static."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True)
    return re.findall(r"(/\S+) \(0x", listing.stdout)
