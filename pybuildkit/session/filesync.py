"""``moby.filesync.v1.FileSync``: sends the daemon the directories that a build reads (S21 to S58)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from pybuildkit._values import dataclass
from pybuildkit.errors import BuildKitError
from pybuildkit.fsutil.filter import Filter, merge_followed
from pybuildkit.fsutil.followpaths import follow_links
from pybuildkit.fsutil.send import CHUNK, Sender, SendProgress
from pybuildkit.fsutil.tree import FS
from pybuildkit.session.calls import (
    AsyncHandler,
    Call,
    CallMetadata,
    Code,
    Machine,
    MachineFactory,
    Status,
    StatusError,
)

__all__ = ["DIFF_COPY", "TAR_STREAM", "DirRequest", "FileSync", "ProgressFunc"]

DIFF_COPY = "/moby.filesync.v1.FileSync/DiffCopy"
TAR_STREAM = "/moby.filesync.v1.FileSync/TarStream"

ProgressFunc: TypeAlias = Callable[[str, SendProgress], object]
"""Told of a directory's name and what was sent of it so far; in the session's thread, so it must not wait."""

_REPORT_EVERY = 0.1
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # Go's strconv.ParseBool
_BAD_ESCAPE = r"%(?![0-9A-Fa-f]{2})"


@dataclass(frozen=True, slots=True)
class DirRequest:
    """What the daemon asks for (S23).

    Attributes:
        name: the directory's name in the build.
        includes: patterns of what is to be sent; none sends all.
        excludes: patterns of what is not.
        follow: paths that are to be sent with all links on the way and what they lead to.
    """

    name: str = ""
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()

    @classmethod
    def read(cls, metadata: CallMetadata) -> DirRequest:
        """Read the request's metadata (S23, S24)."""
        name = _values(metadata, "dir-name")
        return cls(
            name[0] if name else "",
            _values(metadata, "include-patterns"),
            _values(metadata, "exclude-patterns"),
            _values(metadata, "followpaths"),
        )

    def open(self, fs: FS) -> Sender:
        """Begin to send what is asked for of a tree.

        Raises:
            ConfigError: a pattern is wrong.
            TransferError: the tree can not be read.
        """
        tree = fs.open()
        try:
            followed = follow_links(tree, self.follow) if self.follow else None
            return Sender(tree, Filter(merge_followed(self.includes, followed), self.excludes))
        except BaseException:
            tree.close()
            raise


def _values(metadata: CallMetadata, key: str) -> tuple[str, ...]:
    """A key's values; all of them are escaped if one needed it (S24)."""
    values = tuple(metadata.get(key, ()))
    mark = metadata.get(f"{key}-encoded")
    return tuple(map(_unescape, values)) if mark and mark[0] in _TRUE else values


def _unescape(value: str) -> str:
    """Go's ``url.QueryUnescape``; a value with a bad escape is empty, as it is for Go's clients."""
    if re.search(_BAD_ESCAPE, value):
        return ""
    from urllib.parse import unquote_to_bytes  # a matter of start-up time

    return unquote_to_bytes(value.replace("+", " ")).decode(errors="surrogateescape")


class FileSync:
    """The directories of a session.

    Args:
        dirs: by the names they have in the build; or a function that knows them, called in the session's thread (S43).
        progress: told how far each transfer is, ten times a second at most, and at its end.

    Attributes:
        failed: names of directories that could not be sent, with the reason: the build's own error says less.
        transfers: each transfer that was begun, in order: the directory's name and what was sent.
    """

    def __init__(
        self, dirs: Mapping[str, FS] | Callable[[str], FS | None], *, progress: ProgressFunc | None = None
    ) -> None:
        self._find: Callable[[str], FS | None] = dirs.get if isinstance(dirs, Mapping) else dirs
        self._progress = progress
        self._missing: dict[str, None] = {}
        self.failed: dict[str, BuildKitError] = {}
        self.transfers: list[tuple[str, SendProgress]] = []

    @property
    def missing(self) -> tuple[str, ...]:
        """Names that were asked for and are not among the directories, in the order of the first asking (S25)."""
        return tuple(self._missing)

    @property
    def machines(self) -> Mapping[str, MachineFactory]:
        """See ``Service.machines``."""
        return {DIFF_COPY: self._diff_copy, TAR_STREAM: _refuse}

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {}

    def _diff_copy(self, call: Call) -> Machine:
        request = DirRequest.read(call.metadata)
        fs = self._find(request.name)
        if fs is None:
            self._missing[request.name] = None
            raise StatusError(Code.NOT_FOUND, f'no access allowed to dir "{request.name}"')
        try:
            sender = request.open(fs)
        except BuildKitError as exc:
            self.failed[request.name] = exc
            raise StatusError(Code.UNKNOWN, str(exc)) from exc
        self.transfers.append((request.name, sender.progress))
        return _DiffCopy(self, call, request.name, sender)

    def report(self, name: str, progress: SendProgress) -> None:
        """Tell the user's function, if there is one."""
        if self._progress is not None:
            self._progress(name, progress)


def _refuse(call: Call) -> Machine:
    """The daemon never uses TarStream, and Go's clients refuse it, too (S22)."""
    raise StatusError(Code.UNKNOWN, "failed to negotiate protocol")


class _DiffCopy:
    """One transfer; see ``Machine``."""

    def __init__(self, service: FileSync, call: Call, name: str, sender: Sender) -> None:
        self._service = service
        self._call = call
        self._name = name
        self._sender = sender
        self._next_report = 0.0
        self._ended = False

    def message(self, data: bytes) -> None:
        """A packet from the daemon."""
        self._sender.feed(data)

    def half_closed(self) -> None:
        """After FIN this is the usual end; before, the daemon has given up without a word."""
        if not self._sender.done:
            self._end(Status(Code.UNKNOWN, "the daemon ended the transfer before its FIN"))

    def pull(self) -> bool:
        """Send what there is room for."""
        sender = self._sender
        if self._ended:
            return False
        if sender.pending:
            self._call.send_framed(*sender.pull(max(1, min(self._call.room, CHUNK))))
        if not sender.done:
            now = time.monotonic()
            if now >= self._next_report:
                self._next_report = now + _REPORT_EVERY
                self._service.report(self._name, sender.progress)
            return sender.pending
        if sender.error is not None:
            self._service.failed[self._name] = sender.error
            self._end(Status(Code.UNKNOWN, str(sender.error)))
        elif sender.refusal is not None:
            self._end(Status(Code.UNKNOWN, f"error from receiver: {sender.refusal}"))  # S52
        else:
            self._end(Status())
        return False

    def _end(self, status: Status) -> None:
        self._ended = True
        self._call.finish(status)

    def closed(self) -> None:
        """The call is over."""
        self._ended = True
        self._sender.close()
        self._service.report(self._name, self._sender.progress)
