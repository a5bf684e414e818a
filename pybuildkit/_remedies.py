"""What to do about a failure, by the daemon's own words for it."""

from __future__ import annotations

import re

__all__ = ["exit_remedy", "frontend_remedy", "general_remedy", "is_frontend_trouble", "registry_host"]

_EXITS = {
    125: "the container runtime could not start the command",
    126: "the command is there but may not be executed: check its mode and its format",
    127: "a command was not found: is it installed in this stage, and on its PATH?",
    134: "the command aborted itself (SIGABRT)",
    137: "the command was killed (SIGKILL), mostly for want of memory: give the daemon more, or do less at a time",
    139: "the command crashed (SIGSEGV); under emulation that is often the emulator's fault",
    143: "the command was ended from outside (SIGTERM)",
    255: "the command's exit code is not known, or it was 255",
}


def exit_remedy(code: int, *, printed: bool | None) -> str:
    """What a command's exit code says, and where to look; ``printed`` is None when nobody listened."""
    known = [_EXITS[code]] if code in _EXITS else []
    if printed is False:
        known.append("it printed nothing")
    if printed is None and not known:
        known.append("look at its output")
    return "; ".join(known)


_FRONTEND: tuple[tuple[str, str], ...] = (
    (
        r"failed to read dockerfile: .*open (\S+): no such file",
        "there is no {0} in the directory that was given for it: name it with file= (--opt filename=)",
    ),
    (r"the Dockerfile cannot be empty|file with no instructions", "write at least a FROM line"),
    (r"dockerfile parse error on line (\d+)", "correct line {0}"),
    (r'target stage "?([^"]*)"? could not be found', "name a stage of the Dockerfile with target="),
    (r"invalid frontend: (\S+)", "use dockerfile.v0, or gateway.v0 with attrs={{'source': IMAGE}}"),
    (
        r"unsupported request (\S+)",
        "this frontend does not know the request; a newer one may: name it with syntax=",
    ),
    (
        r"unsupported frontend capability (\S+)",
        "this frontend does not have it; a newer one may: name it with syntax=",
    ),
    (r"failed to parse target platform|failed to parse platform", "write platforms as linux/arm64"),
    (r"unknown attestation type", "use sbom= and provenance="),
    (r"invalid netmode", "use network='none', 'host' or 'default'"),
    (r"only supported in Dockerfile frontend", "name a frontend that has it with syntax="),
    (r"failed to parse", ""),
)

_GENERAL: tuple[tuple[str, str], ...] = (
    (
        r'failed to calculate checksum of ref .*"(/[^"]*)": not found',
        "{0} is neither in the build context (does .dockerignore exclude it?) nor in the stage it is copied from",
    ),
    (
        r'exporter "([^"]*)" could not be found',
        "this daemon has no such output; use image, local, tar, oci or docker",
    ),
    (
        r"docker exporter does not currently support exporting manifest lists",
        "build one platform without attestations, or use the oci output",
    ),
    (
        r"error writing manifest blob: (?s:.)*blob unknown",
        "this registry takes no cache that is an index of layers: leave image_manifest=False out",
    ),
    (r'unknown cache exporter: "([^"]*)"', "use inline, local, registry, gha, s3 or azblob in cache_to"),
    (
        r"job ID \S+ exists",
        "another build has this ref, under way or ended ten seconds ago at most: leave ref= out, or choose another",
    ),
    (
        r"no active session for",
        "this client's session did not reach the daemon in time: was the event loop blocked, or is a proxy between?",
    ),
    (
        r"no space left on device",
        "the daemon's disk is full: prune its cache (pybuildkit prune), or give it more",
    ),
    (
        r"unknown API capability|requires (?:a )?newer version of BuildKit|unsupported compatibility-version",
        "this daemon does not have it: update it, or leave the feature out",
    ),
    (
        r"toomanyrequests|429 Too Many Requests",
        "the registry limits how often it is asked: log in, or use a mirror (registry.mirrors in buildkitd.toml)",
    ),
    (
        r"server gave HTTP response to HTTPS client",
        "the registry speaks plain HTTP: set insecure=True for a push, or http = true for it in buildkitd.toml",
    ),
    (
        r"x509: |certificate signed by unknown authority",
        "the daemon does not trust the server: give it the authority's certificate (registry.ca in buildkitd.toml)",
    ),
    (
        r"connection refused|no such host|i/o timeout|network is unreachable|no route to host",
        "the daemon can not reach it; it connects from where it runs itself, which need not be this machine",
    ),
)


def frontend_remedy(message: str) -> str:
    """What to do about a refusal by a frontend, empty when only the message itself says."""
    return _lookup(_FRONTEND, message) or ""


def is_frontend_trouble(message: str) -> bool:
    """Whether the words are those of a frontend that refuses its input."""
    return _lookup(_FRONTEND, message) is not None


def general_remedy(message: str) -> str:
    """What to do about any other failure, empty when only the message itself says."""
    return _lookup(_GENERAL, message) or ""


def _lookup(table: tuple[tuple[str, str], ...], message: str) -> str | None:
    for pattern, remedy in table:
        match = re.search(pattern, message)
        if match is not None:
            return remedy.format(*match.groups())
    return None


_REFUSED = (
    r"401 Unauthorized|403 Forbidden|insufficient_scope|authorization failed"
    r"|failed to fetch (?:anonymous|oauth) token"
    r"|(?:pull|push) access denied|failed to authorize|^failed to push \S+: (?:denied|unauthorized)\b"
)
_IMAGE = (
    r"(?:failed to push|failed to resolve source metadata for|failed to copy:|load metadata for|pushing \w+ for) "
    r"([^\s:,]+(?::\d+/)?[^\s,:]*)"
)
_REGISTRY_URL = r"https?://([^/\s\"]+)/v2/"


def registry_host(message: str, vertex: str) -> str | None:
    """The registry that refused, None when none did, empty when it can not be told which.

    The host of a token server is not the registry's: the image's name tells, in the message or in the vertex.
    """
    if not re.search(_REFUSED, message):
        return None
    for text in (message, vertex):
        url = re.search(_REGISTRY_URL, text)
        if url is not None:
            return url[1]
        image = re.search(_IMAGE, text)
        if image is not None:
            first, slash, _ = image[1].partition("/")
            return first if slash and (first == "localhost" or "." in first or ":" in first) else "docker.io"
    return "" if "token" in message or "authoriz" in message or "access denied" in message else None
