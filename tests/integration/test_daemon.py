"""``Buildkitd`` with a real buildkitd: how it lives, and that nothing is left of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
import trustme

from pybuildkit.daemon import Buildkitd, MissingRequirement, ServerTLS, binary
from pybuildkit.errors import DaemonError
from pybuildkit.testing.registry import Registry
from tests.conftest import find_tool

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def buildkitd_binary(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Found by ``Buildkitd`` as a user's would be."""
    path = find_tool("buildkitd")
    if path is None:
        pytest.skip("buildkitd is not there; run 'make tools'")
    monkeypatch.setenv("PYBUILDKIT_BUILDKITD", str(path))
    return path


@pytest.fixture(autouse=True)
def own_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Path]:
    """Temporary folders go where a test can see them, and are gone at the end."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def traces(name: str) -> list[str]:
    """Processes, mounts and cgroups that a daemon with this run folder has left."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                name.encode() in (process / "cmdline").read_bytes()
                and "Z" not in (process / "stat").read_text().split(")")[1][:3]
            ):
                found.append(f"process {process.name}")
        except (FileNotFoundError, ProcessLookupError):
            continue
    found += [
        f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line
    ]
    cgroups = Path("/sys/fs/cgroup")
    return found + [f"cgroup {path}" for pattern in (name, f"*/{name}") for path in cgroups.glob(pattern)]


def daemon_process(root: Path) -> int:
    """The daemon itself, not its guard, whose command line has the same words in it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0].endswith(b"/buildkitd") and str(root / "buildkitd.toml").encode() in words:
            return int(process.name)
    raise AssertionError("the daemon does not run")


def is_sleeping(seconds: int) -> bool:
    """Whether a container's process runs, told from others by an odd number of seconds."""
    wanted = f"sleep\0{seconds}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == wanted:
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


class Buildctl:
    """Builds with the measure, in a folder of its own."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        folder.mkdir()

    def argv(self, address: str, dockerfile: str, *more: str) -> list[str]:
        (self._folder / "Dockerfile").write_text(dockerfile)
        words = [
            str(self._path),
            *more,
            "--addr",
            address,
            "build",
            "--progress=plain",
            "--frontend=dockerfile.v0",
        ]
        return [*words, *(f"--local={name}={self._folder}" for name in ("context", "dockerfile"))]

    def __call__(self, address: str, dockerfile: str, *more: str) -> str:
        """What it prints."""
        done = subprocess.run(
            self.argv(address, dockerfile, *more), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture
def build(buildctl: Path, tmp_path: Path) -> Buildctl:
    return Buildctl(buildctl, tmp_path / "context")


# --- life and traces --------------------------------------------------------------------------------------


def test_life(registry: Registry, build: Buildctl) -> None:
    began = time.monotonic()
    with Buildkitd(mirrors={"docker.io": [registry.url]}) as daemon:
        took = time.monotonic() - began
        name = daemon.socket.parent.name
        assert daemon.address == f"unix://{daemon.socket}"
        assert daemon.version == "v0.32.2"
        assert (daemon.root / "buildkitd.toml").stat().st_mode & 0o777 == 0o600
        assert daemon.socket.parent.stat().st_mode & 0o777 == 0o700
        assert "running server on" in daemon.log
        assert "hello from a container" in build(
            daemon.address, "FROM busybox\nRUN echo hello from a container"
        )
        assert traces(name)
    assert took < 5.0, "a fraction of a second on a machine that is not busy"
    assert traces(name) == []
    assert "stopping server" in daemon.log
    with pytest.raises(DaemonError, match="is not running"):
        _ = daemon.address


def test_stopping_ends_a_running_container(registry: Registry, build: Buildctl) -> None:
    with Buildkitd(mirrors={"docker.io": [registry.url]}, stop_grace=0.5) as daemon:
        name = daemon.socket.parent.name
        argv = build.argv(daemon.address, "FROM busybox\nRUN sleep 4711")
        client = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: is_sleeping(4711))
    assert not is_sleeping(4711)
    assert traces(name) == []
    client.wait(30)


def test_a_killed_daemon_leaves_nothing(registry: Registry, build: Buildctl) -> None:
    with Buildkitd(mirrors={"docker.io": [registry.url]}) as daemon:
        name = daemon.socket.parent.name
        argv = build.argv(daemon.address, "FROM busybox\nRUN sleep 4712")
        client = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: is_sleeping(4712))
        assert daemon.running
        os.kill(daemon_process(daemon.root), signal.SIGKILL)
        until(lambda: not daemon.running)
        until(lambda: traces(name) == [])
        assert not is_sleeping(4712)
    client.wait(30)


def test_it_can_be_started_again_and_side_by_side() -> None:
    one, two = Buildkitd(), Buildkitd()
    with one, two:
        assert one.address != two.address
        with pytest.raises(DaemonError, match="is running already"):
            one.start()
    with one:
        assert one.version


def test_a_given_root_is_kept_and_warm(registry: Registry, build: Buildctl, tmp_path: Path) -> None:
    dockerfile = "FROM busybox\nRUN echo once > /once"
    root = tmp_path / "deep" / "root"
    mirrors = {"docker.io": [registry.url]}
    with Buildkitd(root=root, mirrors=mirrors) as daemon:
        assert daemon.root == root
        assert "CACHED" not in build(daemon.address, dockerfile)
        with pytest.raises(DaemonError, match="its root is in use by another daemon") as caught:
            Buildkitd(root=root).start()
        assert "another instance running" in caught.value.log
    assert not (root / "tmp").exists()
    with Buildkitd(root=root, mirrors=mirrors) as daemon:
        assert "CACHED" in build(daemon.address, dockerfile)


def test_the_thread_that_started_it_may_end() -> None:
    """PR_SET_PDEATHSIG on the daemon would kill it here."""
    daemon = Buildkitd()
    thread = threading.Thread(target=daemon.start)
    thread.start()
    thread.join()
    time.sleep(0.2)
    with Buildkitd() as other:
        assert other.version == daemon.version
    daemon.stop()
    assert "stopping server" in daemon.log


# --- our own end ------------------------------------------------------------------------------------------

PARENT = """
import sys, time
sys.path.insert(0, {root!r})
from pybuildkit.daemon import Buildkitd
from pybuildkit.daemon.probe import info
daemon = Buildkitd().start()
try:
    print(daemon.socket, flush=True)
    for _ in range(600):
        time.sleep(0.1)  # short: a signal just before it starts does not end it
except KeyboardInterrupt:
    print(info("unix:" + str(daemon.socket), 5), flush=True)
    {end}
"""


def parent(end: str = "daemon.stop()") -> subprocess.Popen[str]:
    script = PARENT.format(root=str(ROOT), end=end)
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def test_killed_with_its_parent() -> None:
    with parent() as process:
        assert process.stdout is not None
        socket = Path(process.stdout.readline().strip())
        assert traces(socket.parent.name)
        process.kill()
        until(lambda: traces(socket.parent.name) == [] and not socket.parent.exists())


@pytest.mark.parametrize("end", ["daemon.stop()", "pass"], ids=["stopped", "forgotten"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_ctrl_c_is_for_us_alone(end: str) -> None:
    with parent(end) as process:
        assert process.stdout is not None
        socket = Path(process.stdout.readline().strip())
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        assert process.stdout.readline() == "v0.32.2\n", "the daemon still answers"
        assert process.wait(20) == 0
        until(lambda: traces(socket.parent.name) == [] and not socket.parent.exists())


# --- async ------------------------------------------------------------------------------------------------


async def test_async() -> None:
    async with Buildkitd() as daemon:
        assert daemon.version == "v0.32.2"
        name = daemon.socket.parent.name
    assert await anyio.to_thread.run_sync(traces, name) == []


async def test_cancelling_the_start(buildkitd_binary: Path, tmp_path: Path) -> None:
    lame = tmp_path / "buildkitd"
    await anyio.to_thread.run_sync(write_program, lame, "exec sleep 60")
    daemon = Buildkitd(lame, stop_grace=0.2)
    began = time.monotonic()
    with anyio.move_on_after(0.3) as scope:
        await daemon.astart()
    assert scope.cancelled_caught
    assert time.monotonic() - began < 10
    assert "not running" in repr(daemon)


# --- where it listens -------------------------------------------------------------------------------------


def test_tcp_with_tls(build: Buildctl, tmp_path: Path) -> None:
    ca = trustme.CA()
    names = {"ca": tmp_path / "ca.pem", "cert": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    leaf = ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(str(names["ca"]))
    leaf.cert_chain_pems[0].write_to_path(str(names["cert"]))
    leaf.private_key_pem.write_to_path(str(names["key"]))
    tls = ServerTLS(names["cert"], names["key"], client_ca=names["ca"])
    with Buildkitd(address="tcp://127.0.0.1:0", tls=tls) as daemon:
        assert daemon.address.startswith("tcp://127.0.0.1:")
        flags = [f"--tlscacert={names['ca']}", f"--tlscert={names['cert']}", f"--tlskey={names['key']}"]
        build(daemon.address, "FROM scratch\nCOPY Dockerfile /", *flags)
        build(f"unix://{daemon.socket}", "FROM scratch\nCOPY Dockerfile /")
        refused = subprocess.run(
            build.argv(daemon.address, "FROM scratch", flags[0]), capture_output=True, text=True
        )
        assert refused.returncode == 1, "a client without a certificate"


def test_a_socket_of_the_users_choice(tmp_path: Path, build: Buildctl) -> None:
    path = tmp_path / "my.sock"
    with Buildkitd(address=f"unix://{path}") as daemon:
        assert daemon.address == f"unix://{path}"
        build(daemon.address, "FROM scratch\nCOPY Dockerfile /")
        with pytest.raises(DaemonError, match="something listens on unix://"):
            Buildkitd(address=f"unix://{path}").start()
        build(daemon.address, "FROM scratch\nCOPY Dockerfile /")
    assert not path.exists()


def test_a_port_in_use(registry: Registry) -> None:
    with pytest.raises(DaemonError, match="something else listens on its address; choose another one"):
        Buildkitd(address=f"tcp://{registry.host}").start()


# --- what does not start ----------------------------------------------------------------------------------


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_one_that_ends(tmp_path: Path) -> None:
    write_program(
        tmp_path / "buildkitd", "echo 'buildkitd: no worker found, rebuild the buildkit daemon?' >&2; exit 1"
    )
    with pytest.raises(
        DaemonError, match=r"ended with code 1 instead of starting: .* install runc"
    ) as caught:
        Buildkitd(tmp_path / "buildkitd").start()
    assert caught.value.log == "buildkitd: no worker found, rebuild the buildkit daemon?\n"


def test_one_that_never_answers(tmp_path: Path) -> None:
    write_program(tmp_path / "buildkitd", "echo busy; exec sleep 60")
    with pytest.raises(DaemonError, match=r"did not answer within 0\.5 s\nbusy"):
        Buildkitd(tmp_path / "buildkitd", start_timeout=0.5, stop_grace=0.2).start()


def test_a_configuration_it_does_not_take() -> None:
    with pytest.raises(DaemonError, match=r"ended with code 1(.|\n)*unsupported log level"):
        Buildkitd(config={"log": {"level": "shouting"}}).start()


def test_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "_COMMON_FOLDERS", ())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingRequirement, match="needs buildkit-runc or runc, not found: install runc"):
        Buildkitd().start()


def test_no_right_to_isolate() -> None:
    """Root without CAP_SYS_ADMIN, as in a container that is not privileged."""
    setpriv = shutil.which("setpriv")
    assert setpriv is not None, "util-linux has it"
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pybuildkit.daemon import Buildkitd; Buildkitd().start()"
    argv = [setpriv, "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable, "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert "DaemonError: buildkitd ended with code 120 instead of starting: it needs the right" in done.stderr
    assert "unshare pid namespace: Operation not permitted" in done.stderr


# --- what can be set --------------------------------------------------------------------------------------


def test_settings_reach_it(registry: Registry, buildctl: Path, tmp_path: Path, build: Buildctl) -> None:
    log = tmp_path / "daemon.log"
    with Buildkitd(
        snapshotter="native",
        entitlements=["security.insecure"],
        max_parallelism=1,
        gc=False,
        network="host",
        worker={"labels": {"colour": "green"}},
        mirrors={"docker.io": [registry.url]},
        config='[history]\nmaxEntries = 3\n[registry."x.example"]\nhttp = true\n',
        extra_args=["--oci-worker-platform=linux/amd64", "--oci-worker-platform=linux/s390x"],
        env={"TZ": "UTC"},
        log_file=log,
        debug=True,
    ) as daemon:
        workers = subprocess.run(
            [buildctl, "--addr", daemon.address, "debug", "workers", "-v"], capture_output=True, text=True
        ).stdout
        assert "colour:" in workers
        assert "native" in workers
        assert "linux/s390x" in workers
        argv = build.argv(daemon.address, "FROM busybox\nRUN --security=insecure true")
        subprocess.run([*argv, "--allow=security.insecure"], check=True, capture_output=True)
    assert "level=debug" in log.read_text()
    assert log.read_text() == daemon.log or log.read_text().endswith(daemon.log)
