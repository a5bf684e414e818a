"""File actions: what ``state.file`` does in one op (L61 to L73).

Actions are chained, each on the result of the one before it::

    state.file(llb.mkdir("/app").copy(source, "/src", "/app/").mkfile("/app/version", b"1.4"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from pybuildkit.llb._steps import (
    Chown,
    Copy,
    CopyOptions,
    CreatedTime,
    Mkdir,
    MkdirOptions,
    Mkfile,
    OwnerOptions,
    Rm,
    RmOptions,
    Step,
    Symlink,
    check_options,
    check_state,
)

if TYPE_CHECKING:
    from pybuildkit.llb.state import State

__all__ = [
    "Chown",
    "CopyOptions",
    "CreatedTime",
    "FileAction",
    "FileResult",
    "MkdirOptions",
    "OwnerOptions",
    "RmOptions",
    "copy",
    "mkdir",
    "mkfile",
    "rm",
    "symlink",
]


class FileAction:
    """A chain of file actions. Never changed: every method gives a longer chain."""

    __slots__ = ("previous", "step")

    def __init__(self, step: Step, previous: FileAction | None = None) -> None:
        self.step = step
        self.previous = previous

    def mkdir(self, path: str, mode: int = 0o755, **options: Unpack[MkdirOptions]) -> FileAction:
        """Then make a directory; see ``llb.mkdir``."""
        return FileAction(mkdir(path, mode, **options).step, self)

    def mkfile(
        self, path: str, data: bytes | str = b"", mode: int = 0o644, **options: Unpack[OwnerOptions]
    ) -> FileAction:
        """Then make a file; see ``llb.mkfile``."""
        return FileAction(mkfile(path, data, mode, **options).step, self)

    def symlink(self, target: str, path: str, **options: Unpack[OwnerOptions]) -> FileAction:
        """Then make a symbolic link; see ``llb.symlink``."""
        return FileAction(symlink(target, path, **options).step, self)

    def rm(self, path: str, **options: Unpack[RmOptions]) -> FileAction:
        """Then remove; see ``llb.rm``."""
        return FileAction(rm(path, **options).step, self)

    def copy(
        self, source: State | FileResult, src: str = "/", dest: str = "/", **options: Unpack[CopyOptions]
    ) -> FileAction:
        """Then copy; see ``llb.copy``."""
        return FileAction(copy(source, src, dest, **options).step, self)

    def on(self, state: State) -> FileResult:
        """These actions applied to a state, for a copy in the same op to copy from (L66).

        Raises:
            DefinitionError: it is no state.
        """
        return FileResult(self, check_state(state, "state"))

    def steps(self) -> list[FileAction]:
        """The chain, first action first."""
        chain: list[FileAction] = []
        action: FileAction | None = self
        while action is not None:
            chain.append(action)
            action = action.previous
        chain.reverse()
        return chain

    def __repr__(self) -> str:
        names = [type(action.step).__name__.lower() for action in self.steps()]
        return f"<FileAction {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}>"


class FileResult:
    """The files that a chain of actions yields on a state, inside one op; from ``FileAction.on``."""

    __slots__ = ("action", "state")

    def __init__(self, action: FileAction, state: State) -> None:
        self.action = action
        self.state = state

    def __repr__(self) -> str:
        return f"<FileResult {self.action!r} on {self.state!r}>"


def mkdir(path: str, mode: int = 0o755, **options: Unpack[MkdirOptions]) -> FileAction:
    """Make a directory.

    Args:
        path: where; a relative one starts at the state's directory.
        mode: its permissions.
        options: see ``MkdirOptions``.

    Raises:
        DefinitionError: an argument is bad.
    """
    check_options(options, MkdirOptions, "mkdir")
    return FileAction(Mkdir(path, mode, options.get("parents", False), options))


def mkfile(
    path: str, data: bytes | str = b"", mode: int = 0o644, **options: Unpack[OwnerOptions]
) -> FileAction:
    """Make a file, or give an existing one new content.

    Args:
        path: where; a relative one starts at the state's directory.
        data: what is in it; a text is written in UTF-8.
        mode: its permissions.
        options: see ``OwnerOptions``.

    Raises:
        DefinitionError: an argument is bad.
    """
    check_options(options, OwnerOptions, "mkfile")
    return FileAction(Mkfile(path, data, mode, options))


def symlink(target: str, path: str, **options: Unpack[OwnerOptions]) -> FileAction:
    """Make a symbolic link. Both paths go to the daemon as they are: ``path`` starts at ``/`` (L63).

    Args:
        target: what it points to.
        path: where the link is.
        options: see ``OwnerOptions``.

    Raises:
        DefinitionError: an argument is bad.
    """
    check_options(options, OwnerOptions, "symlink")
    return FileAction(Symlink(target, path, options))


def rm(path: str, **options: Unpack[RmOptions]) -> FileAction:
    """Remove a file, or a directory with all that is in it.

    Args:
        path: what; a relative one starts at the state's directory.
        options: see ``RmOptions``.

    Raises:
        DefinitionError: an argument is bad.
    """
    check_options(options, RmOptions, "rm")
    return FileAction(Rm(path, options))


def copy(
    source: State | FileResult, src: str = "/", dest: str = "/", **options: Unpack[CopyOptions]
) -> FileAction:
    """Copy from a state, or from the result of other actions.

    Args:
        source: what to copy from: a state, or ``action.on(state)``.
        src: the path in the source; a relative one starts at the source's directory.
        dest: the path to copy to; with a ``/`` at its end it is a directory to copy into.
        options: see ``CopyOptions``.

    Raises:
        DefinitionError: an argument is bad.
    """
    check_options(options, CopyOptions, "copy")
    if not isinstance(source, FileResult):
        check_state(source, "copy source")
    return FileAction(Copy(source, src, dest, options))
