"""Directories to send, the same at every run."""

from __future__ import annotations

import random
from pathlib import Path

__all__ = ["DOCKERFILE", "change_files", "many_files", "one_file"]

DOCKERFILE = "FROM scratch\nCOPY . /\n"

_IN_ONE_FOLDER = 200


def many_files(folder: Path, count: int, smallest: int = 1024, largest: int = 2048) -> Path:
    """So many files in folders of 200, and a Dockerfile that copies them all."""
    folder.mkdir(parents=True)
    folder.joinpath("Dockerfile").write_text(DOCKERFILE)
    source = random.Random(7)
    part = folder
    for number in range(count):
        if number % _IN_ONE_FOLDER == 0:
            part = folder / f"part{number // _IN_ONE_FOLDER:03d}"
            part.mkdir()
        (part / f"file{number:05d}").write_bytes(source.randbytes(source.randint(smallest, largest)))
    return folder


def change_files(folder: Path, count: int, seed: int) -> None:
    """Write other bytes into so many of the files."""
    source = random.Random(seed)
    files = sorted(folder.glob("part*/file*"))
    for path in files[:: max(1, len(files) // count)][:count]:
        path.write_bytes(source.randbytes(source.randint(1024, 2048)))


def one_file(folder: Path, size: int) -> Path:
    """One file that can not be compressed, and a Dockerfile that copies it."""
    folder.mkdir(parents=True)
    folder.joinpath("Dockerfile").write_text(DOCKERFILE)
    block = random.Random(7).randbytes(1 << 20)
    with folder.joinpath("big").open("wb") as file:
        for number in range(size >> 20):
            file.write(number.to_bytes(4) + block[4:])
    return folder
