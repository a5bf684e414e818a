"""Go's ``path`` package: paths in a definition are cleaned as Go does, whatever system this runs on."""

from __future__ import annotations

from functools import lru_cache

from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._encode import text

__all__ = ["clean", "join", "mount_target", "normalize"]


@lru_cache(maxsize=4096)
def clean(path: str) -> str:
    """``path.Clean``: no double slash, no ``.``, ``..`` resolved as far as it can be, ``.`` for nothing."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif parts and parts[-1] != "..":
            parts.pop()
        elif not rooted:
            parts.append("..")
    joined = "/".join(parts)
    return "/" + joined if rooted else joined or "."


def join(*parts: str) -> str:
    """``path.Join``: empty parts are skipped, the rest is joined and cleaned."""
    joined = "/".join(part for part in parts if part)
    return clean(joined) if joined else ""


def normalize(parent: str, path: str, *, keep_slash: bool = False) -> str:
    """A path of a file action, absolute (L70).

    Args:
        parent: the working directory that a relative path starts from.
        path: the path as the user wrote it.
        keep_slash: whether a trailing ``/`` or ``/.`` stays: it tells a copy that the target is a directory.
    """
    full = clean(path)
    if not full.startswith("/"):
        full = join("/", parent, full)
    if keep_slash:
        if path.endswith("/") and not full.endswith("/"):
            full += "/"
        elif path.endswith("/."):
            full = full + "." if full == "/" else full + "/."
    return full


@lru_cache(maxsize=4096)
def mount_target(target: str) -> tuple[bytes, str]:
    """A mount's target, encoded as the field ``Mount.dest``, and the path by which two targets are compared.

    Raises:
        DefinitionError: it is no absolute path.
    """
    encoded = text(target, "mount target")
    if not encoded.startswith(b"/") and not _is_windows_path(target):
        raise DefinitionError(f"mount target {target!r} is not absolute, start it with /")
    return b"\x1a" + varint(len(encoded)) + encoded, clean(target)


def _is_windows_path(path: str) -> bool:
    return len(path) > 2 and path[1] == ":" and path[0].isalpha() and path[2] in "/\\"
