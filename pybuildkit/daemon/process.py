"""``Buildkitd``: the life of a private daemon, from the arguments to the last removed file."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from pybuildkit.daemon import probe as probes
from pybuildkit.daemon.binary import HOW_TO_GET_RUNC, check_requirements, find_buildkitd, search_path
from pybuildkit.daemon.config import Mirrors, Network, ServerTLS, Settings, build_config, merge
from pybuildkit.daemon.guarded import DaemonLog, Guarded
from pybuildkit.daemon.listen import check_unused, listen_addresses
from pybuildkit.daemon.places import Places
from pybuildkit.daemon.toml import Table, dumps
from pybuildkit.errors import BuildKitError, ConnectError, DaemonError

__all__ = ["Buildkitd"]

_log = logging.getLogger("pybuildkit.daemon")

# What a service manager told *this* process about its own sockets and readiness; buildkitd would act on it.
_NOT_FOR_THE_DAEMON = (
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
)

_POLL_SECONDS = 0.02
_PROBE_SECONDS = 0.5

# How buildkitd says it, and what the reader can do about it.
_HINTS = (
    ("no worker found", f"it found no way to run containers: {HOW_TO_GET_RUNC}"),
    ("another instance running", "its root is in use by another daemon; give each daemon a root of its own"),
    ("address already in use", "something else listens on its address; choose another one"),
    ("can not isolate", "it needs the right to make namespaces and mounts: be root with CAP_SYS_ADMIN"),
)


class Buildkitd:
    """A private buildkitd, used as a context manager, or an async one, or by ``start`` and ``stop``.

    ::

        with Buildkitd(mirrors={"docker.io": ["localhost:5000"]}) as daemon:
            print(daemon.address)

    It needs Linux, root, a ``buildkitd`` binary and runc. It ends with this process, however that ends; no
    process, mount, socket or temporary folder of it is left. Ctrl-C in the terminal does not reach it.
    Several may run side by side, each with its own root.

    Args:
        binary: the buildkitd to run; see ``find_buildkitd`` for what is done without.
        root: where it keeps its state: with a given folder the next daemon has a warm cache. A temporary
            one, removed at the end, by default.
        address: where it listens: ``unix:///path``, or ``tcp://host:port`` where port 0 takes a free
            one. A private unix socket by default.
        tls: for a tcp address; required when other machines can reach it.
        config: more configuration, a mapping or TOML text as in ``buildkitd.toml``. The arguments here
            win over it.
        mirrors: registry host to the hosts to ask first. A mirror on this machine, or written with
            ``http://``, is asked over plain HTTP.
        entitlements: what builds may be granted: ``network.host``, ``security.insecure``, ``device``.
        max_parallelism: how many steps may run at once; no limit by default.
        gc: whether old cache is removed by itself; the daemon's default is yes.
        snapshotter: ``overlayfs``, ``native``, ...; by default overlayfs where it works, else native.
        network: what network a RUN has: ``host``, ``cni``, ``bridge``, ``none``, or ``auto``.
        worker: more keys of the section ``worker.oci``.
        extra_args: more command line arguments; paths in them are absolute, for it runs in ``/``.
        env: more environment variables for the daemon.
        log_file: a file its log is appended to. ``log`` has the tail with and without.
        debug: log more.
        start_timeout: seconds until it must answer.
        stop_grace: seconds between SIGTERM and SIGKILL. The daemon waits that long for builds that still run.
        probe: how readiness is asked; a call of ``Control/Info`` by default.

    Raises:
        ConfigError: an argument can not work.
    """

    def __init__(
        self,
        binary: str | os.PathLike[str] | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
        address: str | None = None,
        tls: ServerTLS | None = None,
        config: Table | str | None = None,
        mirrors: Mirrors | None = None,
        entitlements: Sequence[str] = (),
        max_parallelism: int | None = None,
        gc: bool | None = None,
        snapshotter: str | None = None,
        network: Network | None = None,
        worker: Table | None = None,
        extra_args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        log_file: str | os.PathLike[str] | None = None,
        debug: bool = False,
        start_timeout: float = 20.0,
        stop_grace: float = 3.0,
        probe: probes.Probe = probes.info,
    ) -> None:
        self._given_binary = binary
        self._root = Path(root).absolute() if root is not None else None
        self._listen = listen_addresses(address, tls)
        self._settings = Settings(
            mirrors=mirrors or {},
            entitlements=entitlements,
            max_parallelism=max_parallelism,
            gc=gc,
            snapshotter=snapshotter,
            network=network,
            worker=worker or {},
            tls=tls,
            debug=debug,
        )
        self._config = config
        self._extra_args = tuple(extra_args)
        self._env = dict(env or {})
        self._log_file = Path(log_file).absolute() if log_file is not None else None
        self._start_timeout = start_timeout
        self._stop_grace = stop_grace
        self._probe = probe
        self._places: Places | None = None
        self._guarded: Guarded | None = None
        self._log_tail = ""
        self._version = ""
        self._address = ""
        # Bad configuration is told where it was written, not when the daemon starts. Files are looked at only
        # then: an event loop may run here.
        self._render(Places.nowhere(), ())

    # --- what it is ------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The address to give to a client.

        Raises:
            DaemonError: it is not running.
        """
        self._running()
        return self._address

    @property
    def socket(self) -> Path:
        """Its private unix socket, which it has beside a tcp address too.

        Raises:
            DaemonError: it is not running.
        """
        return self._running().socket

    @property
    def root(self) -> Path:
        """The folder with its state.

        Raises:
            DaemonError: it is not running.
        """
        return self._running().root

    @property
    def version(self) -> str:
        """The daemon's version, as ``v0.32.2``; empty before it has started."""
        return self._version

    @property
    def running(self) -> bool:
        """Whether the daemon's process is alive."""
        return self._guarded is not None and self._guarded.alive

    @property
    def log(self) -> str:
        """The tail of its log: of the running daemon, or of the last one."""
        return self._guarded.log.tail() if self._guarded is not None else self._log_tail

    def __repr__(self) -> str:
        state = f"at {self._address}" if self._guarded is not None else "not running"
        return f"<Buildkitd {state}>"

    # --- its life --------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it, and wait until it answers.

        Raises:
            ConfigError: the binary or a certificate that was named is not there.
            MissingRequirement: this machine can not run it; says what to install.
            DaemonError: it can not be started here, ended, or did not answer in time; with its log.
        """
        deadline = self._launch()
        try:
            while not self._is_ready(deadline):
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self._abandon()
            raise
        return self

    async def astart(self) -> Self:
        """``start`` for async code: nothing blocks the event loop."""
        deadline = await anyio.to_thread.run_sync(self._launch)
        try:
            while not await anyio.to_thread.run_sync(self._is_ready, deadline):  # noqa: ASYNC110 - a process gives no event
                await anyio.sleep(_POLL_SECONDS)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._abandon)
            raise
        return self

    def stop(self) -> None:
        """Stop it, and wait until nothing of it is left. Does nothing when it does not run.

        Raises:
            DaemonError: something could not be ended or removed.
        """
        guarded, self._guarded, self._places = self._guarded, None, None
        if guarded is None:
            return
        try:
            guarded.stop()
        finally:
            self._log_tail = guarded.log.tail()
            guarded.log.close()

    async def astop(self) -> None:
        """``stop`` for async code; not interrupted by cancellation, so that nothing is left."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await self.astart()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.astop()

    # --- steps -----------------------------------------------------------------------------------------

    def _running(self) -> Places:
        if self._places is None:
            raise DaemonError("this buildkitd is not running; use it in a with block, or call start()")
        return self._places

    def _launch(self) -> float:
        """Make its folders and its process; the time by which it must answer."""
        if self._guarded is not None:
            raise DaemonError("this buildkitd is running already")
        binary = find_buildkitd(self._given_binary)
        if self._settings.tls is not None:
            self._settings.tls.check()
        environ = self._environ(binary)
        binary = check_requirements(binary, environ, self._runtimes())
        addresses = [address.settled() for address in self._listen]
        for address in addresses:
            check_unused(address)
        with ExitStack() as undo:
            places = Places.make(self._root)
            undo.callback(places.discard)
            environ.setdefault("TMPDIR", str(places.scratch))
            listen = [f"unix://{places.socket}", *map(str, addresses)]
            places.write_config(self._render(places, listen))
            log = DaemonLog(self._log_file)
            undo.callback(log.close)
            sockets = [Path(address.path) for address in addresses if address.path]
            self._guarded = Guarded(
                [str(binary), "--config", str(places.config), *self._extra_args],
                environ=environ,
                log=log,
                cgroup=places.cgroup,
                remove=[*places.removed_at_end, *sockets],
                grace=self._stop_grace,
            )
            undo.pop_all()
        self._places = places
        self._address = listen[-1]
        _log.debug("started %s at %s", binary, self._address)
        return time.monotonic() + self._start_timeout

    def _is_ready(self, deadline: float) -> bool:
        """One bounded look whether it answers."""
        assert self._guarded is not None
        left = deadline - time.monotonic()
        if not self._guarded.alive:
            raise self._failure(f"buildkitd ended with code {self._guarded.code} instead of starting")
        if left <= 0:
            raise self._failure(f"buildkitd did not answer within {self._start_timeout:g} s")
        socket = self._running().socket
        if not socket.exists():
            return False
        try:
            self._version = self._probe(f"unix:{socket}", min(_PROBE_SECONDS, left))
        except ConnectError:
            return False
        return True

    def _failure(self, what: str) -> DaemonError:
        log = self.log
        hint = next((hint for said, hint in _HINTS if said in log), "")
        return DaemonError(f"{what}{': ' if hint else ''}{hint}", log=log)

    def _abandon(self) -> None:
        try:
            self.stop()
        except BuildKitError:
            _log.warning("a buildkitd that did not start could not be cleared away", exc_info=True)

    def _environ(self, binary: Path | None) -> dict[str, str]:
        environ = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_THE_DAEMON}
        environ.pop("TMPDIR", None)
        environ.update(self._env)
        beside = [binary.parent] if binary is not None else []
        environ["PATH"] = search_path(environ, *beside)
        return environ

    def _runtimes(self) -> list[str]:
        named = self._settings.worker.get("binary")
        return [named] if isinstance(named, str) else ["buildkit-runc", "runc"]

    def _render(self, places: Places, addresses: Sequence[str]) -> str:
        base: Table = {
            "worker": {
                "oci": {"defaultCgroupParent": places.cgroup},
                # buildkitd would take in a containerd that happens to run on this machine.
                "containerd": {"enabled": False},
            },
            # The daemon's default is one path for all daemons.
            "otel": {"socketPath": str(places.trace_socket)},
        }
        config = build_config(self._settings, self._config, base=base)
        return dumps(merge(config, {"root": str(places.root), "grpc": {"address": list(addresses)}}))
