"""Import the stubs on every protobuf runtime that pyproject.toml allows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["RuntimeMismatchError", "check_imports"]

RUNTIMES = (
    # The lowest versions that pyproject.toml allows (5.29.0 was withdrawn), one between, the newest.
    ("protobuf==5.29.1", "grpcio==1.71.2", "googleapis-common-protos==1.66.0"),
    ("protobuf==6.33.0", "grpcio==1.76.0", "googleapis-common-protos==1.72.0"),
    ("protobuf==7.36.2", "grpcio==1.85.3", "googleapis-common-protos==1.76.0"),
)
IMPORT_ALL = """
import importlib, pathlib, sys
sys.path[:0] = sys.argv[1:]
paths = sorted(pathlib.Path(sys.argv[1], "pybuildkit", "_pb").glob("*_pb2*.py"))
assert paths
for path in paths:
    importlib.import_module("pybuildkit._pb." + path.stem)
"""


class RuntimeMismatchError(Exception):
    """The stubs can not be imported, or warn, on a runtime they should serve."""


def check_imports(root: Path, cache: Path) -> None:
    """Import all stubs under ``root`` on each runtime, C and pure Python; warnings are errors.

    Raises:
        RuntimeMismatchError: an import failed or warned; the traceback follows.
    """
    for requirements in RUNTIMES:
        folder = _installed(cache, requirements)
        for implementation in ("upb", "python"):
            done = subprocess.run(
                # -S: nothing of this environment's own packages
                [sys.executable, "-S", "-W", "error", "-c", IMPORT_ALL, root, folder],
                env={"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation, "PATH": "/usr/bin:/bin"},
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeMismatchError(
                    f"stubs on {requirements[0]} ({implementation}):\n{done.stderr.strip()}"
                )


def _installed(cache: Path, requirements: tuple[str, ...]) -> Path:
    """A folder with these packages, made when it is missing."""
    folder = cache / "-".join(r.replace("==", "-") for r in requirements)
    if not folder.exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        # pip warns of conflicts with this environment, which the folder does not belong to.
        done = subprocess.run(
            [*pip, "--target", partial, *requirements], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeMismatchError(f"pip can not get {' '.join(requirements)}:\n{done.stderr.strip()}")
        partial.rename(folder)
    return folder
