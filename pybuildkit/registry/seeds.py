"""The client's own secret per registry, from which its identity towards the daemon is made (S70, S73).

The daemon keeps tokens, and gives them to whoever proves to be who fetched them. The proof must be the same in every
process of a user, so docker's tools keep a random seed for each registry in a file beside docker's configuration;
it is shared with them here.
"""

from __future__ import annotations

import base64
import binascii
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pybuildkit._files import write_atomically

__all__ = ["SEED_SIZE", "TokenSeeds"]

SEED_SIZE = 16

_FILE = ".token_seed"
_LOCK = ".token_seed.lock"
_PATIENCE = 2.0
"""Seconds to wait for another process that holds the lock; they hold it for the time of writing a small file."""

_HARMLESS = frozenset([errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT])


class TokenSeeds:
    """Seeds by registry.

    Args:
        folder: docker's configuration; None keeps the seeds in memory alone, as does a folder that is not there or
            can not be written to: the daemon then fetches anew what it might have had.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[str, bytes] = {}

    def get(self, host: str) -> bytes:
        """The seed of a registry, a new one if it has none yet. Blocks on a file.

        Raises:
            OSError: the disk is broken, or full.
        """
        if host not in self._memory:
            self._memory[host] = self._from_folder(host) or secrets.token_bytes(SEED_SIZE)
        return self._memory[host]

    def _from_folder(self, host: str) -> bytes | None:
        if self._folder is None or not self._folder.is_dir():
            return None
        try:
            with _locked(self._folder / _LOCK):
                return _seed_in(self._folder / _FILE, host)
        except OSError as exc:
            if exc.errno in _HARMLESS:
                return None
            raise


def _seed_in(path: Path, host: str) -> bytes:
    """The seed of a host in a file, which gets it if it has none."""
    known = _read(path)
    try:
        seed = base64.b64decode(known[host]["Seed"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        seed = b""
    if not seed:
        seed = secrets.token_bytes(SEED_SIZE)
        known[host] = {"Seed": base64.b64encode(seed).decode()}
        try:
            write_atomically(path, json.dumps(known, indent=2, sort_keys=True).encode(), mode=0o600)
        except OSError as exc:
            if exc.errno not in _HARMLESS:
                raise
    return seed


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # Half a file, of a process that was killed.
    return found if isinstance(found, dict) else {}


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Keep other processes out, Go's too, as long as that is possible and they do not hold the lock forever."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        if exc.errno not in _HARMLESS:
            raise
        yield
        return
    try:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)
