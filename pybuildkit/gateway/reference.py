"""``Reference``: the files that a solve gave, to be looked into while the build goes on (V66)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pybuildkit.errors import BuildKitError, ConfigError, NotFound, RPCError
from pybuildkit.fsutil.stat import Stat, decode_stat
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway import caps
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.mounts import ResultMount

if TYPE_CHECKING:
    from pybuildkit.llb import Definition, State

__all__ = ["CHUNK", "Reference", "check_range", "missing_file"]

CHUNK = 8 << 20
"""Bytes of a file that one call asks for: a message holds 16 MiB (V76)."""


_NO_FILE = "no such file or directory"


class Reference:
    """The files that a solve gave. It lives as long as the gateway that made it.

    The daemon is lazy: a graph is run when something of its result is looked at, or by ``evaluate``; then the error of a
    failed step comes out of that call.

    Attributes:
        id: what the daemon calls it, within this build.
    """

    __slots__ = ("_bridge", "_definition", "id")

    def __init__(self, bridge: Bridge, id: str, definition: bytes) -> None:  # noqa: A002 - what it is called
        self._bridge = bridge
        self._definition = definition
        self.id = id

    @property
    def definition(self) -> Definition:
        """The graph that it comes from, as the daemon tells it.

        Raises:
            Unsupported: the daemon does not tell.
        """
        from pybuildkit.llb import Definition

        if not self._definition:
            self._bridge.check("Reference.definition", caps.REFERENCE_OUTPUT)
        return Definition.from_bytes(self._definition)

    def to_state(self) -> State:
        """A state to go on from, with these files; what has been built is not built again.

        Raises:
            Unsupported: the daemon does not tell which graph it comes from.
        """
        from pybuildkit import llb

        return llb.definition(self.definition)

    async def evaluate(self) -> None:
        """Run the graph now.

        Raises:
            BuildError: a step failed; the subclass says how.
        """
        bridge = self._bridge
        if caps.EVALUATE not in bridge.caps and caps.STAT_FILE in bridge.caps:
            await self.stat("/")
            return
        await bridge.call("Evaluate", p.text(1, self.id), caps.EVALUATE, what="evaluate()")

    async def read_file(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """A file's content. Links are followed, inside the tree; a large file is fetched in several calls.

        Args:
            path: the file.
            offset: the first byte.
            length: how many bytes at most; to the file's end by default.

        Raises:
            NotFound: there is no such file.
            BuildError: a step failed.
            RPCError: it is no regular file.
        """
        check_range(offset, length)
        parts = []
        left = length
        while left is None or left > 0:
            size = CHUNK if left is None else min(left, CHUNK)
            span = p.number(1, offset) + p.number(2, size)
            request = p.text(1, self.id) + p.text(2, path) + p.message(3, span)
            answer = await self._bridge.call(
                "ReadFile", request, caps.READ_FILE, what="read_file()", read=missing_file(path)
            )
            data = answer.blob(1)
            parts.append(data)
            if len(data) < size:
                break
            offset += size
            left = None if left is None else left - size
        return b"".join(parts)

    async def read_dir(self, path: str = "/", include: str = "") -> tuple[Stat, ...]:
        """What is in a directory, sorted by name; not what is in directories below it.

        Args:
            path: the directory. Links are followed, inside the tree.
            include: only entries that this pattern fits, as ``*.txt``.

        Raises:
            NotFound: there is no such directory.
            BuildError: a step failed.
        """
        request = p.text(1, self.id) + p.text(2, path) + p.text(3, include)
        answer = await self._bridge.call(
            "ReadDir", request, caps.READ_DIR, what="read_dir()", read=missing_file(path)
        )
        return tuple(decode_stat(entry) for entry in answer.blobs(1))

    async def stat(self, path: str) -> Stat:
        """What a path is: its type and mode, size, owner, time. Links are followed, inside the tree.

        Raises:
            NotFound: there is no such path.
            BuildError: a step failed.
        """
        request = p.text(1, self.id) + p.text(2, path)
        answer = await self._bridge.call(
            "StatFile", request, caps.STAT_FILE, what="stat()", read=missing_file(path)
        )
        return decode_stat(answer.blob(1))

    def mount(self, *, readonly: bool = False, selector: str = "") -> ResultMount:
        """These files as a mount of a container.

        Args:
            readonly: nothing can be written to them. What is written otherwise is in a copy.
            selector: the path inside that is mounted.
        """
        return ResultMount(self.id, readonly, selector)

    def encode(self, bridge: Bridge) -> bytes:
        """The message ``Ref``.

        Raises:
            ConfigError: it belongs to another build.
        """
        if bridge is not self._bridge:
            raise ConfigError(
                f"reference {self.id} belongs to another gateway build; solve its graph again: ref.to_state()"
            )
        return p.text(1, self.id)

    def __repr__(self) -> str:
        return f"<Reference {self.id}>"


def check_range(offset: int, length: int | None) -> None:
    """See whether a part of a file can be asked for.

    Raises:
        ConfigError: a number is negative.
    """
    if offset < 0 or (length is not None and length < 0):
        raise ConfigError(
            f"offset={offset} and length={length} can not be negative; leave length out to read to the end"
        )


def missing_file(path: str) -> Callable[[RPCError], BuildKitError | None]:
    """The daemon has no code for a missing file (T13), and its text may name a path of its own: read it, and say which."""

    def read(error: RPCError) -> BuildKitError | None:
        if error.code != "UNKNOWN" or not error.message.endswith(_NO_FILE):
            return None
        return NotFound(f"{path}: {_NO_FILE}", code="NOT_FOUND", method=error.method, details=error.details)

    return read
