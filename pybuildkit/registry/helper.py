"""Docker's credential helpers: programs that are asked for the credentials of one registry (S77).

What a helper prints may be secret, so it is in no error and no log: not even when the helper fails, since where a
failing one stops is anybody's guess.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping

import anyio
from anyio import to_thread
from anyio.abc import Process

from pybuildkit.errors import SessionError
from pybuildkit.registry.credentials import Credentials

__all__ = ["HELPER_TIMEOUT", "ask_helper", "helper_program"]

PREFIX = "docker-credential-"
HELPER_TIMEOUT = 30.0
"""Seconds that a helper may take; the daemon waits sixty (S16)."""

_NOT_FOUND = "credentials not found in native keychain"
_TOKEN_USER = "<token>"  # noqa: S105 - what stands for the name when the secret is an identity token
_MAX_ANSWER = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def helper_program(name: str, environ: Mapping[str, str]) -> str | None:
    """The path of a helper's program, None when there is none. Blocks on a few stats."""
    return shutil.which(PREFIX + name, path=environ.get("PATH", os.defpath))


async def ask_helper(
    name: str,
    server: str,
    *,
    environ: Mapping[str, str],
    timeout: float = HELPER_TIMEOUT,  # noqa: ASYNC109 - bounds the program, with its own text
) -> Credentials | None:
    """Ask a helper for a registry's credentials; None when it has none.

    Args:
        name: the helper's, without ``docker-credential-``.
        server: the registry, as docker's configuration calls it.
        environ: the helper's environment.
        timeout: seconds that it may take.

    Raises:
        SessionError: it is not there, fails, takes too long, or answers something else than credentials.
    """
    fits = _NAME.fullmatch(name)
    program = await to_thread.run_sync(helper_program, name, environ) if fits else None
    if program is None:
        raise SessionError(
            f"the credential helper {PREFIX}{name}, which docker's configuration names for {server}, is not on the "
            "PATH; install it, take it out of config.json, or give auth= to the client"
        )
    code, answer = await _run(program, server, environ, timeout)
    if code is None:
        raise _failed(program, server, f"did not answer within {timeout:g} s")
    if code != 0:
        if answer.decode("utf-8", "replace").strip() == _NOT_FOUND:
            return None
        raise _failed(program, server, f"failed (exit code {code})")
    return _decode(answer, program, server)


def _failed(program: str, server: str, how: str) -> SessionError:
    name = os.path.basename(program)  # noqa: PTH119 - a string
    return SessionError(
        f"the credential helper {name} {how} for {server}; run `printf {server} | {name} get` to see why, "
        "or give auth= to the client"
    )


async def _run(
    program: str,
    server: str,
    environ: Mapping[str, str],
    limit: float,
) -> tuple[int | None, bytes]:
    """The exit code, None when it took too long, and what was printed."""
    process = await anyio.open_process(
        [program, "get"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(environ),
        start_new_session=True,
    )
    try:
        with anyio.move_on_after(limit):
            answer = await _converse(process, server)
            return await process.wait(), answer
        return None, b""
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                _kill(process)
            await process.aclose()


async def _converse(process: Process, server: str) -> bytes:
    """Tell the helper the server, and hear all it has to say; too much ends it."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdin.send(server.encode())
        await process.stdin.aclose()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        pass  # It has ended, or does not listen: its exit code, or its answer, says more.
    answer = bytearray()
    async for chunk in process.stdout:
        answer += chunk
        if len(answer) > _MAX_ANSWER:
            _kill(process)
            break
    return bytes(answer)


def _kill(process: Process) -> None:
    """End the helper and what it has started: it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
        os.killpg(process.pid, signal.SIGKILL)


def _decode(answer: bytes, program: str, server: str) -> Credentials:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if isinstance(found, dict):
        # Go takes the names in any case.
        values = {str(key).lower(): value for key, value in found.items()}
        user, secret = values.get("username", ""), values.get("secret", "")
        if isinstance(user, str) and isinstance(secret, str):
            if user == _TOKEN_USER:
                return Credentials(identity_token=secret)
            return Credentials(user, secret)
    raise _failed(program, server, "answered something else than credentials")
