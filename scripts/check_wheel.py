"""Build the wheel, look at what is in it, and use it from an environment that has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "pybuildkit"
USE = """
import pybuildkit, sys
heavy = sorted({"grpc", "google.protobuf"} & sys.modules.keys())
assert not heavy, f"import pybuildkit brings {heavy}"
assert all(hasattr(pybuildkit, name) for name in pybuildkit.__all__)
from pybuildkit._pb import control_pb2, control_pb2_grpc, errdefs_pb2
"""


class WheelError(Exception):
    """The wheel is not what it should be."""


def main() -> int:
    """Build, look, install, use."""
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        try:
            hatchling = Path(sys.executable).with_name("hatchling")
            _run([hatchling, "build", "-t", "wheel", "-d", folder], ROOT)
            (wheel,) = folder.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                look(archive.namelist(), committed())
            use(wheel, folder)
        except WheelError as exc:
            print(f"check-wheel: {exc}", file=sys.stderr)
            return 1
    print(f"check-wheel: {wheel.name} holds the package alone, typed, and works in a fresh environment")
    return 0


def committed() -> set[str]:
    """The package's files as git has them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", PACKAGE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(filter(None, listed.stdout.split("\0")))


def look(names: Iterable[str], expected: set[str]) -> None:
    """Compare what is in the wheel with the package's files.

    Raises:
        WheelError: something is missing, or does not belong there.
    """
    found = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    if missing := expected - found:
        raise WheelError(f"these are missing: {', '.join(sorted(missing))}")
    if foreign := sorted(name for name in found if not name.startswith(f"{PACKAGE}/")):
        raise WheelError(f"these do not belong there: {', '.join(foreign)}")
    if f"{PACKAGE}/py.typed" not in found or not any(n.endswith("_pb2.pyi") for n in found):
        raise WheelError("it is not typed: py.typed or the stubs' .pyi files are missing")


def use(wheel: Path, folder: Path) -> None:
    """Install the wheel into a new environment, import it and call its command.

    Raises:
        WheelError: one of these failed.
    """
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run([*pip, "-c", ROOT / "constraints.txt", wheel], folder)
    _run([python, "-W", "error", "-c", USE], folder)
    _run([environment / "bin" / PACKAGE, "--help"], folder)


def _run(argv: Sequence[str | Path], folder: Path) -> None:
    """Run a command that must succeed; what it says is only told when it fails."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        argv, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        words = " ".join(str(word).strip() for word in argv)
        raise WheelError(f"exit code {done.returncode} from: {words}\n{done.stdout.strip()}")


if __name__ == "__main__":
    sys.exit(main())
