"""Our side of the guard: the process, and the log that it and the daemon write."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from pybuildkit.errors import DaemonError

__all__ = ["DaemonLog", "Guarded"]

_GUARD = Path(__file__).with_name("guard.py")
_TAIL_BYTES = 64 * 1024
_CLEANING_SECONDS = 60.0


class DaemonLog:
    """The file that the daemon logs to; nameless unless the user named one, so that none can be left.

    Args:
        path: the user's file, which is appended to.

    Raises:
        DaemonError: the file can not be opened.
    """

    def __init__(self, path: Path | None) -> None:
        try:
            self.file: IO[bytes] = path.open("a+b") if path is not None else tempfile.TemporaryFile()  # noqa: SIM115
        except OSError as exc:
            raise DaemonError(f"the daemon's log {str(path)!r} can not be opened: {exc}") from exc
        self._start = os.fstat(self.file.fileno()).st_size

    def tail(self) -> str:
        """The last 64 KiB since the start, whole lines.

        The daemon shares the file's offset, so it is read by position.
        """
        end = os.fstat(self.file.fileno()).st_size
        begin = max(self._start, end - _TAIL_BYTES)
        text = os.pread(self.file.fileno(), end - begin, begin).decode(errors="replace")
        return text if begin == self._start else text.partition("\n")[2]

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class Guarded:
    """A running guard with its daemon.

    Args:
        argv: the daemon's command.
        environ: its environment.
        log: where both write.
        isolate: give it its own process and mount namespaces, for a daemon that makes containers.
        cgroup: the cgroup below which its containers are, removed at the end.
        remove: files and folders to remove at the end.
        grace: seconds between SIGTERM and SIGKILL.

    Raises:
        DaemonError: the guard can not be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environ: Mapping[str, str],
        log: DaemonLog,
        isolate: bool = True,
        cgroup: str = "",
        remove: Sequence[Path] = (),
        grace: float,
    ) -> None:
        self.log = log
        self._grace = grace
        self._name = Path(argv[0]).name
        # -I and -S: nothing of the user's Python set-up may run in it, and it starts in a blink.
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(grace), "01"[isolate], cgroup]
        try:
            self._process = subprocess.Popen(
                [*guard, *map(str, remove), "--", *argv],
                stdin=subprocess.PIPE,
                stdout=log.file,
                stderr=log.file,
                cwd="/",
                env=environ,
                start_new_session=True,  # Ctrl-C in the terminal is for us, not for the daemon
            )
        except OSError as exc:
            raise DaemonError(f"the daemon's guard can not be started by {sys.executable!r}: {exc}") from exc

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the daemon runs: the guard ends with it."""
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """The daemon's exit code, None while it runs."""
        return self._process.returncode

    def stop(self) -> None:
        """End the daemon, and wait until all is cleaned up.

        Raises:
            DaemonError: that took too long; both are killed then.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()  # this is the word to stop
        try:
            self._process.wait(self._grace + _CLEANING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # takes the daemon and all its containers along
            self._process.wait()
            raise DaemonError(
                f"{self._name} could not be cleared away in time", log=self.log.tail()
            ) from None
