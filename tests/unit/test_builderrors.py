"""The daemon's real words (all collected from buildkitd v0.32.2) and the errors they become."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pybuildkit.builderrors import BuildFacts, build_error
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
    UnknownDetail,
)
from pybuildkit.errors import (
    BuildCancelled,
    BuildError,
    EntitlementError,
    ExecError,
    FrontendError,
    LocalNotFound,
    PolicyError,
    RegistryAuthError,
    SecretNotFound,
    SessionError,
    SSHNotFound,
)
from pybuildkit.events import Position, Range, SourceInfo, Vertex

RUN = 'process "/bin/sh -c echo hi && exit 3" did not complete successfully: exit code: 3'
MISSING_FILE = (
    "failed to compute cache key: failed to calculate checksum of ref "
    'x8s2uzodkz16hlqzymdfoe4wr::5edp4azhf6r3w8rn404aezbcq: "/nothing": not found'
)
POLICY = (
    "alpine: failed to resolve source metadata for docker.io/library/alpine:latest: could not resolve image due to "
    'policy: source "docker-image://docker.io/library/alpine:latest" denied by policy: source denied by policy'
)
RESOLVE = "failed to resolve source metadata for localhost:5999/x:latest: "
TOKEN = (
    "failed to fetch anonymous token: unexpected status from GET request to http://localhost:5998/token?service=x: "
    "401 Unauthorized"
)
PUSH = (
    'failed to push localhost:1/x: failed to do request: Head "http://localhost:1/v2/": dial tcp 127.0.0.1:1: '
    "connect: connection refused"
)
HUB = (
    "x: failed to resolve source metadata for docker.io/library/x:latest: pull access denied, repository does "
    "not exist or may require authorization: server message: insufficient_scope: authorization failed"
)
DOCKERFILE = SourceError(
    SourceInfo("Dockerfile", b"FROM scratch\nRUN x\n"), (Range(Position(2), Position(2)),)
)


class FakeProgress:
    """What was heard of the vertices."""

    def __init__(self, *vertices: Vertex, logs: dict[str, str] | None = None) -> None:
        self.vertices: Iterable[Vertex] = vertices
        self.logs = logs or {}

    def vertex(self, digest: str) -> Vertex | None:
        return next((v for v in self.vertices if v.digest == digest), None)

    def log_tail(self, digest: str, lines: int = 20) -> str:
        assert lines > 0
        return self.logs.get(digest, "")


@pytest.mark.parametrize(
    ("message", "kind", "says", "fields"),
    [
        (
            RUN,
            ExecError,
            "look at its output",
            {"exit_code": 3, "argv": ("/bin/sh", "-c", "echo hi && exit 3")},
        ),
        ('process "/bin/nothing" did not complete successfully: exit code: 1', ExecError, "", {"argv": ()}),
        (
            r'process "/bin/bash -o pipefail -c echo \"a\" | b" did not complete successfully: exit code: 127',
            ExecError,
            "not found: is it installed",
            {"argv": ("/bin/bash", "-o", "pipefail", "-c", 'echo "a" | b'), "exit_code": 127},
        ),
        (
            'process "/bin/sh -c x" did not complete successfully: context deadline exceeded',
            ExecError,
            "",
            {"exit_code": -1},
        ),
        ("secret tok: not found", SecretNotFound, "--secret id=tok,src=FILE", {"id": "tok"}),
        ('no SSH key "" forwarded from the client', SSHNotFound, "ssh=True", {"id": "default"}),
        ('no SSH key "foo" forwarded from the client', SSHNotFound, "--ssh foo", {"id": "foo"}),
        ("unset ssh forward key foo", SSHNotFound, '"foo": SSHAgent()', {"id": "foo"}),
        (
            'failed to read dockerfile: rpc error: code = NotFound desc = no access allowed to dir "dockerfile"',
            LocalNotFound,
            "--local dockerfile=DIRECTORY",
            {"name": "dockerfile"},
        ),
        ("local directory src not enabled", LocalNotFound, 'locals={"src"', {"name": "src"}),
        (
            "failed to load LLB: security.insecure is not allowed",
            EntitlementError,
            'entitlements=["security.insecure"]',
            {"entitlement": "security.insecure"},
        ),
        (
            "granting entitlement network.host is not allowed by build daemon configuration",
            EntitlementError,
            "--allow-insecure-entitlement network.host",
            {"entitlement": "network.host"},
        ),
        (
            "devices v/c=a, v/c=b are requested by the build but not allowed",
            EntitlementError,
            "--allow device=v/c=a",
            {"entitlement": "device=v/c=a"},
        ),
        (
            "device v/c=a is requested by the build but not allowed",
            EntitlementError,
            "--allow device=v/c=a",
            {"entitlement": "device=v/c=a"},
        ),
        ("unknown entitlement zz", EntitlementError, "this daemon knows", {"entitlement": "zz"}),
        (
            POLICY,
            PolicyError,
            "docker-image://docker.io/library/alpine:latest in source_policy",
            {"messages": ()},
        ),
        ("context canceled", BuildCancelled, "run it again", {}),
        ("dockerfile parse error on line 5: unknown instruction: RUNN", FrontendError, "correct line 5", {}),
        (
            "failed to read dockerfile: open Nope: no such file or directory",
            FrontendError,
            "there is no Nope",
            {},
        ),
        ("the Dockerfile cannot be empty", FrontendError, "FROM", {}),
        ('target stage "zz" could not be found', FrontendError, "target=", {}),
        ("invalid frontend: zz", FrontendError, "{'source': IMAGE}", {}),
        ("invalid netmode zz", FrontendError, "'host'", {}),
        ('unknown attestation type "zz"', FrontendError, "provenance=", {}),
        ("failed to parse target platform a/b/c/d: cannot parse", FrontendError, "linux/arm64", {}),
        ("unsupported request frontend.zz: unsupported request frontend.zz", FrontendError, "syntax=", {}),
        (MISSING_FILE, BuildError, "/nothing is neither in the build context", {}),
        ('exporter "zz" could not be found', BuildError, "image, local, tar", {}),
        ('unknown cache exporter: "zz"', BuildError, "cache_to", {}),
        ("docker exporter does not currently support exporting manifest lists", BuildError, "oci output", {}),
        ("job ID abc exists", BuildError, "leave ref= out", {}),
        ("no active session for abc: context deadline exceeded", BuildError, "event loop", {}),
        ("write /x: no space left on device", BuildError, "prune", {}),
        ("unknown API capability exec.zz", BuildError, "update it", {}),
        (
            "unsupported compatibility-version 11 (supported: [10 20 30])",
            BuildError,
            "leave the feature out",
            {},
        ),
        (
            PUSH,
            BuildError,
            "where it runs",
            {},
        ),
        (
            RESOLVE + "http: server gave HTTP response to HTTPS client",
            BuildError,
            "insecure=True",
            {},
        ),
        (RESOLVE + "tls: x509: certificate signed by unknown authority", BuildError, "registry.ca", {}),
        (RESOLVE + "429 Too Many Requests", BuildError, "log in, or use a mirror", {}),
        ('lease "ref_X": not found', BuildError, "", {}),
        ("", BuildError, "the build failed", {}),
    ],
)
def test_the_daemons_words(message: str, kind: type[BuildError], says: str, fields: dict[str, Any]) -> None:
    """T13, W4, S25, V86: the kind, its fields, and a text that keeps the daemon's and ends with what to do."""
    error = build_error("UNKNOWN", message)
    assert type(error) is kind
    assert says in error.message
    assert message.replace("rpc error: code = NotFound desc = ", "") in error.message
    assert {name: getattr(error, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("message", "vertex", "host"),
    [
        (RESOLVE + "unexpected status from HEAD request to http://localhost:5999/v2/x: 401 Unauthorized", "", "localhost:5999"),
        ("failed to push localhost:5999/x: denied", "", "localhost:5999"),
        ("failed to push ghcr.io/a/b:1: unexpected status: 403 Forbidden", "", "ghcr.io"),
        (TOKEN, "[internal] load metadata for localhost:5999/bearer:latest", "localhost:5999"),
        (TOKEN, "[internal] load metadata for docker.io/library/x:latest", "docker.io"),
        (TOKEN, "exporting to image", ""),
        (
            HUB,
            "",
            "docker.io",
        ),
    ],
)  # fmt: skip
def test_registries_that_refuse(message: str, vertex: str, host: str) -> None:
    """The token server's host is not the registry's."""
    progress = FakeProgress(Vertex("d", vertex, error="x"))
    error = build_error("UNKNOWN", message, progress=progress)
    assert isinstance(error, RegistryAuthError)
    assert error.host == host
    assert f"docker login {host}".rstrip() in error.message


@pytest.mark.parametrize(
    ("vertex", "name"),
    [
        ("[internal] load build definition from Dockerfile", "dockerfile"),
        ("[internal] load .dockerignore", "context"),
        ("[internal] load build context", "context"),
        ("local://src", "src"),
        ("something else", ""),
    ],
)
def test_a_build_that_was_given_no_directory_at_all(vertex: str, name: str) -> None:
    """The daemon does not say which one it wanted; the vertex tells."""
    progress = FakeProgress(Vertex("d", vertex, error="x"))
    error = build_error("UNKNOWN", "failed to read dockerfile: no local sources enabled", progress=progress)
    assert isinstance(error, LocalNotFound)
    assert error.name == name
    assert f"--local {name or 'NAME'}=DIRECTORY" in error.message


def test_an_http_context_that_refuses_is_no_registry() -> None:
    error = build_error("UNKNOWN", "failed to load cache key: invalid response status 403 Forbidden")
    assert type(error) is BuildError


def test_a_failed_command_has_everything() -> None:
    """C53, C54, C57, C58, W6."""
    details: tuple[Detail, ...] = (
        UnknownDetail("x", b""),
        Solve(op={"exec": {"meta": {"args": ["sh", "-c", "exit 3"]}}}),
        ExitMessage(3),
        DOCKERFILE,
        FailedVertex("sha256:d"),
    )
    progress = FakeProgress(Vertex("sha256:d", "[2/2] RUN x"), logs={"sha256:d": "hello\nbye"})
    error = build_error("UNKNOWN", RUN, details, facts=BuildFacts(ref="r1"), progress=progress)
    assert isinstance(error, ExecError)
    assert (error.ref, error.vertex, error.digest, error.code) == ("r1", "[2/2] RUN x", "sha256:d", "UNKNOWN")
    assert (error.argv, error.exit_code, error.log) == (("sh", "-c", "exit 3"), 3, "hello\nbye")
    assert error.source is DOCKERFILE
    assert error.details == details
    assert (error.message, error.remedy) == (RUN, "")
    assert str(error) == (
        f"{RUN}; its last output follows\n"
        "------\n > [2/2] RUN x:\nhello\nbye\n------\n"
        "Dockerfile:2\n--------------------\n"
        "   1 |     FROM scratch\n   2 | >>> RUN x\n   3 |     \n--------------------"
    )


def test_exit_codes_with_a_meaning() -> None:
    progress = FakeProgress(Vertex("d", error="x"))
    error = build_error("UNKNOWN", RUN, (ExitMessage(137),), progress=progress)
    assert error.message.endswith("do less at a time; it printed nothing")
    assert error.message == f"{RUN}; {error.remedy}"


def test_the_failed_vertex_is_found_without_a_detail() -> None:
    """A vertex that was only stopped is not to blame."""
    progress = FakeProgress(
        Vertex("a", "stopped", error="context canceled"),
        Vertex("b", "guilty", error="boom"),
        logs={"b": "log"},
    )
    error = build_error("UNKNOWN", "boom", progress=progress)
    assert (error.vertex, error.digest, error.log) == ("guilty", "b", "log")
    unheard = build_error("UNKNOWN", "boom", (FailedVertex("z"),), progress=progress)
    assert (unheard.vertex, unheard.digest) == ("", "z")


def test_what_was_given_helps_with_a_mistyped_id() -> None:
    facts = BuildFacts(secrets=["token", "npmrc"], locals=["ctx"], ssh=["github"])
    assert build_error("UNKNOWN", "secret tok: not found", facts=facts).message.endswith(
        "secrets given: npmrc, token"
    )
    assert build_error("UNKNOWN", 'no access allowed to dir "a"', facts=facts).message.endswith(
        "directories given: ctx"
    )
    assert build_error("UNKNOWN", "unset ssh forward key a", facts=facts).message.endswith(
        "agents given: github"
    )


def test_what_was_missed_counts_when_the_words_do_not_say_it() -> None:
    error = build_error("NOT_FOUND", "frontend grumbles", facts=BuildFacts(missing_secrets=["tok"]))
    assert isinstance(error, SecretNotFound)
    assert error.id == "tok"
    local = build_error("UNKNOWN", "dir src not found", facts=BuildFacts(missing_locals=["ctx", "src"]))
    assert isinstance(local, LocalNotFound)
    assert local.name == "src"
    ssh = build_error("NOT_FOUND", "no key", facts=BuildFacts(missing_ssh=["default"]))
    assert isinstance(ssh, SSHNotFound)
    other = build_error("UNKNOWN", "boom", facts=BuildFacts(missing_secrets=["tok"]))
    assert type(other) is BuildError


def test_policy_reasons_come_with_the_error() -> None:
    """C59."""
    error = build_error("UNKNOWN", "refused", (DecisionResponse("DENY", ("no latest", "no root")),))
    assert isinstance(error, PolicyError)
    assert error.messages == ("no latest", "no root")
    assert "no latest; no root" in error.message


def test_cancelled_by_code() -> None:
    assert isinstance(build_error("CANCELLED", "stopped"), BuildCancelled)


def test_a_frontend_that_fails_without_a_vertex() -> None:
    """C55, C56."""
    for details, facts in (
        ((Frontend("dockerfile.v0"),), BuildFacts()),
        ((), BuildFacts(frontend="dockerfile.v0")),
        ((FrontendCap("zz"), FailedVertex("d")), BuildFacts()),
        ((Subrequest("zz"),), BuildFacts()),
    ):
        assert isinstance(build_error("UNKNOWN", "strange", details, facts=facts), FrontendError)
    failed_vertex = (Frontend("dockerfile.v0"), FailedVertex("d"))
    assert type(build_error("UNKNOWN", "strange", failed_vertex)) is BuildError


def test_the_source_is_named_when_nothing_else_can_be_said() -> None:
    error = build_error("UNKNOWN", "strange", (SourceError(SourceInfo("empty")), DOCKERFILE))
    assert error.message == "strange; see Dockerfile line 2"
    assert error.source is DOCKERFILE


def test_remedies_stand_on_their_own_line_below_long_texts() -> None:
    error = build_error(
        "UNKNOWN", "git stderr:\nfatal: unable to connect: Connection refused\n\nconnection refused"
    )
    assert error.message.splitlines()[-1].startswith("the daemon can not reach it")


def test_credentials_that_could_not_be_had() -> None:
    """What this side has said itself is not explained a second time."""
    why = SessionError("the credential helper x failed for a.test; run it to see why")
    facts = BuildFacts(failed_registry=("a.test", why))
    error = build_error("UNKNOWN", f"rpc error: code = Unknown desc = {why}", facts=facts)
    assert isinstance(error, RegistryAuthError)
    assert error.host == "a.test"
    assert error.message == str(why)
