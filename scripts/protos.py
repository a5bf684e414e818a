#!/usr/bin/env python3
"""The wire contract: from a running buildkitd to ``protos/`` to ``pybuildkit/_pb/``.

    protos.py render [ADDRESS]   write protos/ from a daemon's gRPC reflection
    protos.py generate           write the stubs from protos/
    protos.py check [ADDRESS]    do both in a temporary folder, fail on any difference; then import the
                                 stubs on each protobuf runtime that is allowed

Without an address a private daemon is started from ``.tools/bin/buildkitd`` (needs root). The work is
done in its own environment, ``.tools/protos-venv``, which is made when it is missing.
"""

from __future__ import annotations

import argparse
import difflib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "pybuildkit" / "_pb"
TOOLS = Path(os.environ.get("PYBUILDKIT_TOOLS", ROOT / ".tools"))
CONSTRAINTS = ROOT / "scripts" / "constraints-protos.txt"
DIFF_LINES = 60
"""How much of each file's difference is shown."""


def main(argv: list[str] | None = None) -> int:
    """Run one command in the generators' environment."""
    parser = argparse.ArgumentParser(description="Render, generate and check the wire contract.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("render", "write protos/ from a daemon's reflection"),
        ("generate", "write the stubs from protos/"),
        ("check", "fail on any difference between daemon, protos and stubs"),
    ):
        command = commands.add_parser(name, help=text)
        if name != "generate":
            command.add_argument("address", nargs="?", help="unix://… or tcp://…; else a private daemon")
    arguments = parser.parse_args(argv)
    python = _environment()
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        again = [str(python), "-m", "scripts.protos", *(sys.argv[1:] if argv is None else argv)]
        return subprocess.run(again, cwd=ROOT, check=False).returncode
    try:
        if arguments.command == "render":
            _render(PROTOS, arguments.address)
        elif arguments.command == "generate":
            _generate(PROTOS, STUBS)
        else:
            return _check(arguments.address)
    except _failures() as exc:
        print(f"protos: {exc}", file=sys.stderr)
        return 1
    return 0


def _environment() -> Path:
    """The interpreter of the generators' environment, made anew when its pins have changed."""
    folder = TOOLS / "protos-venv"
    stamp, python = folder / "constraints.txt", folder / "bin" / "python"
    wanted = CONSTRAINTS.read_text()
    if not python.exists() or not stamp.exists() or stamp.read_text() != wanted:
        print(f"protos: making {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", CONSTRAINTS],
            check=True,
        )
        stamp.write_text(wanted)
    return python


def _failures() -> tuple[type[Exception], ...]:
    """What a user can mend: told without a traceback."""
    from scripts.wire.contract import ContractError
    from scripts.wire.generate import GenerateError
    from scripts.wire.private import PrivateDaemonError
    from scripts.wire.reflect import ReflectionError
    from scripts.wire.render import RenderError
    from scripts.wire.runtimes import RuntimeMismatchError

    return (
        ContractError,
        GenerateError,
        PrivateDaemonError,
        ReflectionError,
        RenderError,
        RuntimeMismatchError,
    )


@contextmanager
def _daemon(address: str | None) -> Iterator[str]:
    from scripts.wire.private import private_daemon

    if address:
        yield address
        return
    with private_daemon(TOOLS / "bin" / "buildkitd") as started:
        yield started


def _render(folder: Path, address: str | None) -> None:
    """Write a daemon's contract and its lock, after proof that the text says what the daemon said."""
    from scripts.wire import contract, generate, lock, reflect, render

    with _daemon(address) as found:
        described = reflect.describe(found, contract.SYMBOLS)
        daemon = reflect.version(found, described)
    fitted = contract.fit(described.values())
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.proto"):
        if old.name not in fitted.files:
            old.unlink()
    origins = {Path(name).name: name for name in described}
    for name, file in fitted.files.items():
        note = f"Rendered by scripts/protos.py from the reflection of buildkitd, where it is {origins[name]}."
        if wire := fitted.wire_packages.get(file.package):
            note += f"\nOn the wire the package is {wire}."
        (folder / name).write_text(render.render(file, note + "\nDo not edit."))
    contract.require_same(fitted.files, generate.parse(folder))
    hashes = {name: lock.digest(folder / name) for name in fitted.files}
    versions = {"package": daemon.package, "version": daemon.version, "revision": daemon.revision}
    (folder / lock.NAME).write_text(lock.Lock(versions, fitted.wire_packages, hashes).text())


def _generate(protos: Path, stubs: Path) -> None:
    from scripts.wire.generate import generate
    from scripts.wire.lock import Lock

    with tempfile.TemporaryDirectory() as temp:
        made = Path(temp)
        generate(protos, made, Lock.read(protos).packages)
        stubs.mkdir(parents=True, exist_ok=True)
        for old in _contents(stubs):
            (stubs / old).unlink()
        for name, text in _contents(made).items():
            (stubs / name).write_text(text)


def _check(address: str | None) -> int:
    """Compare what a daemon gives now with what is committed."""
    with tempfile.TemporaryDirectory() as temp:
        protos, stubs = Path(temp) / "protos", Path(temp) / "stubs"
        _render(protos, address)
        _generate(protos, stubs)
        differences = [
            *_differences(PROTOS, protos, address is not None),
            *_differences(STUBS, stubs),
        ]
    for difference in differences:
        print(difference)
    if differences:
        print(f"protos: {len(differences)} files differ; `make protos` renews them", file=sys.stderr)
        return 1
    print("protos: daemon, protos and stubs agree")
    from scripts.wire.runtimes import check_imports

    check_imports(ROOT, TOOLS / "runtimes")
    print("protos: the stubs are imported on every protobuf runtime that is allowed")
    return 0


def _differences(committed: Path, made: Path, foreign: bool = False) -> Iterator[str]:
    """One unified diff a file. A foreign daemon may have another version, if it means the same."""
    from scripts.wire import lock

    old, new = _contents(committed), _contents(made)
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if foreign and name == lock.NAME and lock.Lock.read(committed).files == lock.Lock.read(made).files:
            print(f"protos: the lock is from {lock.Lock.read(committed).daemon['version']}", file=sys.stderr)
            continue
        lines = list(
            difflib.unified_diff(
                (before or "").splitlines(),
                (after or "").splitlines(),
                f"committed/{name}" if before is not None else "nothing",
                f"made now/{name}" if after is not None else "nothing",
                lineterm="",
            )
        )
        more = [f"… {len(lines) - DIFF_LINES} lines more"] if len(lines) > DIFF_LINES else []
        yield "\n".join([*lines[:DIFF_LINES], *more])


def _contents(folder: Path) -> dict[str, str]:
    """The text of each file that belongs to the contract."""
    wanted = (".proto", ".toml", ".py", ".pyi")
    return {p.name: p.read_text() for p in folder.iterdir() if p.suffix in wanted}


if __name__ == "__main__":
    sys.exit(main())
