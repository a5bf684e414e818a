"""Which error a failed build becomes, and what its text tells the reader to do.

The daemon's refusals have mostly no code worth switching on (T13), so the choice rests on typed details where
there are some, on what this side knows (what was asked for and not given), and on the daemon's own words. Its
text is kept, so that it can be looked up; behind it stands what to do.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol, TypeVar

from pybuildkit._remedies import (
    exit_remedy,
    frontend_remedy,
    general_remedy,
    is_frontend_trouble,
    registry_host,
)
from pybuildkit._values import dataclass
from pybuildkit.details import (
    DecisionResponse,
    Detail,
    ExitMessage,
    FailedVertex,
    Frontend,
    FrontendCap,
    Solve,
    SourceError,
    Subrequest,
)
from pybuildkit.errors import (
    BuildCancelled,
    BuildError,
    BuildKitError,
    EntitlementError,
    ExecError,
    FrontendError,
    LocalNotFound,
    PolicyError,
    RegistryAuthError,
    SecretNotFound,
    SSHNotFound,
)
from pybuildkit.events import Vertex

__all__ = ["BuildFacts", "Watched", "build_error"]

LOG_LINES = 20

_T = TypeVar("_T")
_E = TypeVar("_E", bound=BuildError)

# Compiled when a build fails, and not before.
_NESTED = r"rpc error: code = \w+ desc = "
_PROCESS = r'(?s:process ("(?:[^"\\]|\\.)*") did not complete successfully(?:: exit code: (\d+))?)'
_NO_SECRET = r"secret (\S+): not found"  # noqa: S105 - a pattern
_SSH = (
    r'no SSH key "([^"]*)" forwarded from the client',
    r"unset ssh forward key (\S+)",
)
_LOCAL = (
    r'no access allowed to dir "([^"]*)"',
    r"local directory (\S+) not enabled",
)
_NO_LOCALS = "no local sources enabled"
_LOCAL_VERTEX = (
    (r"local://(\S+)", ""),
    (r"load build definition from", "dockerfile"),
    (r"load build context|load \.dockerignore|load remote build context", "context"),
)
_DAEMON_ENTITLEMENT = r"granting entitlement (\S+) is not allowed by build daemon configuration"
_ENTITLEMENT = r"\b(security\.insecure|network\.host|device) is not allowed"
_DEVICE = r"devices? ([^\s,]+)(?:, \S+)* (?:is|are) requested by the build but not allowed"
_UNKNOWN_ENTITLEMENT = r"unknown entitlement (\S+)"
_FULL = "no space left on device"
_POLICY = r'source "([^"]*)" (?:denied by policy|not allowed by policy)|source denied by policy'


class Watched(Protocol):
    """What is known of the build's vertices; ``pybuildkit.progress.Progress`` is one."""

    @property
    def vertices(self) -> Iterable[Vertex]:
        """All that were heard of, in order."""
        ...

    def vertex(self, digest: str) -> Vertex | None:
        """One of them."""
        ...

    def log_tail(self, digest: str, lines: int = ...) -> str:
        """The last lines it printed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFacts:
    """What this side knows of the build.

    Attributes:
        ref: the build's id.
        frontend: the frontend's name, empty for a graph.
        secrets: ids of the secrets that were given.
        ssh: ids of the agents that were given.
        locals: names of the local directories that were given.
        missing_secrets: what the daemon asked for and did not get.
        missing_ssh: likewise.
        missing_locals: likewise.
        failed_registry: the registry whose credentials could not be had, and why.
    """

    ref: str = ""
    frontend: str = ""
    secrets: Collection[str] = ()
    ssh: Collection[str] = ()
    locals: Collection[str] = ()
    missing_secrets: Collection[str] = ()
    missing_ssh: Collection[str] = ()
    missing_locals: Collection[str] = ()
    failed_registry: tuple[str, BuildKitError] | None = None


class _Failure:
    """One failure, looked at from all sides; the choosers below take from it what they need."""

    def __init__(
        self, code: str, message: str, details: Sequence[Detail], facts: BuildFacts, progress: Watched | None
    ) -> None:
        self.code = code
        self.message = re.sub(_NESTED, "", message).strip()
        self.details = tuple(details)
        self.facts = facts
        self.vertex = self._failed_vertex(progress)
        digest = self.vertex.digest if self.vertex else ""
        self.log = progress.log_tail(digest, LOG_LINES) if progress and digest else ""
        self.printed = bool(self.log) if progress else None
        shown = [s for s in self.of(SourceError) if s.render()]
        self.source = shown[0] if shown else None

    def of(self, kind: type[_T]) -> list[_T]:
        """The details of one kind."""
        return [d for d in self.details if isinstance(d, kind)]

    def find(self, *patterns: str) -> str | None:
        """The first group of the first pattern that matches; empty when that group took no part."""
        for pattern in patterns:
            match = re.search(pattern, self.message)
            if match is not None:
                return match[1] or ""
        return None

    def error(self, kind: type[_E], remedy: str) -> _E:
        """An error of that kind, with all that is known."""
        return kind(
            _with_remedy(self.message or "the build failed", remedy),
            remedy=remedy,
            ref=self.facts.ref,
            vertex=self.vertex.name if self.vertex else "",
            digest=self.vertex.digest if self.vertex else "",
            source=self.source,
            log=self.log,
            code=self.code,
            details=self.details,
        )

    def _failed_vertex(self, progress: Watched | None) -> Vertex | None:
        """The vertex named by the daemon, else the first that ended badly and not because of another."""
        for detail in self.of(FailedVertex):
            known = progress.vertex(detail.digest) if progress else None
            return known or Vertex(detail.digest)
        failed = [v for v in progress.vertices if v.error] if progress else []
        own = [v for v in failed if "context canceled" not in v.error]
        return next(iter(own or failed), None)


def build_error(
    code: str,
    message: str,
    details: Sequence[Detail] = (),
    *,
    facts: BuildFacts = BuildFacts(),
    progress: Watched | None = None,
) -> BuildError:
    """The error for a failed build.

    Args:
        code: the gRPC status code's name, as ``UNKNOWN``.
        message: the daemon's text.
        details: its typed details.
        facts: what this side knows.
        progress: what was heard of the vertices, for names and logs.
    """
    failure = _Failure(code, message, details, facts, progress)
    for choose in _CHOOSERS:
        error = choose(failure)
        if error is not None:
            return error
    return failure.error(BuildError, general_remedy(failure.message) or _look_at(failure.source))


def _cancelled(f: _Failure) -> BuildError | None:
    if f.code != "CANCELLED" and not f.message.endswith("context canceled"):
        return None
    return f.error(
        BuildCancelled, "it was cancelled in the daemon, by another client or by its shutdown; run it again"
    )


def _policy(f: _Failure) -> BuildError | None:
    messages = tuple(m for d in f.of(DecisionResponse) for m in d.messages)
    denied = f.find(_POLICY)
    if denied is None and not any(d.action == "DENY" for d in f.of(DecisionResponse)):
        return None
    reasons = f"the policy says: {'; '.join(messages)}; " if messages else ""
    subject = f"source {denied}" if denied else "source"
    error = f.error(PolicyError, f"{reasons}allow the {subject} in source_policy, or use another one")
    error.messages = messages
    return error


def _exec(f: _Failure) -> BuildError | None:
    match = re.search(_PROCESS, f.message)
    exits = f.of(ExitMessage)
    if match is None and not exits:
        return None
    code = exits[0].code if exits else int((match and match[2]) or -1)
    # What the command says of the daemon's disk is worth more than its exit code.
    full = general_remedy(f.log.lower()) if _FULL in f.log.lower() else ""
    error = f.error(ExecError, full or exit_remedy(code, printed=f.printed))
    error.exit_code = code
    error.argv = next((s.argv for s in f.of(Solve) if s.argv), ()) or _argv(match[1] if match else "")
    return error


def _argv(quoted: str) -> tuple[str, ...]:
    """The command from its words joined by blanks: safe to take apart only where it is a shell's."""
    try:
        command = ast.literal_eval(quoted)
    except (ValueError, SyntaxError):
        return ()
    for shell in ("/bin/sh -c ", "/bin/bash -c ", "/bin/bash -o pipefail -c "):
        if isinstance(command, str) and command.startswith(shell):
            return (*shell.split(), command.removeprefix(shell))
    return ()


def _secret(f: _Failure) -> BuildError | None:
    name = f.find(_NO_SECRET) or _asked(f, f.facts.missing_secrets)
    if not name:
        return None
    error = f.error(
        SecretNotFound,
        f'give it with secrets={{"{name}": Path("FILE")}} (--secret id={name},src=FILE)'
        + _given(f.facts.secrets, "secrets"),
    )
    error.id = name
    return error


def _ssh(f: _Failure) -> BuildError | None:
    found = f.find(*_SSH)
    if found is None:
        found = _asked(f, f.facts.missing_ssh)
        if not found:
            return None
    name = found or "default"
    how = "ssh=True (--ssh default)"
    if name != "default":
        how = f'ssh={{"{name}": SSHAgent()}} (--ssh {name})'
    error = f.error(SSHNotFound, f"give an agent with {how}" + _given(f.facts.ssh, "agents"))
    error.id = name
    return error


def _local(f: _Failure) -> BuildError | None:
    name = f.find(*_LOCAL) or _asked(f, f.facts.missing_locals)
    if not name and _NO_LOCALS not in f.message:
        return None
    name = name or _local_of(f.vertex.name if f.vertex else "")
    shown = name or "NAME"
    error = f.error(
        LocalNotFound,
        f'give it with locals={{"{shown}": "DIRECTORY"}} (--local {shown}=DIRECTORY)'
        + _given(f.facts.locals, "directories"),
    )
    error.name = name
    return error


def _local_of(vertex: str) -> str:
    """Which directory a vertex reads, by its name: without any directories the daemon does not say."""
    for pattern, name in _LOCAL_VERTEX:
        match = re.search(pattern, vertex)
        if match is not None:
            return name or match[1]
    return ""


def _asked(f: _Failure, missing: Collection[str]) -> str:
    """What was asked for in vain, when the message is about it."""
    if f.code != "NOT_FOUND" and "not found" not in f.message:
        return ""
    named = [name for name in missing if name in f.message]
    return next(iter(named or (missing if f.code == "NOT_FOUND" else ())), "")


def _given(names: Collection[str], what: str) -> str:
    return f"; {what} given: {', '.join(sorted(names))}" if names else ""


def _entitlement(f: _Failure) -> BuildError | None:
    name = f.find(_DAEMON_ENTITLEMENT)
    if name:
        remedy = f"start buildkitd with --allow-insecure-entitlement {name} (insecure-entitlements in buildkitd.toml)"
    elif name := f.find(_ENTITLEMENT):
        remedy = f'grant it with entitlements=["{name}"] (--allow {name}); the daemon must allow it too'
    elif name := f.find(_DEVICE):
        name = f"device={name}"
        remedy = f'grant it with entitlements=["{name}"] (--allow {name}); the daemon must allow devices too'
    elif name := f.find(_UNKNOWN_ENTITLEMENT):
        remedy = "this daemon knows network.host, security.insecure and device, or fewer if it is old"
    else:
        return None
    error = f.error(EntitlementError, remedy)
    error.entitlement = name
    return error


def _registry(f: _Failure) -> BuildError | None:
    if f.facts.failed_registry is not None:  # its text, which is in the message, says what to do
        error = f.error(RegistryAuthError, "")
        error.host = f.facts.failed_registry[0]
        return error
    host = registry_host(f.message, f.vertex.name if f.vertex else "")
    if host is None:
        return None
    error = f.error(
        RegistryAuthError,
        f"log in to {host or 'the registry'} with an account that may do this (docker login {host}".rstrip()
        + "), or give auth= to the client; a repository that does not exist is refused in the same way",
    )
    error.host = host
    return error


def _frontend(f: _Failure) -> BuildError | None:
    named = [*f.of(FrontendCap), *f.of(Subrequest)]
    failed = bool(f.of(Frontend)) or bool(f.facts.frontend)
    trouble = bool(named) or is_frontend_trouble(f.message)
    if not trouble and (not failed or f.vertex is not None or general_remedy(f.message)):
        return None
    return f.error(FrontendError, frontend_remedy(f.message) or _look_at(f.source))


_CHOOSERS: tuple[Callable[[_Failure], BuildError | None], ...] = (
    _policy,
    _exec,
    _secret,
    _ssh,
    _local,
    _entitlement,
    _registry,
    _cancelled,
    _frontend,
)


def _look_at(source: SourceError | None) -> str:
    return f"see {source.filename} line {source.line}" if source is not None else ""


def _with_remedy(message: str, remedy: str) -> str:
    if not remedy:
        return message
    return f"{message}\n{remedy}" if "\n" in message else f"{message}; {remedy}"
