"""Where a Dockerfile build reads from: the main context, the Dockerfile, and named contexts (V55 to V58)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError
from pybuildkit.fsutil.coerce import as_tree
from pybuildkit.references import Reference

if TYPE_CHECKING:
    from pathlib import Path

    from pybuildkit.fsutil import FS

__all__ = [
    "Context",
    "DockerfileSource",
    "Gathered",
    "add_context",
    "add_named_context",
    "is_git",
    "is_remote",
]

Context: TypeAlias = "str | os.PathLike[str] | FS"
"""A directory, a URL of a git repository or archive, or a tree that is not on disk."""

DockerfileSource: TypeAlias = "str | os.PathLike[str] | bytes | None"
"""A Dockerfile's path, or its text."""

DOCKERFILE = "Dockerfile"
IGNORE_FILE = ".dockerignore"

_HTTP = ("http://", "https://")
# Compiled when first used, which is a matter of start-up time; the re module keeps them.
_AUTHORITY = r"(?:[^/?#]*@)?(?:[^/?#@:]*|[^/?#@]*:\d*)"
_SCP = r"[\w-]+@[a-zA-Z0-9.-]+:"
_GIT = rf"(?a:(?i:git|ssh)://{_AUTHORITY}(?:[/?#]|$)|github\.com/|{_SCP})"
_GIT_OVER_HTTP = rf"(?i:https?)://{_AUTHORITY}/[^?#]*\.git(?:[?#]|$)"
_GIT_SSH = rf"(?a:(?i:ssh)://|{_SCP})"
_LAYOUT = r"(?a:oci-layout://(?P<path>.+?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>\w+:\w+))?)"

_MAX_DOCKERFILE = 2 << 20


@dataclass(slots=True)
class Gathered:
    """What contexts add to a request.

    Attributes:
        attrs: frontend attributes.
        locals: trees, by the name under which the daemon asks for them.
        oci_layouts: directories with OCI layouts, by store id.
        caps: capabilities that the frontend must have (V59).
        wants_ssh: a context is a git repository over SSH.
    """

    attrs: dict[str, str] = field(default_factory=dict)
    locals: dict[str, FS] = field(default_factory=dict)
    oci_layouts: dict[str, Path] = field(default_factory=dict)
    caps: set[str] = field(default_factory=set)
    wants_ssh: bool = False

    def add_url(self, key: str, url: str) -> None:
        """A context that the daemon fetches itself."""
        self.attrs[key] = url
        self.wants_ssh = self.wants_ssh or bool(re.match(_GIT_SSH, url))
        if is_git(url) and "?" in url:
            suffix = "" if key == "context" else "+forward"
            self.caps.add(f"moby.buildkit.frontend.gitquerystring{suffix}")


def is_git(text: str) -> bool:
    """Whether the frontend would take the text for a git repository."""
    return _may_be_url(text) and bool(re.match(_GIT, text) or re.match(_GIT_OVER_HTTP, text))


def is_remote(text: str) -> bool:
    """Whether the text is a URL that the daemon fetches, and not a path here."""
    return text.startswith(_HTTP) or is_git(text)


def _may_be_url(text: str) -> bool:
    """False for most paths, without a look closer."""
    return ":" in text or text.startswith("github.com/")


def add_context(into: Gathered, context: Context, file: DockerfileSource) -> None:
    """Add the main context and the Dockerfile.

    A relative ``file`` is looked for from the working directory; with a URL or a tree in memory it is a path
    inside of that.

    Raises:
        ConfigError: the directory or the Dockerfile is not there, or can not be read.
    """
    if isinstance(file, str) and file.startswith(_HTTP):
        raise ConfigError(f"file={file!r}: a URL can not be the Dockerfile, only the context; fetch it first")
    if isinstance(context, str) and is_remote(context) and not os.path.isdir(context):
        into.add_url("context", context)
        _add_remote_dockerfile(into, file)
        return
    tree = as_tree(context, "the build context")
    into.locals["context"] = tree
    if isinstance(context, str | os.PathLike):
        _add_local_dockerfile(into, os.path.expanduser(context), file)
    elif file is None or (isinstance(file, str | os.PathLike) and not os.path.isabs(file)):
        into.locals["dockerfile"] = tree
        if file is not None:
            into.attrs["filename"] = os.fspath(file)
    else:
        _add_given_dockerfile(into, file)


def _add_remote_dockerfile(into: Gathered, file: DockerfileSource) -> None:
    if file is None:
        return
    if isinstance(file, bytes) or os.path.isabs(file):
        # Without this key the frontend looks into the remote context.
        into.attrs["dockerfilekey"] = "dockerfile"
        _add_given_dockerfile(into, file)
    else:
        into.attrs["filename"] = os.fspath(file)


def _add_local_dockerfile(into: Gathered, directory: str, file: DockerfileSource) -> None:
    if file is not None:
        _add_given_dockerfile(into, file, directory)
        _check_ignore_file(os.path.join(directory, IGNORE_FILE))
        return
    # The frontend itself takes the lower-case name when there is no other.
    candidates = [os.path.join(directory, name) for name in (DOCKERFILE, DOCKERFILE.lower())]
    found = next((path for path in candidates if os.path.lexists(path)), None)
    if found is None:
        raise ConfigError(
            f"there is no Dockerfile at {candidates[0]!r}; name it with file=, or build another directory"
        )
    real = _outside(found)
    if real is None:
        _check_dockerfile(found)
        into.locals["dockerfile"] = into.locals["context"]
        _check_ignore_files(found)
    else:
        _add_given_dockerfile(into, real, directory)
    _check_ignore_file(os.path.join(directory, IGNORE_FILE))


def _add_given_dockerfile(
    into: Gathered, file: str | os.PathLike[str] | bytes, context: str | None = None
) -> None:
    """A Dockerfile that need not be in the context: its directory is a tree of its own."""
    from pybuildkit.fsutil import Directory, MemoryTree

    if isinstance(file, bytes):
        into.locals["dockerfile"] = MemoryTree({DOCKERFILE: file})
        return
    path = os.path.expanduser(file)
    mode = _check_dockerfile(path, context)
    if not stat.S_ISREG(mode):
        # A pipe, as of the shell's <(command): it can be read once, and only here.
        into.locals["dockerfile"] = MemoryTree({DOCKERFILE: _read_pipe(path)})
        return
    path = _outside(path) or path
    _check_ignore_files(path)
    parent, name = os.path.split(path)
    into.locals["dockerfile"] = Directory(parent or ".")
    if name != DOCKERFILE:
        into.attrs["filename"] = name


def _outside(path: str) -> str | None:
    """What a link leads to, when that is in another directory: the frontend could not follow it there."""
    if not os.path.islink(path):
        return None
    real = os.path.realpath(path)
    return real if os.path.dirname(real) != os.path.realpath(os.path.dirname(path) or ".") else None


def _check_dockerfile(path: str, context: str | None = None) -> int:
    """The file's mode.

    Raises:
        ConfigError: it is not there, or can not be read.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as exc:
        inside = os.path.join(context, path) if context is not None else None
        hint = (
            f"; {inside!r} is there: paths are taken from the working directory, not from the context"
            if inside is not None and not os.path.isabs(path) and os.path.isfile(inside)
            else "; name it with file="
        )
        raise ConfigError(f"the Dockerfile {path!r} can not be used: {exc.strerror}{hint}") from exc
    if stat.S_ISDIR(mode):
        raise ConfigError(f"the Dockerfile {path!r} is a directory; name the file in it")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"the Dockerfile {path!r} can not be read: Permission denied")
    return mode


def _read_pipe(path: str) -> bytes:
    with open(path, "rb") as stream:
        data = stream.read(_MAX_DOCKERFILE + 1)
    if len(data) > _MAX_DOCKERFILE:
        raise ConfigError(f"the Dockerfile from {path!r} has more than {_MAX_DOCKERFILE:,} bytes")
    return data


def _check_ignore_files(dockerfile: str) -> None:
    _check_ignore_file(f"{dockerfile}{IGNORE_FILE}")


def _check_ignore_file(path: str) -> None:
    """Find an ignore file that can not be read: the frontend would take it for an empty one (X9, S40).

    Raises:
        ConfigError: it is there and can not be read.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise ConfigError(f"{path!r} can not be read: {exc.strerror}; nothing would be left out") from exc
    if not stat.S_ISREG(mode) or not os.access(path, os.R_OK):
        raise ConfigError(
            f"{path!r} can not be read; nothing would be left out: make it readable or remove it"
        )


def add_named_context(into: Gathered, name: str, source: Context) -> None:
    """Add a named context: what ``FROM name`` and ``COPY --from=name`` then mean.

    Raises:
        ConfigError: the name can not be one, or the source is not there.
    """
    name, colons, platform = name.partition("::")
    key = f"context:{_context_name(name)}{colons}{platform}"
    into.caps.add("moby.buildkit.frontend.contexts+forward")
    if isinstance(source, str) and _add_by_scheme(into, key, name, source):
        return
    local = key.removeprefix("context:")
    if local in {"context", "dockerfile"}:
        local = f"_{local}"
    tree = as_tree(source, f"the context {name!r}")
    if isinstance(source, str | os.PathLike):
        _check_ignore_file(os.path.join(os.path.expanduser(source), IGNORE_FILE))
    into.locals[local] = tree
    into.attrs[key] = f"local:{local}"
    # T19: builds that give the same name to different directories must not share what the daemon keeps of it.
    import hashlib  # a matter of start-up time

    identity = hashlib.sha256(tree.identity().encode(errors="surrogateescape")).hexdigest()
    into.attrs[f"sharedkey:localdir:{key.removeprefix('context:')}"] = identity[:32]


def _context_name(name: str) -> str:
    """The name as the frontend looks it up: that of an image, without the default registry and tag."""
    try:
        ref = Reference.parse(name)
    except ConfigError as exc:
        raise ConfigError(f"the name of a context is that of a stage or an image: {exc}") from None
    return ref.familiar.removesuffix(":latest")


def _add_by_scheme(into: Gathered, key: str, name: str, source: str) -> bool:
    """Contexts that are no directory; False when it looks like one."""
    if source.startswith("docker-image://"):
        image = source.removeprefix("docker-image://")
        if image != "scratch":
            Reference.parse(image)
        into.attrs[key] = source
    elif source.startswith("oci-layout://"):
        into.attrs[key] = _add_layout(into, name, source)
    elif source.startswith(("input:", "local:")):
        into.attrs[key] = source
    elif source.startswith("target:"):
        raise ConfigError(
            f"the context {name!r}: {source!r} is a target of a bake file; a single build has none"
        )
    elif is_remote(source) and not os.path.isdir(source):
        into.add_url(key, source)
    else:
        return False
    return True


def _add_layout(into: Gathered, name: str, source: str) -> str:
    """An OCI layout here, of which the daemon is told the digest: it does not read the index (V56)."""
    match = re.fullmatch(_LAYOUT, source)
    if match is None:
        raise ConfigError(
            f"the context {name!r}: write oci-layout://DIRECTORY[:TAG][@DIGEST], not {source!r}"
        )
    from pathlib import Path

    path = Path(match["path"]).expanduser()
    digest = match["digest"] or _layout_digest(path, match["tag"] or "latest", f"the context {name!r}")
    import hashlib

    store = "layout-" + hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:24]
    into.oci_layouts[store] = path
    tag = f":{match['tag']}" if match["tag"] else ""
    reference = f"{store}{tag}@{digest}"
    Reference.parse(reference)
    return f"oci-layout://{reference}"


def _layout_digest(path: Path, tag: str, what: str) -> str:
    from pybuildkit.content.ociindex import OCIIndex
    from pybuildkit.errors import ContentError

    index = OCIIndex(path)
    try:
        found = index.get(tag) or index.single()
    except ContentError as exc:
        raise ConfigError(f"{what}: {str(path)!r} can not be read as an OCI layout: {exc}") from exc
    if found is None:
        raise ConfigError(
            f"{what}: the OCI layout {str(path)!r} has no image with the tag {tag!r}; name one, or a digest"
        )
    return found.digest


def add_named_contexts(into: Gathered, contexts: Mapping[str, Context]) -> None:
    """Add several; see ``add_named_context``."""
    for name, source in contexts.items():
        add_named_context(into, name, source)
