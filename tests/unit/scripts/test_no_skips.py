from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PASSES = "def test_ok(): pass\n"
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_x(): assert 0\n"
SKIPPED = "import pytest\n@pytest.mark.skip(reason='no engine')\ndef test_s(): pass\n"
FILE_SKIPPED = "import pytest\npytest.skip('not here', allow_module_level=True)\n"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "scripts.no_skips",
        *arguments,
    ]
    return subprocess.run(
        [*argv, "--rootdir", str(folder), str(folder)],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_skipped_test_or_file_fails_the_run(tmp_path: Path, workers: tuple[str, ...]) -> None:
    (tmp_path / "test_one.py").write_text(PASSES + SKIPPED)
    (tmp_path / "test_two.py").write_text(FILE_SKIPPED)
    done = run(tmp_path, *workers)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_one.py::test_s: Skipped: no engine" in done.stdout
    assert "test_two.py: Skipped: not here" in done.stdout
    assert "1 passed, 2 skipped" in done.stdout.splitlines()[-1]


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(PASSES + EXPECTED_FAILURE)
    assert run(tmp_path).returncode == pytest.ExitCode.OK
