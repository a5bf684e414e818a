"""A private buildkitd, only to be asked for its descriptors."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["PrivateDaemonError", "private_daemon"]

CONFIG = """\
root = "{root}/state"
[grpc]
  address = ["unix://{root}/buildkitd.sock"]
[worker.oci]
  enabled = true
  snapshotter = "native"
[worker.containerd]
  enabled = false
"""
START_SECONDS = 60.0
STOP_SECONDS = 10.0


class PrivateDaemonError(Exception):
    """buildkitd is not there, or does not start."""


@contextmanager
def private_daemon(binary: Path) -> Iterator[str]:
    """Run ``binary`` in a temporary folder; gives its address, stops it at the end.

    Raises:
        PrivateDaemonError: there is no such binary, or it ended instead of listening.
    """
    if not binary.exists():
        raise PrivateDaemonError(
            f"{binary} does not exist: run `make tools`, or give the address of a daemon"
        )
    with tempfile.TemporaryDirectory(prefix="protos-") as folder:
        root = Path(folder)
        config, log, socket = root / "buildkitd.toml", root / "log", root / "buildkitd.sock"
        config.write_text(CONFIG.format(root=root))
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [binary, "--config", config], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
        try:
            _wait(process, socket, log)
            yield f"unix://{socket}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise PrivateDaemonError(f"buildkitd does not start:\n{log.read_text(errors='replace').strip()}")
        time.sleep(0.05)
