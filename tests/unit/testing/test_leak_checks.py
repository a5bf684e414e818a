"""The checks that stand around every test of this repository: what they catch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

CONFTEST = """
from tests.support import leaks
leaks._PATIENCE_SECONDS = 0.2
"""

TESTS = """
import asyncio, os, socket, subprocess, threading, time
import pytest
from pybuildkit.daemon import Buildkitd
from pybuildkit.secrets import Secret

KEPT = []

def test_descriptor():
    KEPT.append(socket.socket())

def test_thread():
    threading.Thread(target=time.sleep, args=(1.5,), name="left behind", daemon=True).start()

def test_child():
    KEPT.append(subprocess.Popen(["/bin/sleep", "1.5"]))

async def test_task():
    KEPT.append(asyncio.create_task(asyncio.sleep(1.5), name="left behind"))

async def test_blocking(tmp_path):
    Buildkitd().start()

async def test_clean():
    await asyncio.gather(asyncio.to_thread(time.sleep, 0.01), asyncio.sleep(0.01))

@pytest.fixture(scope="module")
def kept():
    with socket.socket() as kept:
        yield kept

def test_what_a_wider_fixture_keeps(kept):
    with socket.socket():
        pass

def test_environment():
    assert "BUILDKIT_HOST" not in os.environ and "http_proxy" not in os.environ
    assert not os.listdir(os.environ["HOME"])
"""


def test_what_is_caught(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    script = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    words = [
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-o",
        "anyio_mode=auto",
        "-rfE",
        "--tb=line",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
            "BUILDKIT_HOST": "tcp://x:1",
            "http_proxy": "http://x",
        },
        capture_output=True,
        text=True,
    )
    errors = dict(
        re.findall(r"^(?:ERROR|FAILED) \S+::(\w+)(?:\[asyncio\])? - (.*)$", done.stdout, re.MULTILINE)
    )
    assert set(errors) == {"test_descriptor", "test_thread", "test_child", "test_task", "test_blocking"}, (
        done.stdout
    )
    for text in (
        "leaks descriptor",
        "leaks thread 'left behind'",
        "leaks child process",
        "leaks task left behind",
        "Blocking call to",
    ):
        assert text in done.stdout
