"""``Container``: commands run on what a build has made so far, outside of its graph (V70 to V72)."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Unpack

import anyio

from pybuildkit._concurrent import run_all
from pybuildkit.errors import ConfigError, ConnectionLost, ExecError, RPCError, SecretNotFound
from pybuildkit.fsutil.stat import Stat, decode_stat
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway import caps
from pybuildkit.gateway._exec import Init
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.containeroptions import ContainerOptions, ProcessOptions, SecretIds
from pybuildkit.gateway.mounts import Mounted
from pybuildkit.gateway.process import STDERR, STDIN, STDOUT, Completed, Process, open_process
from pybuildkit.gateway.reference import check_range, missing_file
from pybuildkit.gateway.sources import encode_platform
from pybuildkit.llb.mounts import SecretMount
from pybuildkit.llb.values import check_host, check_network, check_security
from pybuildkit.platforms import Platform
from pybuildkit.session.offer import new_id

__all__ = ["Container", "ContainerOptions", "ProcessOptions", "open_container"]

RELEASE_PATIENCE = 10.0
"""Seconds that the daemon has to release a container."""


class Container:
    """A container on what a build has made so far.

    Its first process is its life: when that one has ended, no other can be started. Where several are to run, begin with
    one that waits, as ``sleep``. And the daemon ends all of a container, with the processes that still run, as soon as one
    of them ends with an exit code other than 0, or is killed; the others then end with that code, too. What may fail
    belongs into a container of its own.

    Attributes:
        id: what the daemon calls it.
    """

    def __init__(
        self,
        bridge: Bridge,
        id: str,  # noqa: A002 - what it is called
        mounts: Sequence[Mounted],
        defaults: ContainerOptions,
        secrets: SecretIds | None = None,
    ) -> None:
        self._bridge = bridge
        self._mounts = tuple(mounts)
        self._defaults = defaults
        self._secrets = secrets
        self._processes: list[Process] = []
        self._starting = anyio.Lock()
        self.id = id

    @asynccontextmanager
    async def start(
        self,
        args: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
        **options: Unpack[ProcessOptions],
    ) -> AsyncGenerator[Process, None]:
        """Start a process; leaving the block kills it if it still runs.

        ::

            async with container.start(["make", "test"]) as process:
                async for chunk in process.stdout:
                    print(chunk.decode(), end="")
                code = await process.wait()

        Args:
            args: the command, without a shell.
            stdin: whether there will be input.
            stdout: whether output is wanted.
            stderr: whether errors are wanted; with a terminal they are in the output.
            tty: give it a terminal.
            **options: see ``ProcessOptions``.

        Raises:
            BuildError: a secret is missing.
            ConfigError: an argument can not work, or the container has ended.
            Unsupported: the daemon lacks a capability.
        """
        fds = [
            fd for fd, wanted in ((STDIN, stdin), (STDOUT, stdout), (STDERR, stderr and not tty)) if wanted
        ]
        init = self._init(args, fds, options, tty=tty)
        process_id = f"{self.id}:{new_id()}"
        async with AsyncExitStack() as stack:
            async with self._starting:  # the daemon must see the first one first
                self._check_alive()
                before = self._refusals(init)
                process = await stack.enter_async_context(
                    open_process(self._bridge, process_id, init, lambda: self._refusals(init) > before)
                )
                self._processes.append(process)
            yield process

    async def run(
        self,
        args: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002 - as in subprocess
        check: bool = True,
        **options: Unpack[ProcessOptions],
    ) -> Completed:
        """Run a process to its end and keep what it printed.

        Args:
            args: the command, without a shell.
            input: what it reads.
            check: whether an exit code other than 0 is an error.
            **options: see ``ProcessOptions``.

        Raises:
            ExecError: it could not be started, or ended with another code than 0; its ``log`` is what it printed.
            BuildError: a secret is missing, or an entitlement.
            ConfigError: an argument can not work.
        """
        output: dict[int, bytes] = {}

        async with self.start(args, stdin=input is not None, **options) as process:

            async def feed() -> None:
                try:
                    await process.stdin.send(input or b"")
                except anyio.BrokenResourceError:
                    return  # it has ended without reading all of it
                await process.stdin.aclose()

            async def drain(fd: int) -> None:
                stream = process.stdout if fd == STDOUT else process.stderr
                output[fd] = b"".join([chunk async for chunk in stream])

            async def wait() -> None:
                await process.wait()

            calls = [wait, lambda: drain(STDOUT), lambda: drain(STDERR)]
            await run_all([*calls, feed] if input is not None else calls)
            code = await process.wait()
        done = Completed(tuple(args), code, output[STDOUT], output[STDERR])
        if check and code:
            raise _failed(done)
        return done

    def _check_alive(self) -> None:
        for index, process in enumerate(self._processes):
            if process.ended and (index == 0 or process.exit_code != 0):
                what = "its first process" if index == 0 else "a process in it"
                raise ConfigError(
                    f"the container has ended: {what}, {shlex.join(process.args)}, ended with exit code "
                    f"{process.exit_code}; make another one"
                )

    def _refusals(self, init: Init) -> int:
        """How often a secret that a process needs could not be had."""
        if self._secrets is None:
            return 0
        return sum(self._secrets.refusals(secret.id) for secret in init.secret_env.values())

    def _check_secrets(self, secrets: Mapping[str, SecretMount]) -> None:
        self._bridge.check("secret_env=", caps.EXEC_SECRET_ENV)
        for secret in secrets.values():
            if self._secrets is not None and not secret.optional and secret.id not in self._secrets.ids:
                error = SecretNotFound(
                    f'secret {secret.id} is not there; give it with gateway(secrets={{"{secret.id}": Path("FILE")}})'
                )
                error.id = secret.id
                raise error

    def _init(self, args: Sequence[str], fds: list[int], options: ProcessOptions, *, tty: bool) -> Init:
        if isinstance(args, str) or not args or not all(isinstance(arg, str) for arg in args):
            raise ConfigError(f"command {args!r} must be a list of strings, as ['sh', '-c', 'make']")
        given = {**self._defaults.get("secret_env", {}), **options.get("secret_env", {})}
        secrets = {
            name: SecretMount(value) if isinstance(value, str) else value for name, value in given.items()
        }
        self._bridge.check("a process in a container", caps.EXEC)
        if secrets:
            self._check_secrets(secrets)
        return Init(
            container=self.id,
            args=tuple(args),
            env={**self._defaults.get("env", {}), **options.get("env", {})},
            cwd=options.get("cwd") or self._defaults.get("cwd", ""),
            user=options.get("user") or self._defaults.get("user", ""),
            fds=fds,
            tty=tty,
            security=check_security(options.get("security") or self._defaults.get("security", "sandbox")),
            secret_env=secrets,
        )

    # ---- files

    async def read_file(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """A file's content, of at most 16 MiB: the daemon sends all of it. Links out of its mount are not followed.

        Args:
            path: the file, absolute.
            offset: the first byte.
            length: how many bytes at most; to the file's end by default.

        Raises:
            NotFound: there is no such file.
            RPCError: it can not be read.
            ConfigError: the path is not absolute, or in something that can not be read from outside.
            Unsupported: the daemon can not read in containers.
        """
        check_range(offset, length)
        answer = await self._file_call("ReadFileContainer", path, "read_file()")
        data = answer.blob(1)
        return data[offset : len(data) if length is None else offset + length]

    async def read_dir(self, path: str = "/") -> tuple[Stat, ...]:
        """What is in a directory, sorted by name; not what is in directories below it.

        Raises:
            NotFound: there is no such directory.
            RPCError: it can not be read.
            ConfigError: the path is not absolute, or in something that can not be read from outside.
            Unsupported: the daemon can not read in containers.
        """
        answer = await self._file_call("ReadDirContainer", path, "read_dir()")
        return tuple(decode_stat(entry) for entry in answer.blobs(1))

    async def stat(self, path: str) -> Stat:
        """What a path is. Links are followed, unless they lead out of their mount.

        Raises:
            NotFound: there is no such path.
            RPCError: it can not be looked at.
            ConfigError: the path is not absolute, or in something that can not be read from outside.
            Unsupported: the daemon can not read in containers.
        """
        answer = await self._file_call("StatFileContainer", path, "stat()")
        return decode_stat(answer.blob(1))

    async def _file_call(self, method: str, path: str, what: str) -> p.Message:
        index, inside = self._find(path)
        request = p.text(1, self.id) + p.text(2, inside) + p.number(4 if "Stat" not in method else 3, index)
        return await self._bridge.call(
            method, request, caps.EXEC_FILESYSTEM, what=what, read=missing_file(path)
        )

    def _find(self, path: str) -> tuple[int, str]:
        """The mount that a path is in, and the path inside it."""
        if not path.startswith("/"):
            raise ConfigError(f"path {path!r} must be absolute")
        clean = posixpath.normpath("/" + path.lstrip("/"))
        found, deepest, rest = 0, "", clean
        for index, mount in enumerate(self._mounts):
            target = posixpath.normpath(mount.target)
            inside = f"{clean}/".startswith(f"{target.rstrip('/')}/")
            if inside and len(target) > len(deepest):
                found, deepest, rest = index, target, "/" + clean[len(target) :].lstrip("/")
        mount = self._mounts[found]
        if not mount.readable:
            raise ConfigError(
                f"{path}: the mount {mount.target} can not be read from outside; run cat in the container"
            )
        return found, posixpath.normpath(f"/{mount.selector}{rest}")

    def __repr__(self) -> str:
        return f"<Container {self.id}>"


def _failed(done: Completed) -> ExecError:
    log = (done.stdout + done.stderr).decode(errors="replace")
    error = ExecError(
        f"process {' '.join(done.args)!r} in a container ended with exit code {done.exit_code}",
        vertex=" ".join(done.args),
        log=log,
    )
    error.argv = done.args
    error.exit_code = done.exit_code
    return error


@asynccontextmanager
async def open_container(
    bridge: Bridge,
    mounts: Sequence[Mounted],
    options: ContainerOptions,
    secrets: SecretIds | None = None,
) -> AsyncGenerator[Container, None]:
    """Make a container; leaving the block releases it, whatever happens."""
    bridge.check("container()", caps.EXEC)
    if options.get("extra_hosts"):
        bridge.check("container(extra_hosts=)", caps.EXEC_EXTRA_HOSTS)
    container_id = new_id()
    await bridge.call("NewContainer", _encode(container_id, mounts, options), caps.EXEC, what="container()")
    failed = False
    try:
        yield Container(bridge, container_id, mounts, options, secrets)
    except BaseException:
        failed = True
        raise
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(RELEASE_PATIENCE):
            await _release(bridge, container_id, quiet=failed)


async def _release(bridge: Bridge, container_id: str, *, quiet: bool) -> None:
    """Release a container.

    The daemon's answer is an error when a process in it had failed, which is known already; what is left is a daemon
    that is gone.
    """
    try:
        await bridge.release(p.text(1, container_id))
    except ConnectionLost:
        if not quiet:
            raise
    except RPCError:
        return


def _encode(container_id: str, mounts: Sequence[Mounted], options: ContainerOptions) -> bytes:
    parts = [p.text(1, container_id), *(p.message(2, mount.body) for mount in mounts)]
    parts.append(p.number(3, check_network(options.get("network", "sandbox"))))
    platform = options.get("platform")
    parts.append(encode_platform(4, Platform.parse(platform) if isinstance(platform, str) else platform))
    constraints = options.get("constraints", ())
    filters = [constraints] if isinstance(constraints, str) else list(constraints)
    if filters:
        parts.append(p.message(5, p.texts(1, filters)))
    for host, address in (options.get("extra_hosts") or {}).items():
        name, ip = check_host(host, address)
        parts.append(p.message(6, p.text(1, name) + p.text(2, ip)))
    return b"".join(parts) + p.text(7, options.get("hostname", ""))
