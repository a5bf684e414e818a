"""What the build commands share: flags, running with a display, and what they leave about the result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from pybuildkit.client import AsyncClient
    from pybuildkit.result import Result
    from pybuildkit.ui import Display

__all__ = ["add_build_flags", "add_progress", "key_values", "run_and_report", "shared_options"]

PROGRESS = ("auto", "plain", "tty", "quiet", "rawjson", "none")


def add_progress(parser: argparse.ArgumentParser) -> None:
    """The ``--progress`` flag."""
    parser.add_argument(
        "--progress",
        choices=PROGRESS,
        default="auto",
        metavar="MODE",
        help=f"{', '.join(PROGRESS)} [$BUILDKIT_PROGRESS, else auto: tty on a terminal, plain elsewhere]",
    )


def add_build_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that ``solve`` and ``build`` have in common."""

    def add_list(*names: str, metavar: str, help: str) -> None:  # noqa: A002 - argparse's word
        parser.add_argument(*names, action="append", default=[], metavar=metavar, help=help)

    add_list("--output", "-o", metavar="SPEC", help="where a result goes, as type=local,dest=out")
    add_list("--secret", metavar="SPEC", help="a secret, as id=token,src=FILE or id=token,env=NAME")
    add_list("--ssh", metavar="SPEC", help="an SSH agent or keys: default or ID[=SOCKET|KEY[,KEY]]")
    add_list("--allow", metavar="ENTITLEMENT", help="network.host, security.insecure, device")
    add_list(
        "--registry-auth-tlscontext",
        metavar="SPEC",
        help="TLS towards a registry's token server: host=HOST[,ca=FILE][,cert=FILE,key=FILE][,insecure=true]",
    )
    add_progress(parser)
    add = parser.add_argument
    add("--metadata-file", metavar="FILE", help="write the result's metadata there as JSON")
    add("--ref-file", metavar="FILE", help="write the build's id there, however it ends")
    add("--source-policy-file", metavar="FILE", help="a source policy in JSON")
    add("--proxy-network", action="store_true", help="send the steps' network through the daemon's proxy")
    add("--trace", metavar="FILE", help="append the progress to a file, a JSON object in each line")
    add(
        "--debug-json-cache-metrics",
        metavar="FILE",
        help="write which steps were not in the cache, and sums as JSON: a file, stdout or stderr",
    )


def shared_options(args: argparse.Namespace) -> dict[str, Any]:
    """The common flags as options of the library.

    Raises:
        ConfigError: a flag's value can not work.
    """
    options: dict[str, Any] = {
        "outputs": args.output,
        "secrets": args.secret,
        "ssh": args.ssh,
        "entitlements": args.allow,
        "proxy_network": args.proxy_network,
    }
    if args.source_policy_file:
        options["source_policy"] = args.source_policy_file
    if args.registry_auth_tlscontext:
        from pybuildkit.registry import RegistryAuth

        options["auth"] = RegistryAuth(tls=args.registry_auth_tlscontext)
    return options


def key_values(flag: str, texts: list[str]) -> dict[str, str]:
    """Read ``key=value`` arguments; a later one wins.

    Raises:
        ConfigError: one has no equals sign, or no key.
    """
    found = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ConfigError(f"invalid value {text!r} for {flag}; write {flag} KEY=VALUE")
        found[key] = value
    return found


def run_and_report(target: Any, options: dict[str, Any], args: argparse.Namespace) -> int:
    """Run a build with its display, and write the files that were asked for."""
    with ExitStack() as stack:
        from pybuildkit.ui import open_display

        display = open_display(args.progress)
        args.log_shown = display.shows_logs
        report = None
        if args.trace or args.debug_json_cache_metrics:
            display, report = _watched(args, display, stack)
        result, told = _run(target, options, args, display)
        _report(result, told, args)
        if report is not None:
            report()
    return 0


def _run(
    target: Any, options: dict[str, Any], args: argparse.Namespace, display: Display
) -> tuple[Result, Mapping[str, bytes]]:
    asks = "requestid" in (options.get("attrs") or {})
    if not asks:
        from pybuildkit.cli.direct import build_directly

        result = build_directly(target, options, args, display, partial(_write_ref, args))
        if result is not None:
            return result, {}
    from pybuildkit.cli.run import connect, run_coroutine

    async def run() -> tuple[Result, Mapping[str, bytes]]:
        async with connect(args) as client:
            if asks:
                return await _ask(client, options, args, display)
            return await _build(client, target, options, args, display), {}

    return run_coroutine(run())


def _watched(
    args: argparse.Namespace, display: Display, stack: ExitStack
) -> tuple[Display, Callable[[], None] | None]:
    """The display with whoever else looks at the progress, and what is to be called at the end."""
    from pybuildkit.cli.watchers import CacheMetrics, Several, metrics_stream, trace_display

    displays: list[Display] = [display]
    report: Callable[[], None] | None = None
    if args.trace:
        displays.append(trace_display(args.trace, stack))
    if args.debug_json_cache_metrics:
        metrics = CacheMetrics()
        report = partial(metrics.report, metrics_stream(args.debug_json_cache_metrics, stack))
        displays.append(metrics)
    return Several(displays), report


async def _build(
    client: AsyncClient, target: Any, options: dict[str, Any], args: argparse.Namespace, display: Display
) -> Result:
    from pybuildkit.cli.run import watch

    async with client.stream(target, **options) as build:
        try:
            return await watch(build, display)
        finally:
            _write_ref(args, build.ref)


async def _ask(
    client: AsyncClient, options: dict[str, Any], args: argparse.Namespace, display: Display
) -> tuple[Result, Mapping[str, bytes]]:
    """V80: a subrequest makes no files; what the frontend answers is in its result's metadata."""
    attrs = {"frontend.caps": "moby.buildkit.frontend.subrequests", **options["attrs"]}
    frontend = options.pop("frontend")
    options |= {"attrs": attrs, "progress": display.update}
    no_cache = bool(options.pop("no_cache", False))
    async with client.gateway(**options) as gateway:
        try:
            found = await gateway.solve(frontend=frontend, attrs=attrs, no_cache=no_cache)
            result = await gateway.finish(found)
        finally:
            _write_ref(args, gateway.ref)
    display.done()
    return result, found.metadata


def _write_ref(args: argparse.Namespace, ref: str) -> None:
    if args.ref_file:
        from pybuildkit._files import write_atomically

        write_atomically(args.ref_file, ref.encode())


def _report(result: Result, told: Mapping[str, bytes], args: argparse.Namespace) -> None:
    if args.metadata_file and result.metadata:  # buildctl writes none when there is nothing to write
        import json

        from pybuildkit._files import write_atomically

        # Sorted and indented as buildctl writes it (V49).
        document = json.dumps(result.metadata_document(), indent=2, sort_keys=True, ensure_ascii=False)
        write_atomically(args.metadata_file, document.encode())
    if result.warnings and args.progress not in ("quiet", "rawjson", "none"):
        from pybuildkit.cli.lint import print_warnings

        print_warnings(result.warnings, debug=args.debug)
    if "result.txt" in told:
        sys.stdout.write(told["result.txt"].decode(errors="replace"))
        return
    for key in sorted(told):
        if key.startswith("result."):
            print(f"{key}\n{told[key].decode(errors='replace')}")
