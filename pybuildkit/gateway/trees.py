"""The local directories of a build whose graphs are not known when it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread

from pybuildkit.errors import ConfigError
from pybuildkit.fsutil import FS, MemoryTree

if TYPE_CHECKING:
    from pybuildkit.llb import Definition

__all__ = ["ClientTrees"]


class ClientTrees:
    """Adds to what the session serves, as graphs come that read more.

    The session's shared key was made before (T19): the daemon would take two directories of one name, in two builds, for
    the same one and see only that sizes or times differ. So what comes later must have a name that is its own: one made
    from the directory's path, or that of a tree in memory, whose times come from the contents.

    Args:
        trees: what the session serves, by name; changed here, read in the session's thread.
    """

    def __init__(self, trees: dict[str, FS]) -> None:
        self._trees = trees

    async def offer(self, definition: Definition) -> None:
        """See ``Trees.offer``."""
        if definition.locals:
            await to_thread.run_sync(self._offer, definition)

    def _offer(self, definition: Definition) -> None:
        from pybuildkit.planning import graph_locals

        self._check_known(definition)
        for name, tree in graph_locals(definition, self._trees).items():
            if not self._own_name(name, definition.locals[name].source, tree):
                raise ConfigError(
                    f"the local directory {name!r} comes with a name of yours after the build has begun: give it with "
                    f"gateway(locals={{{name!r}: ...}}), or leave name= out"
                )
            self._trees[name] = tree

    @staticmethod
    def _own_name(name: str, source: object, tree: FS) -> bool:
        from pybuildkit.llb.nodes import local_name

        if isinstance(source, str):
            return name == local_name(source)
        return isinstance(tree, MemoryTree)

    def _check_known(self, definition: Definition) -> None:
        from pybuildkit.fsutil.coerce import as_tree

        for name, local in definition.locals.items():
            known = self._trees.get(name)
            if known is None or local.source is None or local.source is known:
                continue
            other = as_tree(local.source, f"local {name!r}")
            if isinstance(other, MemoryTree) or other.identity() != known.identity():
                raise ConfigError(
                    f"the local directory {name!r} stands for two different ones in this build; give one another name="
                )
