"""This machine's Python as an image: what ``python:3-slim`` is where there is a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from pybuildkit.testing.images import (
    Entry,
    OCIImage,
    busybox_layer,
    directory,
    file,
    image,
    layer,
    symlink,
)

_LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "pydoc_data",
    "site-packages",
}
_EXTENSIONS_LEFT_OUT = re.compile(
    r"_tkinter|_test|_ctypes_test|xx|_curses|_dbm|_gdbm|_sqlite3|nis|readline|ossaudiodev"
)
_PREFIX = "usr/local"


def python_image(*packages: str, more: Iterable[Entry] = ()) -> OCIImage:
    """A busybox with this machine's Python in ``/usr/local``.

    Args:
        packages: directories in this Python's site-packages that are in the image's too, as ``pip``.
        more: more files.
    """
    return image(
        [busybox_layer(), layer([*python_entries(packages), *_folders(more)], "none")], cmd=["python3"]
    )


def python_entries(packages: Iterable[str] = ()) -> list[Entry]:
    """The interpreter, its library and the shared libraries that they need, compiled files included."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    executable = Path(sys.base_prefix, "bin", version).resolve()
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    site = Path(sysconfig.get_path("purelib"))
    home = f"{_PREFIX}/lib/{version}"
    entries = [_read(executable, f"{_PREFIX}/bin/{version}")]
    entries += [symlink(f"{_PREFIX}/bin/{name}", version) for name in ("python3", "python")]
    entries += _tree(library, home)
    for package in packages:
        entries += _tree(site / package, f"{home}/site-packages/{package}")
    extensions = [path for path in sorted((library / "lib-dynload").glob("*.so")) if _wanted(path)]
    entries += list(_shared_libraries([executable, *extensions]))
    return _folders(entries)


def _tree(root: Path, into: str) -> Iterator[Entry]:
    """A library's files; a compiled file counts as long as its source has the time that it remembers."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in _LEFT_OUT and not n.startswith("config-"))
        for name in sorted(files):
            if name.endswith((".py", ".so", ".json", ".pem")) or re.search(r"cpython-\d+\.pyc$", name):
                path = Path(folder, name)
                if _wanted(path):
                    yield _read(path, f"{into}/{path.relative_to(root)}")


def _wanted(path: Path) -> bool:
    """Whether it is no extension that only desktops need, or tests of Python."""
    return path.suffix != ".so" or not _EXTENSIONS_LEFT_OUT.match(path.name)


def _read(path: Path, name: str) -> Entry:
    stat = path.stat()
    info, content = file(name, path.read_bytes(), 0o755 if stat.st_mode & 0o100 else 0o644)
    info.mtime = int(stat.st_mtime)
    return info, content


def _shared_libraries(programs: Iterable[Path]) -> Iterator[Entry]:
    """What the dynamic linker loads for them, where it looks by itself; the linker where programs name it."""
    done = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True, timeout=60)
    found = {m[1]: m[2] for m in re.finditer(r"(\S+) => (/\S+)", done.stdout)}
    for name, path in sorted(found.items()):
        yield _read(Path(path).resolve(), f"lib/{name}")
    for linker in sorted(set(re.findall(r"^\s+(/\S+) \(0x", done.stdout, re.MULTILINE))):
        yield _read(Path(linker).resolve(), linker.lstrip("/"))


def _folders(entries: Iterable[Entry]) -> list[Entry]:
    """The entries with the folders that they are in before them."""
    listed = list(entries)
    folders = {str(parent) for info, _ in listed for parent in Path(info.name).parents if str(parent) != "."}
    return [*(directory(name) for name in sorted(folders)), *listed]
