"""The folders and files of one private daemon."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from pybuildkit._values import dataclass
from pybuildkit.errors import DaemonError

__all__ = ["Places"]

_PREFIX = "pybuildkit-"
_SOCKET = "buildkitd.sock"

_SOCKET_PATH_LIMIT = 104
"""The longest path of a socket that buildkitd listens on, in bytes: three less than Linux takes."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where one private daemon's things are.

    Attributes:
        run: a folder that only this user may enter, for sockets; gone at the end.
        root: the daemon's state.
        root_is_kept: it was given by the user.
    """

    run: Path
    root: Path
    root_is_kept: bool

    @classmethod
    def nowhere(cls) -> Places:
        """Names without folders, to try a configuration."""
        return cls(Path("/"), Path("/"), root_is_kept=True)

    @classmethod
    def make(cls, root: Path | None) -> Places:
        """Make the folders.

        Args:
            root: the user's folder for the state; None for one below the run folder.

        Raises:
            DaemonError: a folder can not be made.
        """
        try:
            run = _run_folder()
        except OSError as exc:
            raise DaemonError(f"a temporary folder for the daemon can not be made: {exc}") from exc
        places = cls(run, root or run / "root", root_is_kept=root is not None)
        try:
            places.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What a daemon that was killed has left in a kept root.
            shutil.rmtree(places.scratch, ignore_errors=True)
            places.scratch.mkdir(mode=0o700)
        except OSError as exc:
            places.discard()
            raise DaemonError(f"the daemon's root {str(places.root)!r} can not be used: {exc}") from exc
        return places

    @property
    def socket(self) -> Path:
        """The private socket it always listens on."""
        return self.run / _SOCKET

    @property
    def trace_socket(self) -> Path:
        """Where builds hand in their traces."""
        return self.run / "trace.sock"

    @property
    def scratch(self) -> Path:
        """The daemon's TMPDIR: on the root's disk, so that nothing of it is left in ``/tmp``."""
        return self.root / "tmp"

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.root / "buildkitd.toml"

    @property
    def cgroup(self) -> str:
        """The parent of all its containers' cgroups: one of its own, so that it can be removed."""
        return self.run.name or _PREFIX

    @property
    def removed_at_end(self) -> list[Path]:
        """What must not be left."""
        return [self.run, *([self.scratch] if self.root_is_kept else [])]

    def write_config(self, text: str) -> None:
        """Write the configuration, for this user's eyes only.

        Raises:
            DaemonError: the file can not be written.
        """
        try:
            self.config.unlink(missing_ok=True)
            descriptor = os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as exc:
            raise DaemonError(f"the daemon's configuration can not be written: {exc}") from exc

    def discard(self) -> None:
        """Remove what was made, when no daemon came to use it."""
        for path in self.removed_at_end:
            shutil.rmtree(path, ignore_errors=True)


def _run_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    if len(os.fsencode(folder / _SOCKET)) <= _SOCKET_PATH_LIMIT:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))
