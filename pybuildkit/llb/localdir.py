"""Folders of the client (L9, L42)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, Unpack

from pybuildkit.errors import DefinitionError
from pybuildkit.llb._caps import Cap
from pybuildkit.llb._encode import check_bool, check_text, go_json_texts, text
from pybuildkit.llb._frames import capture
from pybuildkit.llb.nodes import LocalNode
from pybuildkit.llb.options import CommonOptions, Constraints, constraints
from pybuildkit.llb.sources import state_of
from pybuildkit.llb.state import State
from pybuildkit.platforms import PlatformLike

__all__ = ["Differ", "local"]

Differ: TypeAlias = Literal["none", "metadata"]


class LocalOptions(CommonOptions, total=False):
    """Options of ``local``; its name in progress is ``description={"llb.customname": ...}``.

    Attributes:
        platform: the resulting state's platform.
    """

    platform: PlatformLike


def local(
    source: str | os.PathLike[str] | object | None = None,
    *,
    name: str = "",
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    follow_paths: Iterable[str] = (),
    shared_key_hint: str | None = None,
    differ: Differ | None = None,
    differ_required: bool = False,
    metadata_only: bool | Iterable[str] = False,
    session: str = "",
    unique_id: str = "",
    **options: Unpack[LocalOptions],
) -> State:
    """A folder of the client (L9, L42).

    The client that solves the graph syncs it; nothing needs to be said twice. What was synced before stays in
    the daemon, for the next build of the same folder with the same patterns.

    Args:
        source: the folder, or a tree of files made in memory. A relative path starts at the directory in
            which the graph is solved. Without it, ``name`` is what ``solve(locals=...)`` gives.
        name: its name in the build; made from the folder when not given.
        include: patterns; only what matches one is synced.
        exclude: patterns, as in ``.dockerignore``; what matches one is not synced.
        follow_paths: symlinks whose targets are synced too.
        shared_key_hint: tells apart what the daemon keeps of one name; made from the patterns when not given.
        differ: how the daemon finds out what has changed: ``metadata`` compares size, time and so on,
            ``none`` sends all.
        differ_required: fail on a daemon that can not choose.
        metadata_only: sync the tree without content; patterns name the files whose content is synced all the
            same.
        session: the session that has the folder, empty for any of the build.
        unique_id: what tells it from a folder of the same name in another build; the marshal's when not
            given.
        options: see ``LocalOptions``.

    Raises:
        DefinitionError: there is neither folder nor name, or another argument is bad.
    """
    made = constraints(options, platform=True, where="local")
    folder, made_name = _local_source(source)
    lists = {
        "local.includepattern": (go_json_texts(include, "include pattern"), Cap.LOCAL_INCLUDE),
        "local.excludepatterns": (go_json_texts(exclude, "exclude pattern"), Cap.LOCAL_EXCLUDE),
        "local.followpaths": (go_json_texts(follow_paths, "follow path"), Cap.LOCAL_FOLLOW_PATHS),
    }
    attrs = {key: value for key, (value, _) in lists.items() if value}
    caps = Cap.LOCAL
    for value, bit in lists.values():
        caps |= bit if value else 0
    if shared_key_hint is None:
        shared_key_hint = _patterns_hint(attrs) if folder is not None else ""
    if text(shared_key_hint, "shared_key_hint"):
        attrs["local.sharedkeyhint"] = shared_key_hint.encode()
        caps |= Cap.LOCAL_SHARED_KEY_HINT
    if text(session, "session"):
        attrs["local.session"] = session.encode()
        caps |= Cap.LOCAL_SESSION_ID
    if differ is not None:
        if differ not in ("none", "metadata"):
            raise DefinitionError(f"differ {differ!r} does not exist, there are none, metadata")
        attrs["local.differ"] = differ.encode()
        caps |= Cap.LOCAL_DIFFER if check_bool(differ_required, "differ_required") else 0
    if metadata_only is not False:
        attrs["local.metadatatransfer"] = b"true"
        caps |= Cap.LOCAL_METADATA_TRANSFER
        if metadata_only is not True and (found := go_json_texts(metadata_only, "metadata_only pattern")):
            attrs["local.metadatatransferexclude"] = found
    if text(unique_id, "unique_id"):
        made = made or Constraints()
        made.unique_id = unique_id
    name = check_text(name, "local name", empty=isinstance(folder, str) or bool(made_name)) or made_name
    return state_of(LocalNode(name, folder, attrs, caps, made, capture()))


def _local_source(source: object) -> tuple[object, str]:
    """What is synced, a path as a text, and a name if it has one of its own."""
    if source is None:
        return None, ""
    if not isinstance(source, str | os.PathLike):
        return source, str(getattr(source, "name", "") or "tree")
    given = os.fspath(source)
    if not isinstance(given, str):
        raise DefinitionError(f"local folder {source!r} is not a str path")
    return check_text(given, "local folder"), ""


def _patterns_hint(attrs: Mapping[str, bytes]) -> str:
    """Different patterns on one folder, kept apart: else each sync would undo the one before (T19)."""
    if not attrs:
        return ""
    hashed = hashlib.sha256(repr(sorted(attrs.items())).encode())
    return hashed.hexdigest()[:12]
