"""``pybuildkit debug shell``: build, and open a shell in the step that fails, or in the result."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING, Any

from pybuildkit.cli import build
from pybuildkit.cli.questions import BUILD
from pybuildkit.errors import BuildError, ConfigError, ExecError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from pybuildkit.cli.debug.shown import Shown
    from pybuildkit.client import AsyncClient
    from pybuildkit.dockerfile import FrontendRequest
    from pybuildkit.gateway import Container, GatewayBuild, GatewayResult
    from pybuildkit.gateway.container import ContainerOptions

DESCRIPTION = """Build a Dockerfile directory. When a step fails, open a shell in it: with its files as it left them, its mounts,
environment, directory, user and network. When none does, open one in the result. Nothing that is done there changes the build.

The exit code is 1 when the build failed, otherwise that of the shell."""
EXAMPLES = """examples:
  pybuildkit debug shell .
  pybuildkit debug shell . --target test --secret id=token,env=TOKEN
  pybuildkit debug shell . --on-error --command 'cat config.log'
"""

FAILED = 1
_NOT_EXPORTED = ("outputs", "tags", "cache_to")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: those of ``build``, and its own."""
    build.configure(parser)
    add = parser.add_argument
    add("--on-error", action="store_true", help="open no shell when the build is good")
    add("--before", action="store_true", help="show the failed step's files as they were before it ran")
    add(
        "--command",
        dest="line",
        metavar="COMMAND",
        help="run this by the shell, instead of an interactive one",
    )
    add("--shell", metavar="PROGRAM", help="the shell [that of the failed step, else /bin/sh]")
    add("--root", action="store_true", help="as root, not as the step's user")


async def run(args: argparse.Namespace) -> int:
    """Build, and open the shell."""
    from pybuildkit.cli.run import connect

    options = _options(args)
    async with connect(args) as client:
        return await _Session(client, args).run(options)


def _options(args: argparse.Namespace) -> dict[str, Any]:
    options = build.options_from(args)
    for name in _NOT_EXPORTED:
        if options.pop(name):
            flag = {"outputs": "--output", "tags": "--tag", "cache_to": "--cache-to"}[name]
            raise ConfigError(f"{flag} does not go with debug shell, which exports nothing; leave it out")
    if args.file == "-" and args.line is None:
        raise ConfigError(
            "--file - reads standard input, which the shell needs; name a file, or give --command"
        )
    if args.call != BUILD:
        raise ConfigError("--call and --check do not go with debug shell; use them with `pybuildkit build`")
    return options


class _Looked(BuildError):
    """The build has failed, and its step has been looked into."""


class _Session:
    """One run of the command."""

    def __init__(self, client: AsyncClient, args: argparse.Namespace) -> None:
        self._client = client
        self._args = args

    async def run(self, options: dict[str, Any]) -> int:
        """Build, and open the shell where it belongs."""
        from anyio import to_thread

        from pybuildkit.cli.debug.shown import Shown
        from pybuildkit.dockerfile.split import split_options

        request, others = await to_thread.run_sync(split_options, self._args.path, options)
        async with Shown(self._args.progress) as shown:
            self._args.log_shown = shown.shows_logs
            try:
                async with self._client.gateway(**others, progress=shown.put) as gateway:
                    return await self._build(gateway, request, shown)
            except _Looked:
                return FAILED

    async def _build(self, gateway: GatewayBuild, request: FrontendRequest, shown: Shown) -> int:
        result: GatewayResult | None = None
        try:
            result = await gateway.solve(frontend=request.frontend, attrs=request.attrs)
            for ref in result.references:
                await ref.evaluate()
        except BuildError as exc:
            await shown.stop(exc.digest)
            await self._in_step(gateway, exc, result)
            # The daemon must hear that the build has failed: its record says so.
            raise _Looked(exc.message) from exc
        await shown.stop()
        return 0 if self._args.on_error else await self._in_result(gateway, result)

    async def _in_step(self, gateway: GatewayBuild, error: BuildError, result: GatewayResult | None) -> None:
        from pybuildkit.cli.failure import print_failure
        from pybuildkit.gateway.failed import FailedStep, graph_of

        print_failure(error, self._args)
        try:
            step = FailedStep.of(error, graph_of(result, error), before=self._args.before)
        except ConfigError as exc:
            _say(f"no shell: {exc}")
            return
        _say(f"a shell in {step.name}")
        if step.args:
            _say(f"its command: {shlex.join(step.args)}")
        _say(f"its mounts: {' '.join(step.mounts)}")
        own = step.options if step.args else _image_options(result)
        await self._shell(gateway.container(step.mounts, **own), self._args.shell or step.shell[0])

    async def _in_result(self, gateway: GatewayBuild, result: GatewayResult) -> int:
        if result.refs and len(result.refs) > 1:
            raise ConfigError(
                f"the result has the platforms {', '.join(result.refs)}; name one with --platform to open a shell in it"
            )
        _say("the build is good; a shell in its result")
        made = gateway.container(result.ref, **_image_options(result))
        return await self._shell(made, self._args.shell or "/bin/sh")

    async def _shell(self, made: AbstractAsyncContextManager[Container], shell: str) -> int:
        from pybuildkit.gateway.attach import run_attached

        command = self._args.line
        args = [shell] if command is None else [shell, "-c", command]
        if command is None and sys.stdin.isatty():
            _say("leave it with exit, or Ctrl-D")
        try:
            async with made as container:
                return await run_attached(container, args, user="root" if self._args.root else "")
        except ExecError as exc:
            raise ConfigError(f"{exc}; is there a {shell} in it? name another one with --shell") from exc


def _image_options(result: GatewayResult | None) -> ContainerOptions:
    """What the configuration of a build's image says of processes."""
    image = result.config() if result is not None else None
    config = (image or {}).get("config") or {}
    pairs = (item.partition("=") for item in config.get("Env") or ())
    return {
        "env": {name: value for name, _, value in pairs},
        "cwd": config.get("WorkingDir") or "/",
        "user": config.get("User") or "",
    }


def _say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr)
