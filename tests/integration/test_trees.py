"""Trees sent to a real daemon and exported again are the same."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pybuildkit import AsyncClient, llb
from pybuildkit.errors import BuildKitError
from pybuildkit.fsutil import (
    FS,
    Directory,
    MemoryDirectory,
    MemoryFile,
    MemorySymlink,
    MemoryTree,
    Stat,
    TarTree,
)
from pybuildkit.fsutil.memory import MemoryEntry
from pybuildkit.outputs import Local
from tests.support.goprograms import ROOT
from tests.support.sourcetrees import make_tree, snapshot
from tests.unit.docs.test_contexts_page import examples

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


async def through(client: AsyncClient, fs: FS, out: Path) -> None:
    """Send a tree to the daemon and let it come back."""
    await client.solve(llb.local(name="tree"), locals={"tree": fs}, outputs=Local(out))


def generated(source: Path) -> None:
    make_tree(source, 77, entries=400)


def checkout(source: Path) -> None:
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, source / "checkout"], check=True)


def node_modules(source: Path) -> None:
    """As npm leaves it: packages in packages, links to programs, scopes."""
    for number in range(150):
        package = source / "node_modules" / (f"@scope/p{number}" if number % 5 == 0 else f"p{number}")
        inner = package / "node_modules" / f"dep{number % 7}" / "lib"
        inner.mkdir(parents=True)
        for index in range(12):
            (inner / f"index{index}.js").write_text(f"module.exports = {number * index}\n")
        (package / "package.json").write_text(f'{{"name": "p{number}"}}')
        (package / "cli.js").write_text("#!/usr/bin/env node\n")
        (package / "cli.js").chmod(0o755)
        (source / "node_modules" / ".bin").mkdir(exist_ok=True)
        os.symlink(
            os.path.relpath(package / "cli.js", source / "node_modules" / ".bin"),
            source / "node_modules" / ".bin" / f"p{number}",
        )


def odd(source: Path) -> None:
    os.mkfifo(source / "fifo")
    (source / ("n" * 255)).write_text("long name")
    (source / "new\nline").write_text("x")
    (source / "empty").mkdir()
    (source / "z").mkdir()
    (source / "a").write_text("linked")
    os.link(source / "a", source / "z" / "b")
    for name, target in {"dangling": "nowhere", "loop": "loop", "outside": "/etc/passwd"}.items():
        os.symlink(target, source / name)
    os.setxattr(source / "a", "user.note", b"\0\xff")
    with open(source / "sparse", "wb") as file:
        file.truncate(20 << 20)
    (source / "setuid").write_text("x")
    (source / "setuid").chmod(0o4755)


@pytest.mark.parametrize("make", [generated, checkout, node_modules, odd])
async def test_a_tree_comes_back_as_it_was(
    buildkit: AsyncClient, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """S26 to S58: content, mode, links of both kinds, attributes, times."""
    source = tmp_path / "src"
    source.mkdir()
    make(source)
    await through(buildkit, Directory(source), tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_30_000_files_of_site_packages_come_back(buildkit: AsyncClient, tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    packages = Path(sysconfig.get_path("purelib"))
    count = 0
    while count < 30_000:
        copy = source / f"copy{count}"
        shutil.copytree(packages, copy, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        count += sum(len(files) for _, _, files in os.walk(copy))
    await through(buildkit, Directory(source), tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


async def test_a_change_is_noticed(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S41: the daemon keeps what it has and asks for the rest."""
    source = tmp_path / "src"
    source.mkdir()
    make_tree(source, 5, entries=100)
    await through(buildkit, Directory(source), tmp_path / "first")
    files = [path for path in sorted(source.rglob("*")) if path.is_file() and not path.is_symlink()]
    for path in files[::3]:
        path.write_bytes(path.read_bytes()[::-1] + b"!")
    files[1].unlink()
    (source / "new").mkdir()
    (source / "new" / "file").write_text("new")
    await through(buildkit, Directory(source), tmp_path / "second")
    assert snapshot(tmp_path / "second") == snapshot(source)


async def test_a_socket_comes_back_as_an_empty_file(
    buildkit: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S34."""
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        await through(buildkit, Directory(tmp_path / "src"), tmp_path / "out")
    assert (tmp_path / "out" / "socket").read_bytes() == b""


async def test_trees_in_memory_and_in_tars(buildkit: AsyncClient, tmp_path: Path) -> None:
    """X12, X6: contents of one size and no given time are told apart."""
    entries: dict[str, MemoryEntry] = {
        "a/b": "one",
        "c": MemoryFile(b"x" * 300_000, mode=0o755),
        "d": MemorySymlink("a/b"),
        "e": MemoryDirectory(),
    }
    await through(buildkit, MemoryTree(entries), tmp_path / "first")
    assert (tmp_path / "first" / "a" / "b").read_text() == "one"
    assert (tmp_path / "first" / "c").stat().st_size == 300_000
    assert os.readlink(tmp_path / "first" / "d") == "a/b"
    await through(buildkit, MemoryTree(entries | {"a/b": "two"}), tmp_path / "second")
    assert (tmp_path / "second" / "a" / "b").read_text() == "two"
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "second", arcname=".")
    await through(buildkit, TarTree(tmp_path / "t.tar.gz"), tmp_path / "third")
    assert {path: entry[2] for path, entry in snapshot(tmp_path / "third").items()} == {
        path: entry[2] for path, entry in snapshot(tmp_path / "second").items()
    }


async def test_a_name_that_is_not_utf8_is_named(buildkit: AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    os.mkdir(os.fsencode(tmp_path / "src") + b"/\xff")
    with pytest.raises(BuildKitError, match=r"the name '\\udcff' is not UTF-8"):
        await through(buildkit, Directory(tmp_path / "src"), tmp_path / "out")


async def test_a_file_that_vanishes_fails_the_build_by_name(buildkit: AsyncClient, tmp_path: Path) -> None:
    """T22: Go's client sends an empty file instead."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "file").write_text("x")
    (source / "z").write_text("x")

    def vanish(stat: Stat) -> Stat:
        (source / "file").unlink(missing_ok=True)
        return stat

    with pytest.raises(BuildKitError, match=f"can not open {source}/file: no such file or directory"):
        await through(buildkit, Directory(source, map=vanish), tmp_path / "out")


async def test_a_map_that_fails_fails_the_build(buildkit: AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "file").touch()

    def fail(stat: Stat) -> Stat:
        raise LookupError(f"no owner for {stat.path}")

    with pytest.raises(BuildKitError, match="no owner for file"):
        await through(buildkit, Directory(tmp_path / "src", map=fail), tmp_path / "out")


async def test_the_examples_of_the_page_on_contexts(buildkit: AsyncClient, tmp_path: Path) -> None:
    """``docs/contexts.md``."""
    page = examples()
    await page["from_memory"](buildkit, str(tmp_path / "memory"))
    assert (tmp_path / "memory" / "app" / "run.sh").stat().st_mode == 0o100755
    assert os.readlink(tmp_path / "memory" / "app" / "latest") == "settings.json"

    source = tmp_path / "src"
    source.mkdir()
    (source / "a.txt").write_text("a")
    (source / "Dockerfile").write_text("FROM scratch\nCOPY a.txt /from-tar\n")
    await page["from_several"](buildkit, str(source), str(tmp_path / "several"))
    assert sorted(os.listdir(tmp_path / "several")) == ["a.txt", "settings.json"]

    with tarfile.open(tmp_path / "t.tar.xz", "w:xz") as tar:
        tar.add(source, arcname="")
    await page["from_a_tar"](buildkit, str(tmp_path / "t.tar.xz"), str(tmp_path / "tar"))
    assert (tmp_path / "tar" / "from-tar").read_text() == "a"
