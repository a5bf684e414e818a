"""Making trees of files for tests, and saying what is in one."""

from __future__ import annotations

import os
import random
import stat as st
from pathlib import Path
from typing import Any

NAMES = (
    "a",
    "a-",
    "a.b",
    "b",
    "c",
    "foo",
    "foo.go",
    "x.txt",
    ".git",
    "é",
    "世",
    "a b",
    "[x]",
    "w*ld",
    "~",
    "A",
    "Z",
    "README.md",
)
SPECIAL = (b"user.one", b"user.two")


def make_tree(root: Path, seed: int, *, entries: int = 40) -> list[str]:
    """Fill a directory with files, directories, links of both kinds and fifos; the paths of all."""
    rand = random.Random(seed)
    dirs = [""]
    files: list[str] = []
    paths: list[str] = []
    for _ in range(entries):
        parent = rand.choice(dirs)
        path = f"{parent}/{rand.choice(NAMES)}" if parent else rand.choice(NAMES)
        target = root / path
        if os.path.lexists(target):
            continue
        kind = rand.random()
        if kind < 0.3 and path.count("/") < 4:
            target.mkdir(mode=rand.choice((0o755, 0o700, 0o1777)))
            dirs.append(path)
        elif kind < 0.5:
            os.symlink(_link_target(rand, paths), target)
        elif kind < 0.6 and files:
            os.link(root / rand.choice(files), target, follow_symlinks=False)
        elif kind < 0.63:
            os.mkfifo(target)
        else:
            target.write_bytes(rand.randbytes(rand.choice((0, 1, 10, 1000, 70_000))))
            target.chmod(rand.choice((0o644, 0o755, 0o600, 0o4755, 0o444)))
            files.append(path)
            if rand.random() < 0.1:
                os.setxattr(target, SPECIAL[rand.random() < 0.5], rand.randbytes(5))
        paths.append(path)
    for path in paths:
        when = rand.randrange(10**18, 17 * 10**17)
        os.utime(root / path, ns=(when, when), follow_symlinks=False)
    return paths


def _link_target(rand: random.Random, paths: list[str]) -> str:
    name = rand.choice(NAMES)
    return rand.choice(
        [
            name,
            f"../{name}",
            f"/{name}",
            f"./{name}/{rand.choice(NAMES)}",
            "..",
            ".",
            "/",
            "missing",
            "../../../..",
            f"{name}/../b",
        ]
        + paths[-5:]
        + [f"/{path}" for path in paths[-5:]]
    )


def snapshot(root: Path) -> dict[str, tuple[Any, ...]]:
    """Everything a transfer is to keep of a tree; owners and the times of directories aside."""
    found: dict[str, tuple[Any, ...]] = {}
    names: dict[tuple[int, int], str] = {}
    for folder, dirs, files in os.walk(root):
        for name in sorted(dirs + files):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            known = os.lstat(path)
            content: object = None
            if st.S_ISLNK(known.st_mode):
                content = os.readlink(path)
            elif st.S_ISREG(known.st_mode):
                content = Path(path).read_bytes()
            elif not st.S_ISDIR(known.st_mode):
                content = known.st_rdev
            xattrs = {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
            }
            mtime = None if st.S_ISDIR(known.st_mode) else known.st_mtime_ns
            link = None
            if known.st_nlink > 1 and not st.S_ISDIR(known.st_mode) and not st.S_ISLNK(known.st_mode):
                link = names.setdefault((known.st_dev, known.st_ino), relative)
            found[relative] = (known.st_mode, mtime, content, link, xattrs)
    return found
