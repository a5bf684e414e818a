"""``pybuildkit debug dump-metadata``: a stopped daemon's metadata (B46)."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
from pathlib import Path

from pybuildkit.cli.debug.boltfile import BoltFile, Bucket
from pybuildkit.errors import ConfigError

DESCRIPTION = "Print the metadata that a daemon keeps of its cache. The daemon must not be running."
EXAMPLES = """example:
  pybuildkit debug dump-metadata --root /var/lib/buildkit
"""

_PATIENCE = 3.0
"""Seconds to wait for whoever has the file open."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--root", default="/var/lib/buildkit", metavar="DIR", help="the daemon's state [/var/lib/buildkit]"
    )


def run(args: argparse.Namespace) -> int:
    """Print all databases below the daemon's root."""
    root = Path(args.root)
    try:
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir())
    except OSError as exc:
        raise ConfigError(f"--root {root} can not be read: {exc.strerror}") from exc
    for folder in folders:
        path = folder / "metadata_v2.db"
        if path.exists():
            print(f"===== {path} =====", flush=True)
            _dump(path)
    return 0


def _dump(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise ConfigError(f"{path} can not be read: {exc.strerror}") from exc
    try:
        _lock(descriptor, path)
        file = BoltFile(path, descriptor)
        try:
            for name, bucket in file.items(file.root):
                if isinstance(bucket, Bucket):
                    _print_bucket(file, name, bucket, "")
        finally:
            file.close()
    finally:
        os.close(descriptor)
    sys.stdout.flush()


def _lock(descriptor: int, path: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise ConfigError(f"{path} is in use; stop buildkitd first") from None
            time.sleep(0.05)
        else:
            return


def _print_bucket(file: BoltFile, name: bytes, bucket: Bucket, indent: str) -> None:
    out = sys.stdout.buffer
    sys.stdout.write(f"{indent}bucket {_quoted(name)}:\n")
    inner = f"{indent}  "
    for key, value in file.items(bucket):
        if isinstance(value, Bucket):
            _print_bucket(file, key, value, inner)
        else:
            sys.stdout.write(f"{inner}{_quoted(key)}: ")
            sys.stdout.flush()
            out.write(value + b"\n")


def _quoted(name: bytes) -> str:
    """As Go's ``%q``, for the names that there are: printable, or with bytes shown as hexadecimal digits."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and (text or not name):
        return json.dumps(text, ensure_ascii=False)
    return (
        '"' + "".join(chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\x{b:02x}" for b in name) + '"'
    )
