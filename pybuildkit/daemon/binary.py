"""Finding what a private daemon needs: buildkitd and an OCI runtime."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pybuildkit.errors import ConfigError, DaemonError

__all__ = [
    "BINARY_VARIABLE",
    "HOW_TO_GET_BUILDKITD",
    "HOW_TO_GET_RUNC",
    "MissingRequirement",
    "check_requirements",
    "find_buildkitd",
    "search_path",
]

BINARY_VARIABLE = "PYBUILDKIT_BUILDKITD"
"""Names the buildkitd binary to use."""

HOW_TO_GET_BUILDKITD = (
    "install buildkitd (BuildKit's release archive, or your distribution's package), put it on PATH or name it in "
    f"${BINARY_VARIABLE}; or set $BUILDKIT_HOST to a daemon that runs"
)
HOW_TO_GET_RUNC = "install runc (your distribution's package 'runc')"

# Service managers, cron and IDEs often hand down a PATH without these, and distributions put runc there.
_COMMON_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class MissingRequirement(DaemonError):
    """Nothing was started: this machine lacks something a private daemon needs."""


def find_buildkitd(
    binary: str | os.PathLike[str] | None = None, *, environ: Mapping[str, str] | None = None
) -> Path | None:
    """Find the buildkitd binary.

    The argument, else ``$PYBUILDKIT_BUILDKITD``, else the PATH and the usual folders.

    Args:
        binary: a path, or a name to look up.
        environ: the environment, ``os.environ`` by default.

    Returns:
        The binary's path; None when none is named and none is found.

    Raises:
        ConfigError: one is named, and is not an executable file.
    """
    environ = os.environ if environ is None else environ
    path = search_path(environ)
    for what, named in (("binary", binary), (f"${BINARY_VARIABLE}", environ.get(BINARY_VARIABLE))):
        if named:
            found = shutil.which(os.fspath(named), path=path)
            if found is None:
                raise ConfigError(f"{what} is {os.fspath(named)!r}, which is not an executable file")
            return Path(found).absolute()
    found = shutil.which("buildkitd", path=path)
    return Path(found).absolute() if found else None


def check_requirements(binary: Path | None, environ: Mapping[str, str], runtimes: Sequence[str]) -> Path:
    """See to it that a daemon can run here at all; the binary.

    Args:
        binary: what ``find_buildkitd`` found.
        environ: the environment the daemon will have.
        runtimes: names of OCI runtimes, one of which it needs.

    Raises:
        MissingRequirement: it can not.
    """
    if sys.platform != "linux":
        raise MissingRequirement(
            f"a private buildkitd runs on Linux only, not on {sys.platform}; set $BUILDKIT_HOST"
        )
    if binary is None:
        raise MissingRequirement(f"there is no buildkitd binary: {HOW_TO_GET_BUILDKITD}")
    if os.geteuid() != 0:
        raise MissingRequirement(
            f"a private buildkitd needs root, this is user {os.geteuid()} (rootless is not supported): "
            "run as root, or set $BUILDKIT_HOST to a daemon that runs"
        )
    if not any(shutil.which(name, path=environ["PATH"]) for name in runtimes):
        raise MissingRequirement(f"buildkitd needs {' or '.join(runtimes)}, not found: {HOW_TO_GET_RUNC}")
    return binary


def search_path(environ: Mapping[str, str], *first: Path) -> str:
    """A PATH for looking up, and for the daemon: folders that come first, the user's, the usual ones."""
    folders = [*map(str, first), *environ.get("PATH", "").split(os.pathsep), *_COMMON_FOLDERS]
    return os.pathsep.join(dict.fromkeys(folder for folder in folders if folder))
