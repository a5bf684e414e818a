"""Git repositories as contexts: Docker's addresses, with what may stand in their query (V56, V58)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

from pybuildkit import csvattrs, llb
from pybuildkit.dockerfile.contexts import is_git
from pybuildkit.errors import ConfigError

__all__ = ["git_context", "is_git", "without_password"]

_FLAGS = {
    "keep-git-dir": "keep_git_dir",
    "submodules": "submodules",
    "fetch-by-commit": "fetch_by_commit",
}
_COMMIT = ("checksum", "commit")


def git_context(url: str, *, keep_git_dir: bool = False, commit_times: bool = False) -> llb.State:
    """The state of a git context.

    Args:
        url: as ``https://host/repo.git#ref:dir`` or ``git@host:repo.git?branch=main&subdir=dir``.
        keep_git_dir: keep ``.git``, whatever the address says.
        commit_times: files have the time of the commit, unless the address says otherwise.

    Raises:
        ConfigError: the query says what can not be.
        DefinitionError: the address is none.
    """
    rest, _, fragment = url.partition("#")
    address, _, query = rest.partition("?")
    fragment_ref, _, fragment_dir = fragment.partition(":")
    shown = without_password(url)
    asked = _query(query, shown)
    options: dict[str, Any] = {
        option: csvattrs.parse_bool(asked.pop(key) or "true", what=key)
        for key, option in _FLAGS.items()
        if key in asked
    }
    for key in _COMMIT:
        if key in asked:
            options["checksum"] = asked.pop(key)
    ref = _ref(asked, fragment_ref)
    subdir = _same("subdir", fragment_dir, asked.pop("subdir", ""))
    options["mtime"] = asked.pop("mtime", "commit" if commit_times else None)
    if asked:
        raise ConfigError(f"git context {shown!r}: the query {next(iter(asked))!r} is not known")
    options["keep_git_dir"] = options.get("keep_git_dir", False) or keep_git_dir
    return llb.git(address, ref, subdir=subdir, name=f"[internal] load git source {shown}", **options)


def without_password(url: str) -> str:
    """The address as it may be shown."""
    return re.sub(r"(://[^/?#@:]*:)[^/?#@]*@", r"\1***@", url)


def _query(text: str, url: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, values in parse_qs(text, keep_blank_values=True).items():
        if len(values) > 1:
            raise ConfigError(f"git context {url!r}: the query {key!r} is there {len(values)} times")
        if not values[0] and key not in _FLAGS:
            raise ConfigError(f"git context {url!r}: the query {key!r} has no value")
        found[key] = values[0]
    return found


def _ref(asked: dict[str, str], fragment: str) -> str:
    ref = _same("ref", fragment, asked.pop("ref", ""))
    if "tag" in asked and "branch" in asked:
        raise ConfigError("a git context has a tag or a branch, not both")
    for kind, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if kind in asked:
            ref = _same("ref", ref, prefix + asked.pop(kind).removeprefix(prefix))
    return ref


def _same(what: str, one: str, other: str) -> str:
    if one and other and one != other:
        raise ConfigError(f"a git context has two values of {what}: {one!r} and {other!r}")
    return one or other
