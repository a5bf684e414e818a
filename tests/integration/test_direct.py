"""The command line's builds with and without an event loop: the same results, errors and ends; and what is not imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pybuildkit.cli import main
from pybuildkit.testing.service import BuildkitdService

pytestmark = pytest.mark.integration

FORBIDDEN = (
    "grpc",
    "google.protobuf",
    "asyncio",
    "anyio",
    "concurrent.futures",
    "ssl",
    "subprocess",
    "cryptography",
    "pybuildkit._pb",
    "pybuildkit.llb",
    "pybuildkit.gateway",
    "pybuildkit.client",
    "pybuildkit.build",
    "pybuildkit.caches",
    "pybuildkit.outputs",
    "pybuildkit.content.store",
    "pybuildkit.fsutil.receive",
    "pybuildkit.session.filesend",
    "pybuildkit.details",
    "pybuildkit.builderrors",
    "pybuildkit.sourcepolicy",
    "pybuildkit.platforms",
)
"""What a build with nothing special has no use for."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture(params=["direct", "own", "shared", "grpc"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Without an event loop; with one, and the session on a connection of its own, or on the shared one."""
    kind: str = request.param
    if kind != "direct":
        monkeypatch.setenv("PYBUILDKIT_OWN_SESSION", "1" if kind == "own" else "0")
    if kind == "grpc":
        monkeypatch.setenv("PYBUILDKIT_TRANSPORT", "grpc")
    return kind


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "hello").write_text("hello")
    (folder / "Dockerfile").write_text(
        "FROM busybox\nCOPY hello /\nRUN --mount=type=secret,id=token cp /run/secrets/token /secret\n"
    )
    return folder


def solve(buildkitd: BuildkitdService, context: Path, *more: str) -> int:
    flags = ["--frontend=dockerfile.v0", f"--local=context={context}", f"--local=dockerfile={context}"]
    return main(["--addr", buildkitd.address, "solve", *flags, *more])


def test_a_build_with_a_secret_and_files(
    buildkitd: BuildkitdService, way: str, context: Path, tmp_path: Path
) -> None:
    """A handler that is a coroutine, registries asked for, and a directory that comes back."""
    (tmp_path / "token").write_text(way)
    out, ref = tmp_path / "out", tmp_path / "ref"
    code = solve(
        buildkitd,
        context,
        f"--secret=id=token,src={tmp_path / 'token'}",
        "--no-cache",
        f"--output=type=local,dest={out}",
        f"--ref-file={ref}",
    )
    assert code == 0
    assert (out / "hello").read_text() == "hello"
    assert (out / "secret").read_text() == way
    assert ref.read_text()


def test_a_build_that_fails(
    buildkitd: BuildkitdService, way: str, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN echo {way} said so; exit 7\n")
    assert solve(buildkitd, context, "--progress=plain") == 1
    error = capsys.readouterr().err
    assert f"{way} said so" in error
    assert "exit code: 7" in error
    assert "Dockerfile:2" in error


def test_a_context_that_is_not_there(
    buildkitd: BuildkitdService, way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert solve(buildkitd, tmp_path / "none") != 0
    assert "none" in capsys.readouterr().err


def test_nobody_listens(way: str, context: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--frontend=dockerfile.v0", f"--local=context={context}"]
    assert main(["--addr", f"unix://{tmp_path}/none.sock", "solve", *flags]) == 1
    assert f"unix://{tmp_path}/none.sock" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_build(
    buildkitd: BuildkitdService, way: str, context: Path, number: signal.Signals
) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo now; sleep 60\n")
    command = [sys.executable, "-m", "pybuildkit", "--addr", buildkitd.address, "build", str(context)]
    with subprocess.Popen(
        [*command, "--progress=plain", "--no-cache"], stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith(" now"):
                break
        start = time.monotonic()
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 128 + number
    assert f"the build was stopped ({number.name})" in rest
    assert time.monotonic() - start < 10


def loaded(code: str) -> list[str]:
    report = f"import sys\n{code}\nprint([m for m in {FORBIDDEN!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = eval(done.stdout.splitlines()[-1])
    return found


def test_a_cached_build_imports_nothing_that_it_does_not_need(
    buildkitd: BuildkitdService, tmp_path: Path
) -> None:
    (tmp_path / "hello").write_text("hello")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY hello /\n")
    flags = ["--frontend=dockerfile.v0", f"--local=context={tmp_path}", f"--local=dockerfile={tmp_path}"]
    for words in (["solve", *flags], ["solve", "--progress=plain", *flags]):
        code = f"from pybuildkit.cli import main\nassert main({['--addr', buildkitd.address, *words]!r}) == 0"
        assert loaded(code) == []


def test_info_imports_no_grpc(buildkitd: BuildkitdService) -> None:
    code = f"from pybuildkit.cli import main\nassert main({['--addr', buildkitd.address, 'info']!r}) == 0"
    assert not {"grpc", "google.protobuf", "pybuildkit._pb", "pybuildkit.llb", "pybuildkit.gateway"} & {
        *loaded(code)
    }
