"""``State``: a file system that some operations yield, with the settings for commands that will run in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack

from pybuildkit._values import dataclass, replace
from pybuildkit.errors import DefinitionError
from pybuildkit.llb import files
from pybuildkit.llb._combined import PassthroughNode
from pybuildkit.llb._encode import check_text
from pybuildkit.llb._frames import capture
from pybuildkit.llb._steps import check_state
from pybuildkit.llb.configure import Configure
from pybuildkit.llb.exec import ExecNode
from pybuildkit.llb.fileop import FileNode
from pybuildkit.llb.files import FileAction, FileResult
from pybuildkit.llb.mounts import BindMount, ContentCache, Mount, SecretMount, SSHMount
from pybuildkit.llb.nodes import Deferred, LazyValues, Node, Output
from pybuildkit.llb.options import Constraints, OpOptions, PlatformOptions, constraints, lay_over
from pybuildkit.llb.run import RUN_OPTIONS, RunOptions, make_exec
from pybuildkit.llb.values import EMPTY, Values
from pybuildkit.platforms import Platform

if TYPE_CHECKING:
    from pybuildkit.llb.caps import CapSet
    from pybuildkit.llb.definitions import Definition
    from pybuildkit.llb.resolve import AsyncImageResolver, ImageResolver

__all__ = ["Run", "State", "scratch"]

P = ParamSpec("P")
R = TypeVar("R")


class _RunOptions(RunOptions, PlatformOptions, total=False):
    """Options of ``State.run``."""


class _CopyOptions(files.CopyOptions, OpOptions, total=False):
    """Options of ``State.copy``."""


class _MkdirOptions(files.MkdirOptions, OpOptions, total=False):
    """Options of ``State.mkdir``."""


class _OwnerOptions(files.OwnerOptions, OpOptions, total=False):
    """Options of ``State.mkfile`` and ``State.symlink``."""


class _RmOptions(files.RmOptions, OpOptions, total=False):
    """Options of ``State.rm``."""


_OP_OPTIONS = frozenset(OpOptions.__annotations__)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class State(Configure):
    """A file system that some operations yield, with the settings for commands that will run in it.

    A state is a value: it never changes, every method gives a new one. Nothing happens before a graph is
    solved. Two states are equal only when they are the same object.

    Attributes:
        output: the output that holds the files, None for an empty file system.
        settings: environment, directory, user and the rest; ``config()`` reads them.
        defaults: options of ``marshal`` for this very state.
    """

    output: Output | None
    settings: Values | LazyValues = EMPTY
    defaults: Mapping[str, Any] | None = None

    def _change(self, kind: str, value: Any) -> State:
        return State(self.output, self.settings.change(kind, value))

    def _change_all(self, changes: Iterable[tuple[str, Any]]) -> State:
        settings = self.settings
        for kind, value in changes:
            settings = settings.change(kind, value)
        return State(self.output, settings)

    def reset(self, other: State) -> State:
        """These files, with the settings of another state; the directory starts at ``/`` again (L30)."""
        own = self.output[0].output_platform() if self.output is not None else None
        settings = check_state(other, "state").settings
        return State(self.output, settings.change("reset", own.normalized() if own is not None else None))

    def with_defaults(self, **options: Unpack[PlatformOptions]) -> State:
        """Set options for ``marshal``, of this very state: what is made from it does not have them (L19)."""
        constraints(options, platform=True, where="with_defaults")
        return replace(self, defaults=dict(options))

    def pipe(self, function: Callable[Concatenate[State, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """``function(self, *args, **kwargs)``, for functions of yours in a chain of methods."""
        return function(self, *args, **kwargs)

    def run(
        self,
        command: str | Sequence[str],
        *,
        mounts: Mapping[str, Mount] | None = None,
        env: Mapping[str, str | SecretMount] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        secrets: Iterable[str] = (),
        ssh: bool | str | Iterable[str | SSHMount] = False,
        readonly_root: bool = False,
        shell: Sequence[str] = ("/bin/sh", "-c"),
        **options: Unpack[_RunOptions],
    ) -> Run:
        """Run a command with these files as its root.

        Args:
            command: a line for the shell, or a list of arguments that is run as it is.
            mounts: what is mounted where: a state, or what ``state.mount``, ``cache``, ``tmpfs``, ``secret``
                or ``ssh`` give. A writable state is read back as ``run[target]``.
            env: more variables, for this command only; a value can be a ``secret(...)``.
            cwd: another working directory, for this command only.
            user: another user, for this command only.
            secrets: ids of secrets, each a file in ``/run/secrets``.
            ssh: an SSH agent of the client: True for the default one, an id, or several.
            readonly_root: nothing can be written to the root. The result's files then are this state's own,
                and the command runs only when a mount of it is read back (L52).
            shell: what runs a line, in front of the line.
            options: see ``RunOptions`` and ``PlatformOptions``.

        Returns:
            The root after the command, with this state's settings; ``run[target]`` is a mount's result.

        Raises:
            DefinitionError: an argument is bad.
        """
        mine, made = _split(options, "run") if options else ({}, None)
        node = make_exec(
            self, command, made, capture(), mounts=mounts, env=env, cwd=cwd, user=user, secrets=secrets, ssh=ssh,
            readonly_root=readonly_root, shell=shell, **mine,
        )  # fmt: skip
        output: Output | None = (node, 0)
        own = made.platform if made is not None else None
        if readonly_root:
            # What goes on is the output before the command, and its own platform with it (L52).
            output = self.output
            own = output[0].output_platform() if output is not None else None
        settings = self.settings if own is None else self.settings.change("platform", own.normalized())
        return Run(output, settings, None, node)

    def mount(
        self,
        *,
        readonly: bool = False,
        selector: str = "",
        output: bool = True,
        content_cache: ContentCache = "default",
    ) -> BindMount:
        """These files as a mount for ``run(mounts=...)``, when it is not just the state.

        Args:
            readonly: nothing can be written to it, and nothing is read back.
            selector: the path inside the state that is mounted.
            output: False when what is written shall not be read back.
            content_cache: whether the daemon finds cached results by the files' content.

        Raises:
            DefinitionError: an argument is bad.
        """
        return BindMount(self, readonly, selector, output, content_cache)

    def file(self, action: FileAction, **options: Unpack[OpOptions]) -> State:
        """Do a chain of file actions in one op, made with ``llb.mkdir``, ``llb.copy`` and so on.

        Raises:
            DefinitionError: it is no chain of actions.
        """
        if not isinstance(action, FileAction):
            raise DefinitionError(
                f"action {action!r} is a {type(action).__name__}, give llb.mkdir(...), llb.copy(...), ..."
            )
        made = constraints(options, where="file") if options else None
        return State((FileNode(self, action, made, capture()), 0), self.settings)

    def copy(
        self, source: State | FileResult, src: str = "/", dest: str = "/", **options: Unpack[_CopyOptions]
    ) -> State:
        """Copy from another state; see ``llb.copy``."""
        mine, rest = _take(options)
        return self.file(files.copy(source, src, dest, **mine), **rest)

    def mkdir(self, path: str, mode: int = 0o755, **options: Unpack[_MkdirOptions]) -> State:
        """Make a directory; see ``llb.mkdir``."""
        mine, rest = _take(options)
        return self.file(files.mkdir(path, mode, **mine), **rest)

    def mkfile(
        self, path: str, data: bytes | str = b"", mode: int = 0o644, **options: Unpack[_OwnerOptions]
    ) -> State:
        """Make a file; see ``llb.mkfile``."""
        mine, rest = _take(options)
        return self.file(files.mkfile(path, data, mode, **mine), **rest)

    def symlink(self, target: str, path: str, **options: Unpack[_OwnerOptions]) -> State:
        """Make a symbolic link; see ``llb.symlink``."""
        mine, rest = _take(options)
        return self.file(files.symlink(target, path, **mine), **rest)

    def rm(self, path: str, **options: Unpack[_RmOptions]) -> State:
        """Remove a file or a directory; see ``llb.rm``."""
        mine, rest = _take(options)
        return self.file(files.rm(path, **mine), **rest)

    def requires(self, id: str, *others: State) -> State:  # noqa: A002 - the field's own name
        """These files, once other states have been built too (L12).

        Args:
            id: a name for the requirement, part of its cache key.
            others: what must have been built; nothing of it is in the result.

        Raises:
            DefinitionError: there is no id, one of the others is no state, or this state is empty.
        """
        check_text(id, "requirement id")
        inputs = [
            output for other in others if (output := check_state(other, "requirement").output) is not None
        ]
        if not others:
            return self
        if self.output is None:
            raise DefinitionError(
                f"an empty state can not require {id!r}, there is nothing of it to wait with"
            )
        return State((PassthroughNode(id, [self.output, *inputs], [0], None, capture()), 0), self.settings)

    def defer(self, function: Callable[[State, Platform], State]) -> State:
        """A state that a function makes when the graph is marshalled (L19).

        Args:
            function: called with this state and the marshal's platform, once in each marshal.

        Raises:
            DefinitionError: it is not callable. When marshalled: it gives no state, or one that needs its own
                result.
        """
        if not callable(function):
            raise DefinitionError(
                f"function {function!r} is a {type(function).__name__}, give a function of a state"
            )
        node = Deferred(lambda m: function(self, m.default_platform), capture())
        return State((node, 0), LazyValues(node))

    def marshal(
        self,
        *,
        resolver: ImageResolver | None = None,
        caps: CapSet | None = None,
        unique_id: str = "",
        source_map: bool = True,
        **options: Unpack[PlatformOptions],
    ) -> Definition:
        """The graph as the daemon takes it.

        Python files that made the graph are read, for the lines that errors show.

        Args:
            resolver: looks up the configuration of images with ``resolve=True``.
            caps: what the daemon can do; without it, the usual set is assumed.
            unique_id: what tells this build's local folders from another one's; random by default.
            source_map: whether the definition says which Python line made which op.
            options: options for every op; see ``PlatformOptions``.

        Raises:
            DefinitionError: the graph can not work.
        """
        from pybuildkit.llb.marshal import Marshaler

        made = constraints(lay_over(self.defaults, options), platform=True, where="marshal")
        return Marshaler(made, resolver=resolver, caps=caps, unique_id=unique_id, frames=source_map).marshal(
            self
        )

    async def marshal_async(
        self,
        resolver: AsyncImageResolver,
        *,
        caps: CapSet | None = None,
        unique_id: str = "",
        source_map: bool = True,
        **options: Unpack[PlatformOptions],
    ) -> Definition:
        """As ``marshal``, with a resolver that has to wait: all images are asked for at once.

        The rest is done in a thread, functions of deferred states included.
        """
        from anyio import to_thread

        from pybuildkit.llb.resolve import resolve_all

        known = await resolve_all(self, resolver, lay_over(self.defaults, options))
        return await to_thread.run_sync(
            lambda: self.marshal(
                resolver=known, caps=caps, unique_id=unique_id, source_map=source_map, **options
            )
        )

    def validate(self, **options: Unpack[PlatformOptions]) -> None:
        """Marshal, and check the definition.

        Raises:
            DefinitionError: the graph can not work; the text names every problem.
        """
        self.marshal(source_map=False, **options).validate()

    def to_dot(self, **options: Unpack[PlatformOptions]) -> str:
        """The graph for Graphviz."""
        return self.marshal(**options).to_dot()

    def to_json(self, **options: Unpack[PlatformOptions]) -> str:
        """The graph as JSON, one op in a line."""
        return self.marshal(**options).to_json()

    def __copy__(self) -> State:
        return self

    def __deepcopy__(self, memo: object) -> State:
        return self

    def __repr__(self) -> str:
        what = "scratch" if self.output is None else _label(*self.output)
        return f"<{type(self).__name__} {what}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Run(State):
    """A command's result: the root after it, and with ``run[target]`` what it left in a writable mount."""

    exec: ExecNode | None = None

    def __getitem__(self, target: str) -> State:
        """A writable mount after the command, with the settings of the state that was mounted.

        Raises:
            DefinitionError: nothing writable is mounted there; the text lists what is.
        """
        assert self.exec is not None
        found = self.exec.mount_at(target)
        assert found.state is not None
        settings = found.state.settings
        if (platform := self.exec.output_platform()) is not None:
            settings = settings.change("platform", platform.normalized())
        return State((self.exec, found.index), settings)


def scratch() -> State:
    """An empty file system (L1)."""
    return State(None)


def _label(node: Node, index: int) -> str:
    label = node.label()
    short = label if len(label) <= 60 else label[:57] + "..."
    return f"{short} [{index}]" if index else short


def _take(options: Mapping[str, Any]) -> tuple[Any, Any]:
    """Options of an action, and of its op."""
    mine = {name: value for name, value in options.items() if name not in _OP_OPTIONS}
    return mine, {name: value for name, value in options.items() if name in _OP_OPTIONS}


def _split(options: Mapping[str, Any], where: str) -> tuple[Any, Constraints | None]:
    """Options of a command, and of its op."""
    mine = {name: value for name, value in options.items() if name in RUN_OPTIONS}
    rest = {name: value for name, value in options.items() if name not in RUN_OPTIONS}
    return mine, constraints(rest, platform=True, where=where)
