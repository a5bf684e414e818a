"""The lock file: which daemon the contract is from, and the hash of each file."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NAME", "Lock", "digest"]

NAME = "protos.lock.toml"
HEAD = "# Written by scripts/protos.py render; `make protos` renews it.\n"


@dataclass(frozen=True, slots=True)
class Lock:
    """What ``protos/`` was rendered from."""

    daemon: Mapping[str, str]
    """package, version and revision, as the daemon's Info gives them."""
    packages: Mapping[str, str]
    """Packages that have another name on the wire: the name here, and that one."""
    files: Mapping[str, str]
    """The sha256 of each .proto file."""

    @classmethod
    def read(cls, folder: Path) -> Lock:
        """The lock of a folder of protos."""
        found = tomllib.loads((folder / NAME).read_text())
        return cls(found["daemon"], found["packages"], found["files"])

    def text(self) -> str:
        """The file's contents."""
        tables = {"daemon": self.daemon, "packages": self.packages, "files": self.files}
        blocks = (
            f"[{title}]\n" + "".join(f'"{key}" = "{value}"\n' for key, value in table.items())
            for title, table in tables.items()
        )
        return HEAD + "\n" + "\n".join(blocks)


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
