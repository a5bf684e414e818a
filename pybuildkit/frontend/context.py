"""Where a build reads from: a directory of the client, a git repository, a file behind a URL, a graph (V52, V58)."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from pybuildkit import csvattrs, llb
from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError
from pybuildkit.frontend.gitcontext import git_context, is_git
from pybuildkit.gateway import caps

if TYPE_CHECKING:
    from pybuildkit.frontend.request import Request
    from pybuildkit.gateway.gateway import Gateway

__all__ = ["Place", "find_place", "internal", "local_tree"]

_FETCHED = "context"
"""The name of a file that was fetched from a URL."""

_HEADER = 1024
"""Bytes that tell an archive from another file."""

_MAGIC = (b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\x00")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the main context and the main file are.

    Attributes:
        context: the main context, None for a directory of the client.
        main: what has the main file, None for a directory of the client.
        filename: the main file's name, empty when nothing says.
        context_local: the name of the client's directory with the context.
        main_local: the name of the client's directory with the main file.
    """

    context: llb.State | None
    main: llb.State | None
    filename: str
    context_local: str
    main_local: str


def internal(name: str) -> dict[str, str]:
    """The description of a step that belongs to the frontend and not to the build, as displays know it."""
    return {"llb.customname": f"[internal] {name}"}


def local_tree(
    request: Request,
    gateway: Gateway,
    name: str,
    shown: str,
    *,
    hint: str,
    only: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
) -> llb.State:
    """A directory of the client; a few files of it are compared with nothing that was there before."""
    return llb.local(
        name=name,
        session=request.sessions.get(name, gateway.session),
        follow_paths=only,
        exclude=exclude,
        shared_key_hint=hint,
        differ="none" if only else None,
        description={"llb.customname": shown},
    )


async def find_place(gateway: Gateway, request: Request) -> Place:
    """Find out where everything is.

    Raises:
        BuildError: the context can not be fetched.
        ConfigError: what the options say can not be.
    """
    options = request.options
    key = options.get("contextkey", "context")
    url = options.get(key, "")
    forced = options.get("dockerfilekey")
    filename = options.get("filename", "")
    context = main = None
    if is_git(url):
        keep = options.get("build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR")
        context = main = git_context(
            url,
            keep_git_dir=_is_true(keep),
            commit_times=bool(request.build_args.get("SOURCE_DATE_EPOCH")),
        )
    elif url.startswith(("http://", "https://")):
        context, fetched = await _fetched(gateway, url)
        main, filename = context, fetched or filename
    elif caps.FRONTEND_INPUTS in gateway.caps:
        inputs = await gateway.inputs()
        context = inputs.get("context")
        main = inputs.get(forced or "dockerfile")
    subdir = options.get("contextsubdir", "")
    if context is not None and subdir:
        context = llb.scratch().copy(context, subdir, "/", contents_only=True)
    return Place(context, None if forced else main, filename, "context", forced or "dockerfile")


async def _fetched(gateway: Gateway, url: str) -> tuple[llb.State, str]:
    """What a URL has: an archive's files, or a file, whose name then is the main file's."""
    file = llb.http(url, filename=_FETCHED, name="[internal] load remote build context")
    result = await gateway.solve(file)
    if _is_archive(await result.ref.read_file(_FETCHED, length=_HEADER)):
        return llb.scratch().copy(file, f"/{_FETCHED}", "/", unpack=True), ""
    return file, _FETCHED


def _is_archive(header: bytes) -> bool:
    if header.startswith(_MAGIC):
        return True
    try:
        with tarfile.open(fileobj=io.BytesIO(header), mode="r:") as tar:
            return tar.next() is not None
    except tarfile.TarError:
        return False


def _is_true(text: str | None) -> bool:
    try:
        return text is not None and csvattrs.parse_bool(text, what="BUILDKIT_CONTEXT_KEEP_GIT_DIR")
    except ConfigError:
        return False
