"""The same command line given to buildctl and to us: both run as processes, and what they leave is compared."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.trees import snapshot

__all__ = ["ROOT", "Case", "Done", "Sides", "archive"]

ROOT = Path(__file__).resolve().parents[2]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Case:
    """One command line.

    Attributes:
        name: of the row; ``docs/buildctl.md`` names it.
        args: arguments; ``{out}`` is a folder of the side's own, ``{ctx}`` and other names come from the test.
        code: the exit code of both, or of each: buildctl's first.
        stdin: what both read.
        env: more environment.
        same: what else must be equal: ``files`` below {out}, ``metadata``, ``stdout``; ``layers`` for images whose
            configuration has a time in it, so that only their layers and shape can be equal.
        command: ``build`` is ours ``solve``; other words are the same for both.
        says: what stands in our stderr.
    """

    name: str
    args: Sequence[str] = ()
    code: int | tuple[int, int] = 0
    stdin: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    same: str = "files metadata stdout"
    command: str = "build"
    says: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Done:
    """What a side has done."""

    code: int
    stdout: bytes
    stderr: str
    out: Path

    @property
    def metadata(self) -> Any:
        path = self.out / "metadata.json"
        return json.loads(path.read_text()) if path.exists() else None


class Sides:
    """Runs command lines on both sides against one daemon."""

    def __init__(self, buildctl: Path, address: str, folder: Path, names: Mapping[str, object]) -> None:
        self._env = {**os.environ, "BUILDKIT_HOST": address, "PYTHONPATH": str(ROOT)}
        self._folder = folder
        self._names = names
        self._programs = {"theirs": [str(buildctl)], "ours": [sys.executable, "-m", "pybuildkit"]}

    def run(self, case: Case) -> tuple[Done, Done]:
        """Theirs, then ours."""
        return self.side(case, "theirs"), self.side(case, "ours")

    def side(self, case: Case, side: str) -> Done:
        """One of them: ``theirs`` or ``ours``."""
        out = self._folder / side
        out.mkdir(exist_ok=True)
        # What an earlier case has left is no answer of this one.
        (out / "metadata.json").unlink(missing_ok=True)
        words = case.command.split()
        if side == "ours":
            words = ["solve" if word == "build" else word for word in words]
        names = {**self._names, "out": out, "side": side}
        done = subprocess.run(
            [*self._programs[side], *words, *(_filled(arg, names) for arg in case.args)],
            input=case.stdin,
            capture_output=True,
            env={**self._env, **{key: _filled(value, names) for key, value in case.env.items()}},
            cwd=out,
            timeout=100,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr.decode(errors="replace"), out)

    def check(self, case: Case) -> tuple[Done, Done]:
        """Run both sides and compare them as the case wants it."""
        theirs, ours = self.run(case)
        wanted = case.code if isinstance(case.code, tuple) else (case.code, case.code)
        assert (theirs.code, ours.code) == wanted, f"theirs:\n{theirs.stderr}\nours:\n{ours.stderr}"
        assert case.says in ours.stderr
        assert "Traceback" not in ours.stderr
        for what in case.same.split():
            _COMPARE[what](theirs, ours)
        return theirs, ours


def _filled(text: str, names: Mapping[str, object]) -> str:
    """Put values in the place of ``{name}``; templates have two braces, and stay."""
    return re.sub(r"(?<!\{)\{(\w+)\}(?!\})", lambda match: str(names[match[1]]), text)


def _files(theirs: Done, ours: Done) -> None:
    assert _tree(ours.out) == _tree(theirs.out)


def _tree(folder: Path) -> dict[str, Any]:
    """All files of a side; archives by what is in them. Directories' own times are Go's too early."""
    found: dict[str, Any] = {}
    for name, value in snapshot(folder).items():
        path = folder / name
        if name in ("metadata.json", "ref", "trace.json") or path.name == "ingest":
            continue  # T21: containerd's store makes an empty folder
        if path.is_file() and tarfile.is_tarfile(path):
            found[name] = archive(path.read_bytes())
        elif path.name == "index.json":
            found[name] = json.loads(path.read_bytes())
        elif "blobs" in path.parts and path.is_file():
            found[name] = path.stat().st_size
        else:
            # A tree's own times are compared elsewhere; what a command wrote itself has the time of the run.
            found[name] = value[:4]
    return found


def archive(data: bytes) -> dict[str, Any]:
    """The members of a tar archive: kind, mode, owner, time, content's digest."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {}
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            digest = hashlib.sha256(content.read()).hexdigest() if content is not None else member.linkname
            found[member.name] = (member.type, member.mode, member.uid, member.gid, int(member.mtime), digest)
        return found


def _metadata(theirs: Done, ours: Done) -> None:
    assert ours.metadata == theirs.metadata


def _metadata_keys(theirs: Done, ours: Done) -> None:
    assert theirs.metadata is not None
    assert _shape(ours.metadata) == _shape(theirs.metadata)


def _shape(value: Any) -> Any:
    """Keys and types, values left out."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in sorted(value.items())}
    return type(value).__name__


def _stdout(theirs: Done, ours: Done) -> None:
    assert ours.stdout == theirs.stdout


def _stdout_archive(theirs: Done, ours: Done) -> None:
    assert archive(ours.stdout) == archive(theirs.stdout)


def _layers(theirs: Done, ours: Done) -> None:
    """Images by their layers and the shape of their configuration."""
    _metadata_keys(theirs, ours)
    names = {str(p.relative_to(theirs.out)) for p in theirs.out.iterdir()}
    assert {str(p.relative_to(ours.out)) for p in ours.out.iterdir()} == names
    for name in sorted(names - {"metadata.json"}):
        assert _image(ours.out / name) == _image(theirs.out / name)


def _image(path: Path) -> list[Any]:
    """The manifests of an image archive or directory, in order: each layer's digest, and the configuration's keys."""
    read = _reader(path)
    found: list[Any] = []

    def visit(descriptor: Mapping[str, Any]) -> None:
        document = json.loads(read(f"blobs/{descriptor['digest'].replace(':', '/')}"))
        if "manifests" in document:
            for child in document["manifests"]:
                visit(child)
            return
        config = json.loads(read(f"blobs/{document['config']['digest'].replace(':', '/')}"))
        layers = [(layer["mediaType"], layer["digest"]) for layer in document["layers"]]
        if descriptor.get("annotations", {}).get("vnd.docker.reference.type"):
            layers = [(kind, "") for kind, _ in layers]  # attestations have times in them
        found.append((document["mediaType"], layers, _shape(config), document.get("annotations")))

    for descriptor in json.loads(read("index.json"))["manifests"]:
        visit(descriptor)
    return found


def _reader(path: Path) -> Callable[[str], bytes]:
    if path.is_dir():
        return lambda name: (path / name).read_bytes()
    held: dict[str, bytes] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            held[member.name] = content.read() if content is not None else b""
    return held.__getitem__


def _masked_stdout(theirs: Done, ours: Done) -> None:
    """Standard output, digests and ids apart."""
    assert _DIGEST.sub("DIGEST", ours.stdout.decode()) == _DIGEST.sub("DIGEST", theirs.stdout.decode())


_COMPARE: dict[str, Callable[[Done, Done], None]] = {
    "files": _files,
    "metadata": _metadata,
    "metadata-keys": _metadata_keys,
    "stdout": _stdout,
    "stdout-archive": _stdout_archive,
    "stdout-masked": _masked_stdout,
    "layers": _layers,
}
