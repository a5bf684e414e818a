"""Images with programs of this machine, for steps that need more than busybox."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pybuildkit.testing.images import Entry, OCIImage, busybox_layer, directory, file, image, layer


def program_image(*names: str) -> OCIImage:
    """A busybox with programs of this machine, and the libraries that they need; skips without one of them."""
    paths = []
    for name in names:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"there is no {name}")
        paths.append(Path(found))
    entries = {f"usr/bin/{path.name}": _read(path, f"usr/bin/{path.name}") for path in paths}
    done = subprocess.run(["ldd", *paths], capture_output=True, text=True, check=True, timeout=60)
    for name, path in re.findall(r"(\S+) => (/\S+)", done.stdout):
        entries[f"lib/{name}"] = _read(Path(path), f"lib/{name}")
    for linker in set(re.findall(r"^\s+(/\S+) \(0x", done.stdout, re.MULTILINE)):
        entries[linker.lstrip("/")] = _read(Path(linker), linker.lstrip("/"))
    entries["etc/passwd"] = file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    folders = sorted({str(parent) for name in entries for parent in Path(name).parents} - {"."})
    more = [directory(name) for name in folders] + [directory("root", 0o700)]
    return image([busybox_layer(), layer([*more, *entries.values()], "none")])


def _read(path: Path, name: str) -> Entry:
    return file(name, path.resolve().read_bytes(), 0o755)
